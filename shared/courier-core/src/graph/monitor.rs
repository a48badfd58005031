//! Validates the monitor's URL. Graph sends it in `Location`, and our token goes to the configured host only.
//!
//! Path and query stay byte for byte as received: keys hold quotes, `!` and `%20`, and queries hold routing hints.

use url::Url;

/// Longest accepted `Location`, and longest accepted URL made from one.
const MAX_LOCATION_BYTES: usize = 4096;
const MAX_KEY_BYTES: usize = 256;
const VERSIONS: [&str; 2] = ["v1.0", "beta"];

/// The reason why a `Location` is not followed. Does not contain the URL, which may carry a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("the monitor location is missing")]
    Missing,
    #[error("the monitor location {0}")]
    Unparsable(&'static str),
    #[error("the monitor location is not on the configured Graph host")]
    ForeignOrigin,
}

/// Returns the monitor's URL, which is always on the origin of `graph`.
///
/// One pair of double quotes around it is stripped (the goals documentation shows them); a relative location continues
/// the versioned service root, not the origin (`docs/graph-behaviour.md`, The Location).
pub fn trusted(location: &str, graph: &Url, version: &str) -> Result<String, Untrusted> {
    if location.len() > MAX_LOCATION_BYTES {
        return Err(Untrusted::Unparsable("is too long"));
    }
    let text = unquoted(location.trim_matches([' ', '\t']))?;
    check_characters(text)?;
    if text.starts_with("//") {
        return Err(Untrusted::ForeignOrigin);
    }
    let path = match split_scheme(text) {
        Some((scheme, rest)) => path_on_graph(scheme, rest, graph)?.to_owned(),
        None => below_version(text, version),
    };
    check_path(&path)?;
    let url = graph.origin().ascii_serialization() + &path;
    // The URL is checked again at each poll, so it must not be too long for that check.
    if url.len() > MAX_LOCATION_BYTES {
        return Err(Untrusted::Unparsable("is too long"));
    }
    Ok(url)
}

/// Builds the monitor's URL from the key in a refusal's `error.target` (goals, 409 without a usable `Location`).
pub fn from_target(
    target: &str,
    collection_url_path: &str,
    graph: &Url,
    version: &str,
) -> Option<String> {
    let is_key = (1..=MAX_KEY_BYTES).contains(&target.len())
        && target
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!_-.~".contains(&byte));
    let collection = collection_url_path.trim_end_matches('/');
    is_key
        .then(|| trusted(&format!("{collection}/{target}"), graph, version).ok())
        .flatten()
}

fn unquoted(text: &str) -> Result<&str, Untrusted> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    if inner.is_empty() {
        return Err(Untrusted::Missing);
    }
    if inner.contains('"') {
        return Err(Untrusted::Unparsable("has a double quote in it"));
    }
    Ok(inner)
}

/// Refuses characters that URL parsers silently drop, rewrite or read differently.
fn check_characters(text: &str) -> Result<(), Untrusted> {
    let rule = if !text.is_ascii() {
        "is not ASCII"
    } else if text.bytes().any(|byte| byte.is_ascii_control()) {
        "has a control character in it"
    } else if text.contains(' ') {
        "has a space in it"
    } else if text.contains('\\') {
        "has a backslash in it"
    } else if text.contains('#') {
        "has a fragment"
    } else {
        return Ok(());
    };
    Err(Untrusted::Unparsable(rule))
}

/// Splits an absolute URL after its scheme (RFC 3986 §3.1). A colon further right, as in a key, ends no scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

/// Returns path and query of an absolute URL, provided that scheme, host and port are exactly the configured ones.
fn path_on_graph<'t>(scheme: &str, rest: &'t str, graph: &Url) -> Result<&'t str, Untrusted> {
    if !scheme.eq_ignore_ascii_case(graph.scheme()) {
        return Err(Untrusted::ForeignOrigin);
    }
    let rest = rest
        .strip_prefix("//")
        .ok_or(Untrusted::Unparsable("names no host"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Untrusted::Unparsable("carries user information"));
    }
    let (host, port) = split_port(authority);
    let same_host = graph
        .host_str()
        .is_some_and(|configured| configured.eq_ignore_ascii_case(host));
    let same_port = match port {
        Some(port) => is_port(port, graph.port_or_known_default()),
        None => graph.port().is_none(),
    };
    if same_host && same_port {
        Ok(path)
    } else {
        Err(Untrusted::ForeignOrigin)
    }
}

/// Splits an authority into host and port. A colon inside the brackets of an IPv6 address begins no port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

fn is_port(text: &str, configured: Option<u16>) -> bool {
    configured.is_some_and(|configured| text == configured.to_string())
}

