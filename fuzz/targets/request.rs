//! Fuzzes `POST /v1/operations`, given as header lines, an empty line and the body.
//!
//! A refusal is a problem document with a 4xx; an accepted request keeps every rule.

#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use courier_core::catalogue::{Catalogue, Restart};
use courier_core::config::credentials::Credentials;
use courier_core::config::{CallbackProfiles, Client, EventRules};
use courier_core::crypto::seal::Sealer;
use courier_core::crypto::secret::Secret;
use courier_core::http::request::{NewOperation, parse};
use courier_core::operation::random_ids;
use courier_core::operation::{OperationId, Record};
use courier_core::outbound::address::Allowed;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static CLIENT: LazyLock<Client> = LazyLock::new(|| Client {
    name: "tickets".to_owned(),
    tenant: "contoso".to_owned(),
    credentials: Credentials::default(),
    requests_per_minute: 600,
    max_open_operations: 20_000,
    operations: operations(),
    storages: BTreeSet::new(),
    callback_origins: vec!["https://tickets.example".to_owned()],
    signing_secrets: Vec::new(),
    profiles: CallbackProfiles::default(),
    events: true,
        event_rules: EventRules::default(),
});

static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    Sealer::new(&Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
});

fn operations() -> BTreeSet<String> {
    let all = Catalogue::shipped().iter();
    all.map(|operation| operation.name.clone()).collect()
}

fuzz_target!(|data: &[u8]| {
    let (headers, body) = split(data);
    let now = Timestamp::from_second(1_795_291_200).unwrap();
    let read = || {
        let (allowed, ids) = (Allowed::default(), random_ids());
        parse(
            body,
            &headers,
            &*CLIENT,
            Catalogue::shipped(),
            &allowed,
            &ids,
            now,
        )
    };
    match read() {
        Ok(new) => check_accepted(new, read().ok().unwrap(), &headers, now),
        Err(problem) => {
            let response = problem.into_response();
            assert!(response.status().is_client_error());
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            let document: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(document["status"], response.status().as_u16());
        }
    }
});

/// Splits the input into headers and body; the first line that is no header begins the body.
fn split(data: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return (
                headers,
                if line.is_empty() {
                    &rest[end + 1..]
                } else {
                    rest
                },
            );
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let (Ok(name), Ok(value)) = (
            name,
            HeaderValue::from_bytes(line[colon + 1..].trim_ascii()),
        ) else {
            return (headers, rest);
        };
        headers.append(name, value);
        rest = &rest[end + 1..];
    }
    (headers, rest)
}

fn check_accepted(
    new: NewOperation<'_>,
    again: NewOperation<'_>,
    headers: &HeaderMap,
    now: Timestamp,
) {
    assert_eq!(
        new.fingerprint, again.fingerprint,
        "a replay has the same fingerprint"
    );
    let never = new.operation().restart == Restart::Never;
    let late = !new.late.is_empty();
    let record = new.record(&SEALER, now, now);
    let named = headers.contains_key("idempotency-key") || record.reference.is_some();
    assert!(
        named || !never,
        "an operation that must not run twice has a key or a reference"
    );
    assert_eq!(record.id == again.id, named, "a replay has the same id");
    assert_eq!(
        OperationId::parse(record.id.as_str()).as_ref(),
        Some(&record.id)
    );
    if let Some(callback) = &record.callback {
        assert_eq!(callback.origin, "https://tickets.example");
    }
    let location = record
        .parameters
        .get("storageLocation")
        .and_then(Value::as_str);
    assert_eq!(location.is_some(), never);
    assert!(location.is_none_or(|text| text.starts_with("https://") && !text.contains(['?', '#'])));
    assert_eq!(record.sealed_parameters.is_some(), never);
    assert!(late || record.deadline > now);
    let stored = serde_json::to_string(&record).unwrap();
    let loaded: Record = serde_json::from_str(&stored).unwrap();
    assert_eq!(loaded, record);
}
