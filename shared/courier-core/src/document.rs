//! The operation as callers and receivers see it (DESIGN §4.1), and the completion frozen when it ends (§4.2).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::record::{Closing, FrozenEvent, Record, State};

/// The operation document. `now` decides whether a planned look still lies ahead.
pub(crate) fn document(record: &Record, now: Timestamp) -> Value {
    let graph = &record.graph;
    let open = record.ended_at.is_none();
    let next = graph.next_poll_at.filter(|at| open && *at > now);
    json!({
        "id": record.id,
        "operation": record.operation,
        "status": record.state.status(),
        "reason": record.reason,
        "reference": record.reference,
        "createdAt": record.created_at,
        "startedAt": record.started_at,
        "endedAt": record.ended_at,
        "deadline": record.deadline,
        "adopted": record.adopted,
        "graph": {
            "status": graph.status,
            "progress": graph.progress,
            "clientRequestId": graph.client_request_id,
            "requestId": graph.request_id,
            "polls": graph.polls,
            "nextPollAt": next,
        },
        "result": record.result,
        "error": record.error,
        "callback": callback(record),
    })
}

/// `none` without a callback; else `pending`, `delivered` or `undeliverable`.
fn callback(record: &Record) -> Value {
    let status = match &record.state {
        _ if record.callback.is_none() => "none",
        State::Closed {
            how: Closing::Delivered,
            ..
        } => "delivered",
        State::Closed {
            how: Closing::Undeliverable,
            ..
        } => "undeliverable",
        State::Accepted { .. }
        | State::Starting { .. }
        | State::StartUnknown { .. }
        | State::Running { .. }
        | State::Ended { .. }
        | State::Closed {
            how: Closing::None, ..
        } => "pending",
    };
    json!({
        "status": status,
        "attempts": record.delivery.attempts,
        "lastStatus": record.delivery.last_status,
    })
}

/// The completion of a record that has just ended: its id and the bytes of its body, from now on the same.
pub(crate) fn freeze(record: &Record, ended_at: Timestamp) -> FrozenEvent {
    let word = record.state.status();
    let kind = format!("operation.{word}");
    let body = json!({ "type": kind, "timestamp": ended_at, "data": document(record, ended_at) });
    FrozenEvent {
        id: format!("msg_{}_{word}", record.id.bare()),
        kind,
        body: body.to_string(),
    }
}
