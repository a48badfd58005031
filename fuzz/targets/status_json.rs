//! Fuzzes Graph's answers: the first byte selects the operation, the second the HTTP status, and the rest is the body.

#![no_main]

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Operation, QueryRule};
use courier_core::graph::error;
use courier_core::graph::verdict::{
    self, Answer, FindVerdict, GraphReply, PollVerdict, StartVerdict, StatusSnapshot, Subject,
};
use courier_core::operation::{Outcome, Record};
use courier_core::outbound::answer_body;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use url::Url;

const STATUSES: [u16; 16] = [
    200, 200, 200, 200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 410, 429, 503,
];

fuzz_target!(|data: &[u8]| {
    let [operation, status, body @ ..] = data else {
        return;
    };
    let operations: Vec<&Operation> = Catalogue::shipped().iter().collect();
    let operation = operations[usize::from(*operation) % operations.len()];
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let reply = reply(status, body);
    let record = record(operation);
    let graph = Url::parse("https://graph.microsoft.com").unwrap();
    let subject = Subject {
        operation,
        record: &record,
        graph: &graph,
    };
    match verdict::classify_poll(&reply, subject) {
        PollVerdict::Seen(snapshot) => {
            let by_status = operation.poll.failed_statuses.contains(&status);
            let redirected = operation.poll.redirect.is_some() && (300..400).contains(&status);
            assert!((200..300).contains(&status) || by_status || redirected);
            check(&snapshot, operation);
        }
        PollVerdict::NotListed => assert!(operation.poll.items.is_some()),
        PollVerdict::Missing(error) => {
            assert!(matches!(status, 400 | 404 | 410));
            check_text(&error.code);
            check_text(&error.message);
        }
        PollVerdict::Unauthorized => assert!(matches!(status, 401 | 403)),
        PollVerdict::Nothing(pause) => {
            assert!(pause.is_none_or(|pause| status == 429 && pause > Duration::ZERO))
        }
    }
    if let Some(find) = &operation.find {
        match verdict::classify_find(&reply, find, subject) {
            FindVerdict::Found(monitor) => {
                let is_gone = operation.poll.absent.is_some() && [404, 410].contains(&status);
                assert!((200..300).contains(&status) || is_gone);
                assert_eq!(Url::parse(&monitor).unwrap().origin(), graph.origin());
            }
            FindVerdict::Absent => assert!(status < 300 || [404, 410].contains(&status)),
            FindVerdict::Refused | FindVerdict::Nothing => {}
        }
    }
    let start_url = "https://graph.microsoft.com/v1.0/teams/1/schedule";
    match verdict::classify_start(&reply, subject, start_url, record.created_at) {
        StartVerdict::Started(started) => {
            assert!((200..300).contains(&status) || status == 409);
            let monitor = Url::parse(&started.monitor).unwrap();
            assert_eq!(monitor.origin(), graph.origin());
            if let Some(snapshot) = started.snapshot {
                check(&snapshot, operation);
            }
        }
        StartVerdict::Locate(_) => assert!((200..300).contains(&status)),
        StartVerdict::Early(pause) => assert!(pause > Duration::ZERO && status >= 400),
        StartVerdict::Already(_) => assert!(!operation.start.already.is_empty()),
        StartVerdict::Refused(error) => {
            assert!(!(200..300).contains(&status) && status < 500);
            check_text(&error.code);
            check_text(&error.message);
        }
        StartVerdict::Unauthorized(_) => assert_eq!(status, 401),
        StartVerdict::Throttled(_) => assert_eq!(status, 429),
        StartVerdict::Lost { .. } => assert_eq!(status, 503),
        StartVerdict::Untrackable(_) => assert!((200..300).contains(&status)),
        StartVerdict::NotSent => panic!("an answered start counts as not sent"),
    }
});

/// Returns the answer as `graph` reads it; a string at `/location` stands for the header.
fn reply(status: u16, body: &[u8]) -> GraphReply {
    let error = error::parse(body).filter(|_| status >= 400);
    let body: Option<Value> = answer_body::parse(body).ok();
    let location = body
        .as_ref()
        .and_then(|body| body.get("location")?.as_str());
    GraphReply::Answer(Box::new(Answer {
        status,
        locations: location.map(str::to_owned).into_iter().collect(),
        retry_after: (status == 429).then_some(Duration::from_secs(30)),
        body,
        error,
        ..Answer::default()
    }))
}

fn check(snapshot: &StatusSnapshot, operation: &Operation) {
    assert!(snapshot.word.chars().count() <= 64 && !snapshot.word.chars().any(char::is_control));
    assert!(snapshot.progress.is_none_or(f64::is_finite));
    match snapshot.outcome {
        Some(Outcome::Failed) => assert!(snapshot.error.is_some()),
        Some(Outcome::Succeeded | Outcome::PartiallySucceeded | Outcome::Cancelled) | None => {
            assert!(snapshot.error.is_none());
        }
        Some(other) => panic!("no answer of Graph means {other:?}"),
    }
    for (name, value) in &snapshot.result {
        assert!(!value.is_object() && !value.is_null());
        assert!(value.to_string().len() <= 6 * 16 * 1024);
        let Some(spec) = operation.result.get(name) else {
            assert_eq!(name, "truncated");
            continue;
        };
        let text = value.as_str().unwrap_or_default();
        let is_cut = matches!(spec.query, Some(QueryRule::Drop | QueryRule::Secret));
        assert!(!(is_cut && text.contains(['?', '#'])));
    }
}

/// Returns a record of the operation, whose request had no parameters.
fn record(operation: &Operation) -> Record {
    let record = json!({
        "id": "op_0123456789abcdef0123456789abcdef", "revision": 1, "writer": "w", "client": "c",
        "tenant": "t", "operation": operation.name, "fingerprint": "f", "parameters": {}, "attempt": 1,
        "created_at": "2026-11-20T12:00:00Z", "deadline": "2026-11-21T12:00:00Z", "hop": 1,
        "state": { "name": "running", "monitor": "m" }, "adopted": false,
        "maybe_started": false, "token_refused": false,
        "graph": { "polls": 1, "seen": true, "missing": 0 },
        "delivery": { "attempts": 0, "scheduledAttempts": 0 }, "history": [],
    });
    serde_json::from_value(record).unwrap()
}

fn check_text(text: &str) {
    assert!(text.chars().count() <= 512 && !text.chars().any(char::is_control));
}
