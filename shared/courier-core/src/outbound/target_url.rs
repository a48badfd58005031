//! The URL half of the outbound guard: a client may aim us only at origins registered for it.
//!
//! A URL is parsed once, as browsers do, which turns every spelling of an IPv4 address into four numbers. The parsed
//! form is what is checked and what is called; a URL that is written in another form is refused (`spelling`). Names are
//! checked again when they are resolved (`resolver`).

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::outbound::address::{Allowed, is_public};
use crate::outbound::spelling;

const MAX_BYTES: usize = 2048;
const TOO_LONG: &str = "must not be longer than 2048 bytes";
/// Rule for clients that have registered http origins.
const HTTP_ELSEWHERE: &str = "must be https, or below one of the client's registered http origins";
/// Suffixes of names that resolve on this machine or in this network (RFC 6761, RFC 6762, RFC 8375, cloud providers).
const LOCAL_SUFFIXES: [&str; 5] = [".localhost", ".localdomain", ".local", ".internal", ".arpa"];

/// A callback URL that is permitted.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackUrl {
    url: Url,
}

/// The reason why a URL is refused. It contains no part of the path or query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the callback URL {rule}")]
pub struct Refusal {
    /// `true`: the origin is not registered for the client (403). `false`: the URL is wrong for everyone (400).
    pub forbidden: bool,
    /// The broken rule, as the continuation of "the callback URL …".
    pub rule: String,
}

/// Parses a callback URL, which must be valid and below one of `origins` (as `parse_origin` returns them).
pub fn parse(text: &str, origins: &[String], allowed: &Allowed) -> Result<CallbackUrl, Refusal> {
    let wrong = |rule: &str| Refusal {
        forbidden: false,
        rule: rule.to_owned(),
    };
    let url = parse_url(text).map_err(wrong)?;
    let registered = origins.contains(&url.origin().ascii_serialization());
    let privately = registered && !allowed.networks.is_empty();
    if url.scheme() == "http" && !privately {
        let elsewhere = origins.iter().any(|origin| origin.starts_with("http://"));
        return Err(wrong(if elsewhere && !allowed.networks.is_empty() {
            HTTP_ELSEWHERE
        } else {
            "must be https"
        }));
    }
    check_host(&url, privately, |ip| allowed.permits(ip)).map_err(wrong)?;
    if !registered {
        return Err(Refusal {
            forbidden: true,
            rule: "must be below one of the client's registered origins".to_owned(),
        });
    }
    spelling::check(text, &url).map_err(wrong)?;
    Ok(CallbackUrl { url })
}

/// Parses the URL of an endpoint that the configuration names (tokens, keys).
///
/// It may be any public https URL, or one at an allowed address.
pub(crate) fn parse_endpoint(text: &str, allowed: &Allowed) -> Result<Url, String> {
    let has_networks = !allowed.networks.is_empty();
    let url = parse_configured(text, has_networks, |ip| allowed.permits(ip))?;
    spelling::check(text, &url)?;
    Ok(url)
}

/// Parses an entry of `callback_origins` and returns it in the one spelling that `parse` compares.
pub fn parse_origin(text: &str, has_networks: bool) -> Result<String, String> {
    let url = parse_configured(text, has_networks, |ip| has_networks || is_public(ip))?;
    if url.path() != "/" || text.contains('?') {
        return Err("must be an origin, without path and query".to_owned());
    }
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err("must name one host, without a wildcard".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

/// Parses a URL of the configuration by the same rules as a callback URL.
fn parse_configured(
    text: &str,
    has_networks: bool,
    permits: impl Fn(IpAddr) -> bool,
) -> Result<Url, &'static str> {
    let url = parse_url(text)?;
    if url.scheme() == "http" && !has_networks {
        return Err("must be https unless allow_networks is set");
    }
    check_host(&url, has_networks, permits)?;
    Ok(url)
}

impl CallbackUrl {
    pub fn as_url(&self) -> &Url {
        &self.url
    }

    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Returns scheme, host and port, which may be shown and logged.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CallbackUrl({})", self.origin())
    }
}

fn parse_url(text: &str) -> Result<Url, &'static str> {
    if text.len() > MAX_BYTES {
        return Err(TOO_LONG);
    }
    let is_dropped = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '\\';
    if text.contains(is_dropped) {
        return Err("must hold no space, control character or backslash");
    }
    let url = Url::parse(text).map_err(|_| "must be an absolute URL")?;
    // The URL is stored in the parser's spelling and checked again when it is called, so that must not be too long.
    if url.as_str().len() > MAX_BYTES {
        return Err(TOO_LONG);
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err("must be https");
    }
    // The URL parser accepts URLs without the slashes: `https:host` would be the same as `https://host`.
    let after_scheme = text
        .get(url.scheme().len()..)
        .and_then(|rest| rest.strip_prefix("://"))
        .ok_or("must be an absolute URL")?;
    let authority = after_scheme
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    if authority.is_empty() {
        return Err("must be an absolute URL");
    }
    if authority.contains('@') {
        return Err("must not carry user information");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment");
    }
    Ok(url)
}

/// Checks the host: a local name requires `privately`, and a literal address must be permitted.
fn check_host(
    url: &Url,
    privately: bool,
    permits: impl Fn(IpAddr) -> bool,
) -> Result<(), &'static str> {
    let permitted = match url.host() {
        Some(Host::Domain(name)) => privately || !is_local(name),
        Some(Host::Ipv4(ip)) => permits(ip.into()),
        Some(Host::Ipv6(ip)) => permits(ip.into()),
        None => false,
    };
    permitted
        .then_some(())
        .ok_or("must not point to a private or local address")
}