fn below_version(relative: &str, version: &str) -> String {
    let path = format!("/{}", relative.strip_prefix('/').unwrap_or(relative));
    let has_version = path.split(['/', '?']).nth(1).is_some_and(is_version);
    if has_version {
        path
    } else {
        format!("/{version}{path}")
    }
}

fn is_version(segment: &str) -> bool {
    VERSIONS
        .iter()
        .any(|version| version.eq_ignore_ascii_case(segment))
}

/// Refuses paths that an intermediary may read as another path.
fn check_path(path_and_query: &str) -> Result<(), Untrusted> {
    let path = path_and_query
        .split_once('?')
        .map_or(path_and_query, |(path, _)| path)
        .to_ascii_lowercase();
    let named = path.trim_matches('/');
    if named.is_empty() || is_version(named) {
        return Err(Untrusted::Unparsable("names no path"));
    }
    if path.contains("%2f") || path.contains("%5c") {
        return Err(Untrusted::Unparsable("has an encoded slash in it"));
    }
    let is_dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(is_dots) {
        return Err(Untrusted::Unparsable("has a dot segment in it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GLOBAL: &str = "https://graph.microsoft.com";

    fn at(origin: &str, version: &str, location: &str) -> Result<String, Untrusted> {
        trusted(location, &Url::parse(origin).unwrap(), version)
    }

    #[test]
    fn relative_location_is_resolved_against_the_operations_version() {
        let beta = at(GLOBAL, "beta", "/teams('a')/b('c')");
        assert_eq!(beta.unwrap(), format!("{GLOBAL}/beta/teams('a')/b('c')"));
    }

    #[test]
    fn only_the_configured_origin_is_trusted() {
        for (origin, path) in [
            ("https://dod-graph.microsoft.us", "/v1.0/x"),
            ("http://127.0.0.1:8080", "/v1.0/x"),
            ("http://[::1]:8080", "/beta/x"),
            ("http://[::1]", "/beta/x"),
        ] {
            let url = format!("{origin}{path}");
            assert_eq!(at(origin, "v1.0", path).as_ref(), Ok(&url));
            assert_eq!(at(origin, "v1.0", &url).as_ref(), Ok(&url));
        }
        let foreign = "http://127.0.0.1/x http://127.0.0.1:8081/x http://2130706433:8080/x https://127.0.0.1:8080/x
            http://localhost:8080/x http://[::1]:8080/x https://graph.microsoft.com/x";
        for location in foreign.split_whitespace() {
            let verdict = at("http://127.0.0.1:8080", "v1.0", location);
            assert_eq!(verdict, Err(Untrusted::ForeignOrigin), "{location}");
        }
        let port = at("http://[::1]", "beta", "http://[::1]:8080/x");
        assert_eq!(port, Err(Untrusted::ForeignOrigin));
    }

    #[test]
    fn refusal_does_not_contain_the_location() {
        for location in "https://canary.example/canary /canary# canary\" /canary/..".split(' ') {
            let error = at(GLOBAL, "v1.0", location).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn valid_target_key_gives_the_monitor_url_and_any_other_none() {
        let graph = Url::parse(GLOBAL).unwrap();
        let rebuilt = |key: &str| from_target(key, "/goals/exportJobs", &graph, "beta");
        for key in ["j!uJJZ_Gy-1.2~", "a", "...", &"k".repeat(256)] {
            let expected = format!("{GLOBAL}/beta/goals/exportJobs/{key}");
            assert_eq!(rebuilt(key), Some(expected));
        }
        for key in r"a/b a?b a#b a%2fb a\b a@b a:b ü a'b . ..".split_whitespace() {
            assert_eq!(rebuilt(key), None, "{key}");
        }
        assert_eq!((rebuilt(""), rebuilt(&"k".repeat(257))), (None, None));
        let versioned = from_target("a", "/beta/jobs/", &graph, "beta");
        assert_eq!(versioned, Some(format!("{GLOBAL}/beta/jobs/a")));
    }

    proptest! {
        #[test]
        fn every_trusted_url_has_the_configured_origin(
            location in "(\"|)(https?|HTTPS|)(:|)(/{0,3})(graph[.]microsoft[.]com|evil[.]com|[a-z@:.\\\\]{0,4})([@:.\\\\/?#%]|:443|:80|)[ -~]{0,12}(\"|)",
            origin in prop::sample::select(vec![GLOBAL, "http://127.0.0.1:8080", "http://[::1]:8080"]),
        ) {
            if let Ok(url) = at(origin, "v1.0", &location) {
                let (url, origin) = (Url::parse(&url).unwrap(), Url::parse(origin).unwrap());
                prop_assert_eq!(url.origin(), origin.origin());
                prop_assert!(url.username().is_empty() && url.password().is_none());
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(location in "\\PC{0,40}") {
            let _ = at(GLOBAL, "v1.0", &location);
        }
    }
}
