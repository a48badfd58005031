//! Tests how JSON, `Retry-After`, queue messages and Graph's answers are read.

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Operation};
use courier_core::graph::verdict::{Answer, GraphReply, PollVerdict, Subject, classify_poll};
use courier_core::operation::message::Message;
use courier_core::outbound::answer_body;
use courier_core::outbound::retry_after::{at_least_a_second, parse};
use courier_core::strict_json;
use http::HeaderValue;

use crate::cases::{self, Case};
use crate::{check, placeless};

#[test]
fn json_is_parsed_strictly() {
    check(cases::JSON, 350, |case| {
        match strict_json::parse(&case.input) {
            Ok(value) => {
                let text = case.text().trim_start_matches('\u{feff}');
                let same: serde_json::Value = serde_json::from_str(text).unwrap();
                assert_eq!(same, value, "line {}", case.line);
                "taken".to_owned()
            }
            Err(error) => format!("refused {}", placeless(&error.rule)),
        }
    });
}

/// Returns the pause that a `Retry-After` gives; a second line of the input is the answer's own `Date`.
fn waited(case: &Case) -> String {
    let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
    let mut lines = case.input.splitn(2, |byte| *byte == b'\n').map(value);
    let now = "2026-10-21T07:28:00Z".parse().unwrap();
    let (header, date) = (lines.next(), lines.next());
    let Some(wait) = parse(header.as_ref(), date.as_ref(), now) else {
        return "nothing".to_owned();
    };
    assert_eq!(at_least_a_second(wait), wait.max(Duration::from_secs(1)));
    match u64::try_from(wait.as_millis()) {
        Ok(milliseconds) => format!("{milliseconds} ms"),
        Err(_) => "for ever".to_owned(),
    }
}

#[test]
fn retry_after_gives_a_pause_or_nothing() {
    check(cases::RETRY_AFTER, 45, waited);
}

#[test]
fn queue_message_is_read_or_refused() {
    check(cases::MESSAGES, 40, |case| {
        let Ok(message) = serde_json::from_slice::<Message>(&case.input) else {
            return "refused".to_owned();
        };
        assert_eq!(message.renewed(500).operation_id(), message.operation_id());
        match message {
            Message::WatchdogV1 { .. } => "watchdog".to_owned(),
            Message::PollV1 { epoch, .. } => format!("poll of hop {epoch}"),
        }
    });
}

/// Returns the outcome that an operation reads from the body of a 200.
fn seen(body: &[u8], operation: &Operation) -> String {
    let answer = Answer {
        status: 200,
        body: answer_body::parse(body).ok(),
        ..Answer::default()
    };
    let record = serde_json::json!({
        "id": "op_0123456789abcdef0123456789abcdef", "revision": 1, "writer": "w", "client": "c",
        "tenant": "t", "operation": operation.name, "fingerprint": "f", "parameters": { "schedule": { "enabled": true } }, "attempt": 1,
        "created_at": "2026-11-20T12:00:00Z", "deadline": "2026-11-20T12:00:00Z", "hop": 1,
        "state": { "name": "running", "monitor": "m" }, "adopted": false,
        "maybe_started": false, "token_refused": false, "graph": { "polls": 1, "seen": true, "missing": 0 },
        "delivery": { "attempts": 0, "scheduledAttempts": 0 }, "history": [],
    });
    let subject = Subject {
        operation,
        record: &serde_json::from_value(record).unwrap(),
        graph: &"https://graph.microsoft.com".parse().unwrap(),
    };
    let reply = GraphReply::Answer(Box::new(answer));
    let PollVerdict::Seen(snapshot) = classify_poll(&reply, subject) else {
        return "nothing".to_owned();
    };
    assert!(snapshot.word.chars().count() <= 64 && !snapshot.word.contains(char::is_control));
    assert!(!format!("{:?} {:?}", snapshot.result, snapshot.error).contains("canary"));
    snapshot
        .outcome
        .map_or_else(|| "waits".to_owned(), |outcome| outcome.as_str().to_owned())
}

#[test]
fn answer_of_graph_ends_an_operation_only_with_a_final_status() {
    check(cases::ANSWERS, 50, |case| {
        let catalogue = Catalogue::shipped();
        let names = [
            "user.exportPersonalData",
            "goals.exportJob",
            "team.schedule",
        ];
        let operations = names.iter().map(|name| catalogue.find(name).unwrap());
        let outcomes = operations
            .map(|operation| format!("{} {}", operation.name, seen(&case.input, operation)));
        outcomes.collect::<Vec<_>>().join(", ")
    });
}
