//! Valid records for tests of the ports, and the writes that advance them.

use courier_core::operation::{
    CallbackTarget, Delivery, DeliveryOutcome, FrozenEvent, GraphView, LegalClock, OperationId,
    Outcome, Record, State,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

pub const CLIENT: &str = "servicenow";
const START: i64 = 1_795_176_000;

/// Returns the time `seconds` after the start of all samples, 2026-11-20T12:00:00Z.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(START + seconds)
}

/// Returns an accepted operation of `CLIENT`, created at `at(0)`, due at `at(60)`, as it is inserted.
pub fn sample_record(id: &OperationId) -> Record {
    Record {
        id: id.clone(),
        revision: 1,
        writer: nonce(),
        client: CLIENT.to_owned(),
        tenant: "contoso".to_owned(),
        operation: "user.exportPersonalData".to_owned(),
        reference: Some("RITM0012345".to_owned()),
        fingerprint: "f00d".to_owned(),
        parameters: Map::from_iter([(
            "userId".to_owned(),
            "25d1d4de-0f0c-4a5f-a1cf-9c2bb2a2e5d4".into(),
        )]),
        sealed_parameters: None,
        callback: None,
        created_at: at(0),
        deadline: at(86_400),
        due_at: Some(at(60)),
        state: State::Accepted { not_before: at(0) },
        attempt: 0,
        maybe_started: false,
        epoch: 0,
        step_crashes: 0,
        started_at: None,
        ended_at: None,
        adopted: false,
        reason: None,
        token_refused: false,
        traceparent: None,
        person: None,
        acknowledged: None,
        tracestate: None,
        forecast: None,
        graph: GraphView::default(),
        last_monitor: None,
        previous: None,
        resumed_from: None,
        resumed_as: None,
        sealed_result: None,
        follow_up: None,
        result: None,
        error: None,
        event: None,
        delivery: Delivery::default(),
        announcement: None,
        history: Vec::new(),
        chain: None,
        shelved_until: None,
        legal: None,
        erased_at: None,
        unknown: Map::new(),
    }
}

/// Returns a legal clock whose due date is `due_at`.
pub fn sample_clock(due_at: Timestamp) -> LegalClock {
    let clock = serde_json::json!({
        "regulation": "gdpr", "receivedAt": at(0), "timeZone": "UTC",
        "dueOn": "2026-12-21", "dueAt": due_at, "firstDueOn": "2026-12-21",
    });
    serde_json::from_value(clock).unwrap_or_else(|error| panic!("no legal clock: {error}"))
}

/// Returns the same record one write later, by another writer.
pub fn next(record: &Record) -> Record {
    Record {
        revision: record.revision + 1,
        writer: nonce(),
        ..record.clone()
    }
}

/// Returns the record running, and due at `due`.
pub fn running(record: &Record, due: Timestamp) -> Record {
    Record {
        state: State::Running {
            monitor: "https://graph.example/v1.0/users('x')/operations('y')".to_owned(),
        },
        started_at: Some(at(1)),
        due_at: Some(due),
        ..next(record)
    }
}

/// Returns the record ended at `time`, with its callback due then.
pub fn ended(record: &Record, outcome: Outcome, time: Timestamp) -> Record {
    let kind = format!("operation.{}", outcome.as_str());
    Record {
        state: State::Ended { outcome },
        ended_at: Some(time),
        due_at: Some(time),
        event: Some(FrozenEvent {
            id: format!("msg_{}_{}", record.id.bare(), outcome.as_str()),
            body: format!(r#"{{"type":"{kind}"}}"#),
            is_otherwise: false,
            kind,
            unknown: Map::new(),
        }),
        ..next(record)
    }
}

/// Returns the record closed, so that nothing is due any more.
pub fn closed(record: &Record, outcome: Outcome, time: Timestamp) -> Record {
    let how = DeliveryOutcome::Delivered;
    Record {
        state: State::Closed { outcome, how },
        due_at: None,
        ..ended(record, outcome, time)
    }
}

/// Returns the record with a field twice when it is stored, which no version can read.
pub fn unreadable(record: &Record) -> Record {
    let mut record = record.clone();
    record
        .unknown
        .insert("attempt".to_owned(), "damaged".into());
    record
}

fn nonce() -> String {
    OperationId::random().into()
}

/// Returns a valid callback target.
pub fn sample_target() -> CallbackTarget {
    let target = serde_json::json!({ "url": "v1.sealed", "origin": "https://tickets.example" });
    serde_json::from_value(target).unwrap_or_else(|error| panic!("{error}"))
}
