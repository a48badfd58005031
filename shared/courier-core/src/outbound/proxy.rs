//! The proxy through which calls leave a network that lets no program out by itself.
//!
//! The proxy resolves the names, so the addresses of a name cannot be checked here: the guard still refuses literal
//! addresses, and the rest is up to the proxy's own rules.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::{Client, ClientBuilder};
use url::{Host, Url};

use crate::crypto::secret::Secret;

/// A proxy, and what is called without it.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `http` or `https`, host and port only.
    pub url: Url,
    pub credentials: Option<(String, Secret)>,
    pub bypass: Vec<Bypass>,
}

/// Hosts that are called without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bypass {
    /// Literal addresses in this network.
    Network(IpNet),
    /// This name and all below it.
    Domain(String),
}

impl Bypass {
    /// Parses an address, a network such as `10.20.0.0/16`, or a name such as `intern.example`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let name = text.strip_prefix('.').unwrap_or(text);
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains('*') => Ok(Self::Domain(name)),
            _ => Err(
                "must be an address, a network such as 10.20.0.0/16, or a name such as intern.example"
                    .to_owned(),
            ),
        }
    }

    fn matches(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::Network(network), Host::Ipv4(address)) => {
                network.contains(&IpAddr::V4(*address))
            }
            (Self::Network(network), Host::Ipv6(address)) => {
                network.contains(&IpAddr::V6(*address).to_canonical())
            }
            (Self::Domain(domain), Host::Domain(name)) => name
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            (Self::Network(_), Host::Domain(_))
            | (Self::Domain(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

impl Proxy {
    /// Reports whether a call of `url` goes through the proxy.
    pub fn carries(&self, url: &Url) -> bool {
        let host = url.host();
        host.is_some_and(|host| !self.bypass.iter().any(|bypass| bypass.matches(&host)))
    }

    /// Builds a client whose calls all go through the proxy.
    pub(super) fn client(&self, builder: ClientBuilder) -> reqwest::Result<Client> {
        let mut proxy = reqwest::Proxy::all(self.url.clone())?;
        if let Some((username, password)) = &self.credentials {
            proxy = proxy.basic_auth(username, password.expose());
        }
        builder.proxy(proxy).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_called_without_the_proxy_if_it_is_listed_or_below_a_listed_name() {
        let bypass = ["10.20.0.0/16", "::1", "Intern.example", ".local"];
        let bypass = bypass.map(|text| Bypass::parse(text).unwrap()).to_vec();
        let proxy = Proxy {
            url: Url::parse("http://proxy.example:3128").unwrap(),
            credentials: None,
            bypass,
        };
        for (url, carried) in [
            ("https://graph.microsoft.com", true),
            ("https://10.20.3.4", false),
            ("https://10.21.3.4", true),
            ("https://[::ffff:10.20.3.4]", false),
            ("https://[::1]:8443", false),
            ("https://intern.example", false),
            ("https://tickets.INTERN.example:8443/a", false),
            ("https://notintern.example", true),
            ("https://printer.local", false),
        ] {
            assert_eq!(proxy.carries(&Url::parse(url).unwrap()), carried, "{url}");
        }
        for wrong in ["", "*", "*.example", "a b", "10.20.0.0/99", "http://a"] {
            assert!(Bypass::parse(wrong).is_err(), "{wrong}");
        }
    }
}
