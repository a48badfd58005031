//! Which headers a profile may send besides those that graph-courier sets itself.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

/// Returns the rule that each header breaks that cannot be sent.
pub(super) fn header_mistakes(
    headers: &BTreeMap<String, String>,
) -> impl Iterator<Item = &'static str> {
    headers
        .iter()
        .filter_map(|(name, value)| match may_send(name) {
            Err(rule) => Some(rule),
            Ok(()) if HeaderValue::from_str(value).is_err() => {
                Some("must hold visible characters only")
            }
            Ok(()) => None,
        })
}

/// Headers that frame the message, or that graph-courier sets itself.
const RESERVED_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
    "authorization",
];

pub(super) fn may_send(name: &str) -> Result<(), &'static str> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err("must be header names");
    };
    let name = name.as_str();
    let is_of_the_signature = name.starts_with("webhook-") || name.starts_with("ce-");
    let is_of_the_trace = ["traceparent", "tracestate"].contains(&name);
    if RESERVED_HEADERS.contains(&name) || is_of_the_signature || is_of_the_trace {
        return Err("must not be a header that graph-courier sets itself");
    }
    Ok(())
}
