//! The key in its cookie, and whether a write comes from the console's own pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use url::{Host, Url};

/// The cookie of a page that came by https: no other host and no plain page can set it.
const COOKIE: &str = "__Host-courier";
/// The cookie of a page of this machine that came by http. Not every browser takes a `Secure` cookie there.
const LOOPBACK_COOKIE: &str = "courier-loopback";
/// Time after which the key is to be typed again.
const MAX_AGE_SECONDS: u32 = 12 * 60 * 60;
/// The longest key that fits; those that `courier key new` makes have 43 characters.
const MAX_KEY_BYTES: usize = 512;

/// A person who has given a key.
pub(crate) struct Session {
    pub(crate) key: String,
}

/// How the browser reached the page from which a form was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Https,
    /// Plain http on the same machine.
    Loopback,
    /// Plain http over a network, on which no key may travel.
    Open,
}

impl Session {
    /// Returns the key of the request's cookie.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let host = headers.get(header::HOST);
        let host =
            host.and_then(|host| Url::parse(&format!("http://{}", host.to_str().ok()?)).ok());
        let wanted = match host.is_some_and(|host| is_loopback(&host)) {
            true => [COOKIE, LOOPBACK_COOKIE].as_slice(),
            // Any plain page could have set the other one.
            false => &[COOKIE],
        };
        let lines = headers.get_all(header::COOKIE).iter();
        let pairs = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let pairs: Vec<_> = pairs.collect();
        let (_, value) = wanted
            .iter()
            .find_map(|wanted| pairs.iter().find(|(name, _)| name == wanted))?;
        let key = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
        is_possible(&key).then_some(Self { key })
    }
}

/// Returns whether this can be a key: printable ASCII, and not too long.
pub(crate) fn is_possible(key: &str) -> bool {
    let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    printable && (1..=MAX_KEY_BYTES).contains(&key.len())
}

/// Returns the header that keeps the key.
pub(crate) fn kept(key: &str, channel: Channel) -> String {
    let value = URL_SAFE_NO_PAD.encode(key);
    cookie(&value, MAX_AGE_SECONDS, channel)
}

/// Returns the headers that forget the key.
pub(crate) fn forgotten() -> [String; 2] {
    [Channel::Https, Channel::Loopback].map(|channel| cookie("", 0, channel))
}

fn cookie(value: &str, max_age: u32, channel: Channel) -> String {
    let (name, secure) = match channel {
        Channel::Https => (COOKIE, "; Secure"),
        Channel::Loopback | Channel::Open => (LOOPBACK_COOKIE, ""),
    };
    format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}")
}

/// Returns how the browser reached the page of a form, which only the browser knows: a proxy may stand between.
pub(crate) fn channel(request: &Request<Bytes>) -> Channel {
    let Some(origin) = origin(request) else {
        return Channel::Open;
    };
    match origin.scheme() {
        "https" => Channel::Https,
        _ if is_loopback(&origin) => Channel::Loopback,
        _ => Channel::Open,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns whether a form was sent from one of the console's own pages.
///
/// A browser says so itself in `Sec-Fetch-Site`. On a plain page it says only the `Origin`, which must be this host.
pub(crate) fn is_from_here(request: &Request<Bytes>) -> bool {
    let Some(origin) = origin(request) else {
        return false;
    };
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let is_host = host.is_some_and(|host| {
        let own = Url::parse(&format!("{}://{host}", origin.scheme()));
        own.is_ok_and(|own| own.origin() == origin.origin())
    });
    match request.headers().get("sec-fetch-site") {
        // Behind a proxy that does not pass `Host` on, the browser's own word is the only one.
        Some(site) => site == "same-origin",
        None => is_host,
    }
}

fn origin(request: &Request<Bytes>) -> Option<Url> {
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return None;
    };
    let origin = Url::parse(origin.to_str().ok()?).ok()?;
    matches!(origin.scheme(), "http" | "https").then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&'static str, &str)]) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn a_write_is_taken_only_from_a_page_of_the_same_origin() {
        let here = ("host", "courier.example");
        let own = ("origin", "https://courier.example");
        for (headers, taken) in [
            (vec![here, own], true),
            (vec![here, ("origin", "https://courier.example:443")], true),
            (vec![here, own, ("sec-fetch-site", "same-origin")], true),
            (
                vec![
                    ("host", "127.0.0.1:8080"),
                    own,
                    ("sec-fetch-site", "same-origin"),
                ],
                true,
            ),
            (vec![("host", "127.0.0.1:8080"), own], false),
            (vec![here, own, ("sec-fetch-site", "cross-site")], false),
            (vec![here, own, ("sec-fetch-site", "same-site")], false),
            (vec![here, own, ("sec-fetch-site", "none")], false),
            (vec![here, ("origin", "https://evil.example")], false),
            (
                vec![here, ("origin", "https://courier.example:8443")],
                false,
            ),
            (vec![here, ("origin", "null")], false),
            (vec![here, own, ("origin", "https://evil.example")], false),
            (vec![here], false),
            (vec![own], false),
        ] {
            assert_eq!(is_from_here(&sent(&headers)), taken, "{headers:?}");
        }
    }

    #[test]
    fn a_key_is_kept_only_where_no_network_can_read_it() {
        for (origin, expected) in [
            ("https://courier.example", Channel::Https),
            ("http://127.0.0.1:8080", Channel::Loopback),
            ("http://[::1]:8080", Channel::Loopback),
            ("http://localhost:8080", Channel::Loopback),
            ("http://courier.localhost", Channel::Loopback),
            ("http://courier.example", Channel::Open),
            ("http://localhost.evil.example", Channel::Open),
            ("null", Channel::Open),
        ] {
            assert_eq!(channel(&sent(&[("origin", origin)])), expected, "{origin}");
        }
    }

    #[test]
    fn the_key_survives_its_cookie_and_the_cookie_of_https_wins() {
        let key = "a key=with;signs?".replace(' ', "+");
        let set = kept(&key, Channel::Https);
        assert!(set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"));
        let (pair, _) = set.split_once(';').unwrap();
        let planted = kept("planted", Channel::Loopback);
        let (planted, _) = planted.split_once(';').unwrap();
        let read = |host: &str, cookies: &str| {
            let request = sent(&[("host", host), ("cookie", cookies)]);
            Session::read(request.headers()).map(|session| session.key)
        };
        let both = format!("other=1; {planted}; {pair}");
        for host in ["courier.example", "127.0.0.1:8080", "[::1]:8080"] {
            assert_eq!(read(host, &both).as_ref(), Some(&key));
        }
        assert_eq!(read("localhost:8080", planted).as_deref(), Some("planted"));
        assert_eq!(read("courier.example", planted), None);
        for damaged in ["__Host-courier=%%%", "__Host-courier=", "__Host-courier=Cg"] {
            assert_eq!(read("courier.example", damaged), None, "{damaged}");
        }
    }
}
