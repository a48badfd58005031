//! Tests whole requests: bodies, idempotency keys and trace contexts.

use std::collections::BTreeSet;

use courier_core::catalogue::Catalogue;
use courier_core::config::credentials::Credentials;
use courier_core::config::{CallbackProfiles, Client, EventRules};
use courier_core::crypto::seal::Sealer;
use courier_core::crypto::secret::Secret;
use courier_core::http::problem::Problem;
use courier_core::http::request::parse;
use courier_core::operation::random_ids;
use courier_core::operation::{OperationId, Record};
use courier_core::outbound::address::Allowed;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

use crate::cases;
use crate::{check, placeless};

const SCHEDULE: &str = r#"{"operation":"team.schedule","parameters":{"teamId":"871dbd5c-3a6a-4392-bfe1-042452793a50","schedule":{"enabled":true,"timeZone":"UTC"}}}"#;

/// Returns the record of a request, or its refusal as `refusal` writes it.
fn read(body: &[u8], name: &'static str, value: &[u8]) -> Result<Record, String> {
    let operations = [
        "user.exportPersonalData",
        "goals.exportJob",
        "team.schedule",
    ];
    let client = Client {
        name: "tickets".to_owned(),
        tenant: "contoso".to_owned(),
        credentials: Credentials::default(),
        requests_per_minute: 600,
        max_open_operations: 20_000,
        operations: BTreeSet::from(operations.map(str::to_owned)),
        storages: BTreeSet::new(),
        callback_origins: vec!["https://hooks.example".to_owned()],
        signing_secrets: Vec::new(),
        profiles: CallbackProfiles::default(),
        events: true,
        event_rules: EventRules::default(),
    };
    let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(value).map_err(|_| "no header".to_owned())?;
    headers.insert(name, value);
    let (allowed, ids) = (Allowed::default(), random_ids());
    let catalogue = Catalogue::shipped();
    let new = parse(body, &headers, &client, catalogue, &allowed, &ids, now).map_err(refusal)?;
    if new.late.is_empty() {
        let sealer = Sealer::new(&Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        Ok(new.record(&sealer.unwrap(), now, now))
    } else {
        Err(refusal(Problem::InvalidRequest(new.late)))
    }
}

/// Returns the status, the problem type, and the broken rules with their places.
fn refusal(problem: Problem) -> String {
    let response = problem.into_response();
    let document: Value = serde_json::from_slice(response.body()).unwrap();
    let kind = document["type"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap();
    let rules: Vec<String> = document["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| {
            let pointer_or_header = error["pointer"]
                .as_str()
                .or_else(|| error["header"].as_str())
                .unwrap();
            let rule = placeless(error["rule"].as_str().unwrap());
            let place = pointer_or_header.replace(char::is_control, "?");
            format!("{place} {rule}")
        })
        .collect();
    format!("{} {kind} {}", response.status().as_u16(), rules.join("; "))
}

#[test]
fn body_is_accepted_or_every_mistake_is_reported() {
    check(cases::BODIES, 100, |case| {
        let record = read(&case.input, "idempotency-key", b"k");
        record.map_or_else(
            |refusal| refusal,
            |record| format!("taken {}", record.operation),
        )
    });
}

#[test]
fn idempotency_key_names_one_operation() {
    check(cases::KEYS, 45, |case| {
        let record = match read(SCHEDULE.as_bytes(), "idempotency-key", &case.input) {
            Ok(record) => record,
            Err(refusal) => return refusal,
        };
        // The verdict names the key from which the operation's id must be derived.
        let key = case.verdict.strip_prefix("key ").unwrap_or_default();
        let named = OperationId::from_key("tickets", &format!("key {key}"));
        if record.id == named {
            case.verdict.clone()
        } else {
            "another key".to_owned()
        }
    });
}

#[test]
fn only_a_complete_trace_context_is_passed_on() {
    check(cases::TRACES, 25, |case| {
        let record = match read(SCHEDULE.as_bytes(), "traceparent", &case.input) {
            Ok(record) => record,
            Err(refusal) => return refusal,
        };
        match record.traceparent {
            Some(traceparent) => {
                // A later version is passed on as the version that this program speaks.
                assert!(traceparent.starts_with("00-"));
                assert_eq!(traceparent.as_bytes()[2..], case.input[2..55]);
                "kept".to_owned()
            }
            None => "ignored".to_owned(),
        }
    });
}