fn is_local(name: &str) -> bool {
    // A name without a dot is resolved in the search domains of the machine that runs graph-courier.
    !name.contains('.')
        || name.ends_with('.')
        || LOCAL_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGINS: [&str; 6] = [
        "https://hooks.example",
        "https://hooks.example:8443",
        "https://xn--bcher-kva.example",
        "http://10.20.0.5:9000",
        "https://receiver.internal",
        "https://127.0.0.1",
    ];

    fn verdict(text: &str, networks: &[&str]) -> Result<CallbackUrl, Refusal> {
        let origins = ORIGINS.map(str::to_owned);
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        parse(text, &origins, &Allowed { networks })
    }

    /// The paths are what the parser would change: dot segments, and characters that must be encoded.
    #[test]
    fn url_that_the_parser_would_change_is_refused() {
        for path in [
            "a/../b", "./a", "%2e%2E/a", "ü", "?sig='a'", "\"a", "?a=<b>", "a`", "{id}",
        ] {
            let refusal = verdict(&format!("https://hooks.example/{path}"), &[]).unwrap_err();
            assert!(
                refusal.rule.starts_with("must be written as it is sent"),
                "{path}"
            );
        }
        for text in [
            "https://hooks.example/%2e%2e%2fa?sig=%2b%2F%3D",
            "https://hooks.example/a//b/?a=%C3%BC&&b",
            "https://hooks.example/;a=1/$&+,:@!*()~'-_.?a={b}|c^d`e/?",
        ] {
            assert_eq!(verdict(text, &[]).unwrap().as_str(), text);
        }
        let taken = verdict("https://hooks.example?a", &[]).unwrap();
        assert_eq!(taken.as_str(), "https://hooks.example/?a");
    }

    #[test]
    fn private_receiver_needs_an_allowed_network_and_a_registered_origin() {
        let networks = ["10.20.0.0/16"];
        for text in [
            "http://10.20.0.5:9000/a",
            "https://receiver.internal/a",
            "https://hooks.example/a",
        ] {
            assert!(verdict(text, &networks).is_ok(), "{text}");
        }
        for text in [
            "http://10.20.0.6:9000/a",
            "http://hooks.example/",
            "https://other.internal/",
            "https://127.0.0.1/",
            "https://10.21.0.1/",
        ] {
            assert!(!verdict(text, &networks).unwrap_err().forbidden, "{text}");
        }
        assert!(
            verdict("https://10.20.0.6/a", &networks)
                .unwrap_err()
                .forbidden
        );
        assert!(verdict("https://127.0.0.1/a", &["127.0.0.0/8"]).is_ok());
        let wrong_port = "http://10.20.0.5:9001/a";
        let rule = |networks| verdict(wrong_port, networks).unwrap_err().rule;
        assert_eq!(rule(&networks), HTTP_ELSEWHERE);
        assert_eq!(rule(&[]), "must be https");
    }

    #[test]
    fn configured_origin_is_normalised_or_refused() {
        for (text, networks, origin) in [
            (
                "https://Contoso.Service-Now.com",
                false,
                "https://contoso.service-now.com",
            ),
            (
                "https://contoso.service-now.com:443/",
                false,
                "https://contoso.service-now.com",
            ),
            (
                "https://bücher.example:8443",
                false,
                "https://xn--bcher-kva.example:8443",
            ),
            ("https://8.8.8.8", false, "https://8.8.8.8"),
            ("http://127.0.0.1:9000", true, "http://127.0.0.1:9000"),
            (
                "http://receiver.internal:80",
                true,
                "http://receiver.internal",
            ),
            ("https://[fd00::1]:1", true, "https://[fd00::1]:1"),
        ] {
            assert_eq!(parse_origin(text, networks).as_deref(), Ok(origin));
        }
        for text in [
            "",
            "contoso.com",
            "http://contoso.com",
            "https://contoso.com/hooks",
            "https://contoso.com?",
            "https://contoso.com/?a",
            "https://contoso.com#",
            "https://u@contoso.com",
            "https://*.contoso.com",
            "https://localhost",
            "https://a.internal",
            "https://contoso.com.",
            "https://127.0.0.1",
            "https://[::1]",
            "https://contoso.com ",
            "ftp://contoso.com",
            "null",
            "*",
        ] {
            assert!(parse_origin(text, false).is_err(), "{text}");
        }
        for text in [
            "https://*.contoso.com",
            "http://127.0.0.1/a",
            "ftp://127.0.0.1",
        ] {
            assert!(parse_origin(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_and_refusal_contain_no_path_or_query() {
        let url = verdict("https://hooks.example/canary?canary", &[]).unwrap();
        assert_eq!(format!("{url:?}"), "CallbackUrl(https://hooks.example)");
        assert_eq!(url.origin(), "https://hooks.example");
        assert_eq!(url.as_url().path(), "/canary");
        for text in [
            "https://evil.example/canary?canary",
            "https://10.0.0.1/canary",
            "https://hooks.example/#canary",
            "canary",
        ] {
            let refusal = verdict(text, &[]).unwrap_err();
            assert!(!format!("{refusal} {refusal:?}").contains("canary"));
        }
    }

    proptest! {
        #[test]
        fn accepted_url_has_a_registered_origin(text in "(https?://|https:)(hooks[.]example|127[.]1|[a-z@:.]{0,4})([@:.\\\\/?%]|:443|:8443|)[ -~]{0,12}") {
            if let Ok(url) = verdict(&text, &[]) {
                prop_assert!(ORIGINS[..3].contains(&url.origin().as_str()));
                prop_assert!(url.as_url().username().is_empty());
            }
        }
    }
}
