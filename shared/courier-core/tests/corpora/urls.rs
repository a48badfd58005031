//! Tests the URLs that others choose and we may call: callback URLs, spellings of private addresses, `Location`, SAS.

use courier_core::catalogue::sas;
use courier_core::graph::monitor::{Untrusted, trusted};
use courier_core::outbound::address::Allowed;
use courier_core::outbound::target_url;
use jiff::Timestamp;
use url::Url;

use crate::cases::{self, Case};
use crate::check;

/// The registered origins: those that the WHATWG cases use, and our own.
const ORIGINS: [&str; 6] = [
    "https://hooks.example",
    "https://hooks.example:8443",
    "https://xn--bcher-kva.example",
    "https://example.com",
    "https://example.org",
    "https://host",
];
const GRAPH: &str = "https://graph.microsoft.com";

fn callback(text: &str) -> String {
    match target_url::parse(text, &ORIGINS.map(str::to_owned), &Allowed::default()) {
        Ok(url) => {
            // The accepted URL is stored sealed and parsed again before each call, so it must pass again.
            let again = target_url::parse(url.as_str(), &[url.origin()], &Allowed::default());
            assert_eq!(again.as_ref(), Ok(&url), "{text}");
            format!("taken {url}", url = url.as_str())
        }
        Err(refusal) if refusal.forbidden => "forbidden".to_owned(),
        Err(refusal) => format!("refused {}", refusal.rule),
    }
}

#[test]
fn callback_url_not_below_a_registered_origin_is_refused() {
    check(cases::URLS, 900, |case| callback(case.text()));
}

/// The hosts are this machine, its network or its cloud. Each is tried on the default port and on another, with and
/// without TLS.
#[test]
fn no_spelling_of_a_private_address_is_accepted() {
    check(cases::SPELLINGS, 150, |case| {
        let host = case.text();
        let verdict = callback(&format!("https://{host}/"));
        assert!(!verdict.starts_with("taken"), "line {}", case.line);
        for text in [
            format!("https://{host}:9001/2018-06-01/runtime/invocation/next"),
            format!("http://{host}/latest/meta-data/"),
            format!("https://hooks.example@{host}/"),
        ] {
            assert!(
                !callback(&text).starts_with("taken"),
                "line {}: {text}",
                case.line
            );
        }
        verdict
    });
}

fn location(case: &Case) -> String {
    let text = String::from_utf8_lossy(&case.input);
    let graph = Url::parse(GRAPH).unwrap();
    match trusted(&text, &graph, "v1.0") {
        Ok(url) => {
            // The stored URL is checked again when it is polled, so it must pass again.
            assert_eq!(
                trusted(&url, &graph, "v1.0").as_ref(),
                Ok(&url),
                "line {}",
                case.line
            );
            format!("trusted {}", url.strip_prefix(GRAPH).unwrap())
        }
        Err(Untrusted::Missing) => "missing".to_owned(),
        Err(Untrusted::ForeignOrigin) => "foreign".to_owned(),
        Err(Untrusted::Unparsable(rule)) => format!("refused {rule}"),
    }
}

#[test]
fn location_not_on_the_configured_host_is_not_followed() {
    check(cases::LOCATIONS, 70, location);
}

#[test]
fn sas_must_be_one_container_that_is_writable_until_the_deadline() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let times = sas::Times {
        now: time("2026-11-21T12:00:00Z"),
        deadline: time("2026-12-20T12:00:00Z"),
        deadline_is_default: false,
    };
    check(cases::SAS, 30, |case| {
        let rules = match sas::check(case.text(), times) {
            Ok(sas) if sas.late.is_empty() => return format!("taken {}", sas.container),
            Ok(sas) => sas.late,
            Err(rules) => rules,
        };
        let refusal = rules.join("; ");
        assert!(
            !refusal.contains("anary") && !refusal.contains("export-1"),
            "{refusal}"
        );
        format!("refused {refusal}")
    });
}
