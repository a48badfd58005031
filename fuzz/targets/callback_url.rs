//! Fuzzes the callback URL of a request: an accepted URL has a registered origin, and is accepted again when called.

#![no_main]

use std::sync::LazyLock;

use courier_core::outbound::address::Allowed;
use courier_core::outbound::target_url::{parse, parse_origin};
use libfuzzer_sys::fuzz_target;
use url::Host;

const ORIGINS: [&str; 7] = [
    "https://hooks.example",
    "https://hooks.example:8443",
    "https://xn--bcher-kva.example",
    "http://10.20.0.5:9000",
    "https://receiver.internal",
    "https://127.0.0.1",
    "https://[::1]",
];

/// The registered origins, and the settings without and with permitted private networks.
static SETTINGS: LazyLock<(Vec<String>, [Allowed; 2])> = LazyLock::new(|| {
    let networks = ["10.20.0.0/16", "127.0.0.0/8"].map(|text| text.parse().unwrap());
    let private = Allowed {
        networks: networks.to_vec(),
    };
    (
        ORIGINS.map(str::to_owned).to_vec(),
        [Allowed::default(), private],
    )
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (origins, settings) = &*SETTINGS;
    for allowed in settings {
        check(text, origins, allowed);
    }
    if let Ok(origin) = parse_origin(text, true) {
        assert_eq!(parse_origin(&origin, true), Ok(origin));
    }
});

fn check(text: &str, origins: &[String], allowed: &Allowed) {
    let Ok(accepted) = parse(text, origins, allowed) else {
        return;
    };
    assert!(origins.contains(&accepted.origin()));
    let url = accepted.as_url();
    let private = !allowed.networks.is_empty();
    assert!(url.scheme() == "https" || private && url.scheme() == "http");
    assert!(private || ORIGINS[..3].contains(&accepted.origin().as_str()));
    assert!(url.username().is_empty() && url.password().is_none());
    assert_eq!(url.fragment(), None);
    let start = text
        .get(..url.scheme().len() + 3)
        .unwrap()
        .to_ascii_lowercase();
    assert_eq!(start, format!("{}://", url.scheme()));
    match url.host().unwrap() {
        Host::Ipv4(ip) => assert!(allowed.permits(ip.into())),
        Host::Ipv6(ip) => assert!(allowed.permits(ip.into())),
        Host::Domain(name) => assert!(name.is_ascii() && !name.ends_with('.')),
    }
    // The completion is delivered to the URL as it was sealed, which is checked again before the call.
    assert_eq!(parse(accepted.as_str(), origins, allowed), Ok(accepted));
}
