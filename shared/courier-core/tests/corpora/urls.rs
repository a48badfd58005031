//! What a stranger may aim us at: callback URLs, spellings of private addresses, `Location`, SAS.

use courier_core::catalogue::sas;
use courier_core::graph::monitor::{Untrusted, trusted};
use courier_core::outbound::address::Allowed;
use courier_core::outbound::target_url;
use jiff::Timestamp;
use url::Url;

use crate::cases::{self, Case};
use crate::check;

/// The names that the WHATWG cases use, and ours.
const ORIGINS: [&str; 6] = [
    "https://hooks.example",
    "https://hooks.example:8443",
    "https://xn--bcher-kva.example",
    "https://example.com",
    "https://example.org",
    "https://host",
];
const GRAPH: &str = "https://graph.microsoft.com";
const DEADLINE: &str = "2026-12-20T12:00:00Z";

fn callback(text: &str) -> String {
    match target_url::parse(text, &ORIGINS.map(str::to_owned), &Allowed::default()) {
        Ok(url) => {
            // What is sealed is judged again when it is called.
            let again = target_url::parse(url.as_str(), &[url.origin()], &Allowed::default());
            assert_eq!(again.as_ref(), Ok(&url), "{text}");
            format!("taken {url}", url = url.as_str())
        }
        Err(refusal) if refusal.forbidden => "forbidden".to_owned(),
        Err(refusal) => format!("refused {}", refusal.rule),
    }
}

#[test]
fn a_callback_url_is_below_a_registered_origin_or_is_refused() {
    check(cases::URLS, 900, |case| callback(case.text()));
}

/// Hosts that mean this machine, its network or its cloud, on the default port and on another, in clear and not.
#[test]
fn no_spelling_of_a_private_address_is_taken() {
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
            // What is stored is judged again when it is polled.
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
fn a_location_is_on_the_configured_host_or_is_not_followed() {
    check(cases::LOCATIONS, 70, location);
}

#[test]
fn a_sas_is_one_writable_container_until_the_deadline() {
    let deadline: Timestamp = DEADLINE.parse().unwrap();
    check(cases::SAS, 30, |case| {
        match sas::check(case.text(), deadline) {
            Ok(sas) => format!("taken {}", sas.container),
            Err(rules) => {
                let told = rules.join("; ");
                assert!(
                    !told.contains("anary") && !told.contains("export-1"),
                    "{told}"
                );
                format!("refused {told}")
            }
        }
    });
}
