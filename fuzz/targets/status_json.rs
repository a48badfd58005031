//! Fuzzes Graph's answers: the first byte selects the operation, the second the HTTP status, and the rest is the body.

#![no_main]

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Operation};
use courier_core::graph::error;
use courier_core::graph::verdict::{
    self, Answer, GraphReply, PollVerdict, StartVerdict, StatusSnapshot,
};
use courier_core::operation::Outcome;
use courier_core::outbound::answer_body;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
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
    match verdict::classify_poll(&reply, &operation.poll, &Map::new()) {
        PollVerdict::Seen(snapshot) => {
            assert!((200..300).contains(&status));
            check(&snapshot, operation, body);
        }
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
    let graph = Url::parse("https://graph.microsoft.com").unwrap();
    let start_url = "https://graph.microsoft.com/v1.0/teams/1/schedule";
    match verdict::classify_start(&reply, operation, &graph, start_url, &Map::new()) {
        StartVerdict::Started(started) => {
            assert!((200..300).contains(&status) || status == 409);
            let monitor = Url::parse(&started.monitor).unwrap();
            assert_eq!(monitor.origin(), graph.origin());
            if let Some(snapshot) = started.snapshot {
                check(&snapshot, operation, body);
            }
        }
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

fn check(snapshot: &StatusSnapshot, operation: &Operation, body: &[u8]) {
    assert!(snapshot.word.chars().count() <= 64 && !snapshot.word.chars().any(char::is_control));
    assert!(snapshot.progress.is_none_or(f64::is_finite));
    let done = || {
        let body: Value = answer_body::parse(body).unwrap();
        let condition = operation.poll.done_when.as_ref();
        condition.is_none_or(|done| done.holds(&body, &Map::new()))
    };
    match snapshot.outcome {
        Some(Outcome::Succeeded | Outcome::PartiallySucceeded) => assert!(done()),
        Some(Outcome::Failed) => assert!(snapshot.error.is_some()),
        Some(other) => panic!("no answer of Graph means {other:?}"),
        None => {}
    }
    assert_eq!(
        snapshot.error.is_some(),
        snapshot.outcome == Some(Outcome::Failed)
    );
    for (name, value) in &snapshot.result {
        let row = &operation.poll.result[name];
        let text = value.as_str().unwrap_or_default();
        assert!(text.len() <= 16 * 1024 && !(row.without_query && text.contains(['?', '#'])));
        assert!(!value.is_array() && !value.is_object() && !value.is_null());
    }
}

fn check_text(text: &str) {
    assert!(text.chars().count() <= 512 && !text.chars().any(char::is_control));
}
