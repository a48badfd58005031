//! The `data` of each event. Nothing in it says whom an operation is about.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Context, EventType};
use crate::operation::view::short_legal;
use crate::operation::{FrozenEvent, Reason, Record};
use crate::time::milliseconds;

/// Returns the event that `record` has ended, which is frozen with the end.
pub fn ended(record: &Record, ended_at: Timestamp, context: &Context<'_>) -> FrozenEvent {
    let data = about(record, context);
    context.about(record, EventType::Ended, ended_at, data.into())
}

/// Returns what every event says of its operation.
pub(super) fn about(record: &Record, context: &Context<'_>) -> Map<String, Value> {
    let time = |time: Option<Timestamp>| time.map(milliseconds);
    let mut data = json!({
        "id": record.id,
        "operation": record.operation,
        "status": record.state.status(),
        "reason": record.reason,
        "reference": record.reference,
        "createdAt": milliseconds(record.created_at),
        "startedAt": time(record.started_at),
        "endedAt": time(record.ended_at),
        "deadline": milliseconds(record.deadline),
        "links": { "self": context.link(&record.id) },
    });
    if let Some(clock) = &record.legal {
        data["legal"] = short_legal(record, clock);
    }
    match data {
        Value::Object(data) => data,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// Returns what an event about the delivery of the completion says besides.
pub(super) fn delivery(record: &Record, context: &Context<'_>) -> Value {
    let mut data = about(record, context);
    let delivery = &record.delivery;
    data.insert("attempts".to_owned(), delivery.attempts.into());
    data.insert("lastStatus".to_owned(), delivery.last_status.into());
    data.into()
}

/// Returns what an event says about a trouble: `attention` is its reason, `by` whether a person has settled it.
pub(super) fn trouble(record: &Record, context: &Context<'_>, attention: Reason) -> Value {
    let mut data = about(record, context);
    data.insert("attention".to_owned(), json!(attention));
    data.into()
}
