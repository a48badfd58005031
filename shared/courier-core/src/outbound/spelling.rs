//! Refuses a URL that would be sent in another spelling than it was written in, because any change breaks a capability in
//! it, and because another program may read the other spelling differently.
//!
//! Two changes mean nothing to anyone and are made: the letter case of scheme and host (RFC 3986 §6.2.2.1), and a port
//! that is the scheme's own (§6.2.3).

use url::{Position, Url};

const HOST_RULE: &str = "must name host and port as they are sent: a name in ASCII letters (xn-- for others) without percent-encoding, \
     an IP address in its shortest usual form, a port without leading zeros";
const PATH_RULE: &str = "must be written as it is sent: percent-encoded, without dot segments";

/// Compares the text of a URL, which begins with its scheme and `://`, with what was parsed from it.
pub(crate) fn check(text: &str, url: &Url) -> Result<(), &'static str> {
    let after_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
    let end = after_scheme
        .find(['/', '?', '#'])
        .unwrap_or(after_scheme.len());
    let (authority, written) = after_scheme.split_at(end);
    if !is_kept(authority, url) {
        return Err(HOST_RULE);
    }
    let sent = &url[Position::BeforePath..];
    // For a URL without a path, "/" is sent.
    (written == sent || Some(written) == sent.strip_prefix('/'))
        .then_some(())
        .ok_or(PATH_RULE)
}

fn is_kept(authority: &str, url: &Url) -> bool {
    let sent = &url[Position::BeforeUsername..Position::AfterPort];
    let default_port = match url.scheme() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    authority.eq_ignore_ascii_case(sent)
        || (url.port().is_none()
            && authority.eq_ignore_ascii_case(&format!("{sent}{default_port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), &'static str> {
        check(text, &Url::parse(text).unwrap())
    }

    #[test]
    fn letter_case_of_the_host_and_the_default_port_mean_nothing() {
        for text in [
            "https://hooks.example",
            "HTTPS://HOOKS.Example:443/A?b=C",
            "http://hooks.example:80/",
            "https://hooks.example:8443?a",
            "https://127.0.0.1/",
            "http://127.0.0.1:9000/",
            "https://[::1]:9000/",
            "https://[2001:DB8::1]/",
            "https://hooks.example./",
            "https://xn--bcher-kva.example/",
        ] {
            assert_eq!(verdict(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn host_or_port_that_the_parser_would_rewrite_is_refused() {
        for text in [
            "http://2130706433:9000/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://127.0.0.1./",
            "https://0177.0.0.1/",
            "https://[::ffff:127.0.0.1]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[2001:db8:0::1]/",
            "https://bücher.example/",
            "https://hooks%2eexample/",
            "https://%68ooks.example/",
            "https://hooks。example/",
            "https://hoo\u{ad}ks.example/",
            "https://hooks.example:/",
            "https://hooks.example:0443/",
            "https://hooks.example:08443/",
            "https://hooks.example:00080/",
        ] {
            assert_eq!(verdict(text), Err(HOST_RULE), "{text}");
        }
        assert_eq!(verdict("http://hooks.example:443/"), Ok(()));
        assert_eq!(verdict("https://hooks.example:80/"), Ok(()));
    }

    #[test]
    fn path_or_query_that_the_parser_would_rewrite_is_refused() {
        for path in [
            "/a/../b",
            "/./a",
            "/%2e%2E/a",
            "/ü",
            "/?a='b'",
            "/?a=<b>",
            "/{id}",
        ] {
            let text = format!("https://hooks.example{path}");
            assert_eq!(verdict(&text), Err(PATH_RULE), "{text}");
        }
        assert_eq!(verdict("https://hooks.example/%2fa?b=%2B%c3&&"), Ok(()));
    }
}
