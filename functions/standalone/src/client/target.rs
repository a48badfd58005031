//! Where the server is and which key it wants, as the command line and the environment say.

use std::net::IpAddr;

use http::HeaderValue;
use url::{Host, Url};

use crate::client::arguments::Target;
use crate::failure::Usage;
use crate::settings;

/// Returns the URL in front of `/v1`.
pub(super) fn base(target: &Target) -> anyhow::Result<Url> {
    let (text, origin) = match &target.url {
        Some(url) => (url.clone(), "--url"),
        None => match settings::variable(settings::COURIER_URL) {
            Some(url) if !url.trim().is_empty() => (url, settings::COURIER_URL),
            Some(_) | None => {
                return Err(Usage::error(
                    "no server: set COURIER_URL to the URL of graph-courier, such as http://127.0.0.1:8080, or give --url",
                ));
            }
        },
    };
    parse(text.trim()).map_err(|rule| Usage::error(format!("{origin} {rule}")))
}

/// Reads the URL in front of `/v1`.
fn parse(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL, such as https://courier.example")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must be an http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password: the key is in COURIER_API_KEY");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have no query and no fragment");
    }
    if url.path().trim_end_matches('/').ends_with("/v1")
        || url.path().trim_end_matches('/').ends_with("/v1/operations")
    {
        return Err("must be what stands before /v1/operations");
    }
    Ok(url)
}

pub(super) fn key(target: &Target) -> anyhow::Result<HeaderValue> {
    let text = match &target.api_key_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Usage::error(format!(
                "the key file {} cannot be read: {error}",
                path.display()
            ))
        })?,
        None => settings::variable(settings::COURIER_API_KEY).unwrap_or_default(),
    };
    let origin = match &target.api_key_file {
        Some(path) => path.display().to_string(),
        None => settings::COURIER_API_KEY.to_owned(),
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Usage::error(match &target.api_key_file {
            Some(_) => format!("the key file {origin} is empty"),
            None => "no API key: set COURIER_API_KEY, or give --api-key-file".to_owned(),
        }));
    }
    let mut key = HeaderValue::from_str(text)
        .ok()
        .filter(|_| text.is_ascii() && !text.contains(char::is_whitespace))
        .ok_or_else(|| Usage::error(format!("{origin} holds what cannot be a key")))?;
    key.set_sensitive(true);
    Ok(key)
}

/// Reports whether the URL names this machine, where no proxy is used and nobody is on the way.
pub(super) fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_what_stands_before_v1() {
        for (text, url) in [
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080/v1/operations",
            ),
            (
                "https://x.example/prod/",
                "https://x.example/prod/v1/operations",
            ),
        ] {
            let base = parse(text).unwrap();
            let path = base.path().trim_end_matches('/').to_owned();
            assert_eq!(
                base.join(&format!("{path}/v1/operations"))
                    .unwrap()
                    .as_str(),
                url
            );
        }
        for text in [
            "courier.example",
            "ftp://courier.example",
            "https://user:pw@courier.example",
            "https://courier.example/v1",
            "https://courier.example/v1/operations/",
            "https://courier.example/?a=b",
            "data:text/plain,x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
