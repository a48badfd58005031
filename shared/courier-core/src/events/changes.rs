//! The events that follow from a written record, by what it was before.

use jiff::Timestamp;

use super::contents::{about, delivery, trouble};
use super::{Context, EventType};
use crate::operation::{DeliveryOutcome, FrozenEvent, HistoryEntry, Outcome, Reason, Record};

/// Returns the event of a record that has just been inserted.
pub fn inserted(record: &Record, context: &Context<'_>) -> FrozenEvent {
    let data = about(record, context).into();
    context.about(record, EventType::Accepted, record.created_at, data)
}

/// Returns the events of a change, with their types, except that of its end, which the record has itself.
pub fn changes(
    old: &Record,
    new: &Record,
    now: Timestamp,
    context: &Context<'_>,
) -> Vec<(EventType, FrozenEvent)> {
    let mut found = Vec::new();
    let mut add = |event_type, data| {
        found.push((event_type, context.about(new, event_type, now, data)));
    };
    if old.started_at.is_none() && new.started_at.is_some() {
        add(EventType::Started, about(new, context).into());
    }
    let (before, after) = (attention(old), attention(new));
    if before != after {
        if let Some(reason) = before {
            add(EventType::Resolved, trouble(new, context, reason));
        }
        if let Some(reason) = after {
            add(EventType::Attention, trouble(new, context, reason));
        }
    }
    let (was, is) = (old.callback_outcome(), new.callback_outcome());
    if was != is {
        match is {
            Some(DeliveryOutcome::Delivered) => {
                add(EventType::Delivered, delivery(new, context));
            }
            Some(DeliveryOutcome::Undeliverable) => {
                add(EventType::Undeliverable, delivery(new, context));
            }
            Some(DeliveryOutcome::NotRequested) | None => {}
        }
    }
    for line in news(old, new) {
        let event_type = match line.event.as_str() {
            "deadlineAtRisk" => EventType::AtRisk,
            "deadlinePassed" => EventType::Passed,
            _ => continue,
        };
        add(event_type, about(new, context).into());
    }
    found
}

/// Returns why somebody has to do something for the operation, if so.
///
/// It is a trouble that only people can mend, or an outcome that a person must look into until it is acknowledged.
fn attention(record: &Record) -> Option<Reason> {
    match record.state.outcome() {
        None => record.reason.filter(|reason| reason.needs_mending()),
        Some(Outcome::Unknown) if record.acknowledged.is_none() && record.erased_at.is_none() => {
            Some(record.reason.unwrap_or(Reason::StartOutcomeUnknown))
        }
        Some(_) => None,
    }
}

/// Returns the lines that the history has got.
fn news<'a>(old: &Record, new: &'a Record) -> impl Iterator<Item = &'a HistoryEntry> {
    let known = old.history.last().cloned();
    let newest = new.history.iter().rev();
    newest.take_while(move |line| Some(*line) != known.as_ref())
}
