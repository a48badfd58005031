//! Records cut down to what counts: times become constants, histories go.

use courier_core::operation::{Delivery, FrozenEvent, GraphView, Record, State};
use jiff::Timestamp;
use serde_json::Map;

use crate::rulebook::{LATER_REVISION, MISSING_LOOKS, base, timer};

/// Keeps of a new record what a later decision can depend on.
pub(crate) fn cut_down(before: &Record, mut after: Record) -> Record {
    let frozen = match (&before.event, after.event.take()) {
        (_, None) => None,
        (Some(old), Some(new)) if *old == new => Some(new),
        (old, Some(new)) => Some(FrozenEvent {
            body: if old.is_none() { "body" } else { "other body" }.to_owned(),
            ..new
        }),
    };
    let written = |time: Option<Timestamp>| time.map(|_| base());
    let known = before.announcement.as_ref().map(|one| &one.event);
    if let Some(announcement) = &mut after.announcement {
        announcement.delivery = cut_down_delivery(announcement.delivery.clone());
        if known != Some(&announcement.event) {
            let id = if known.is_none() {
                "announcement"
            } else {
                "other announcement"
            };
            announcement.event = FrozenEvent {
                id: id.to_owned(),
                body: "body".to_owned(),
                ..announcement.event.clone()
            };
        }
    }
    after.event = frozen;
    after.revision = LATER_REVISION;
    after.history.clear();
    after.chain = None;
    after.error = None;
    // What counts of a result is whether it says that nobody has seen what the job has made.
    after.result = after
        .result
        .filter(|result| result.contains_key("verified"));
    if let Some(follow_up) = &mut after.follow_up {
        follow_up.until = timer();
    }
    after.step_crashes = after.step_crashes.min(1);
    after.due_at = after.due_at.map(|_| timer());
    after.started_at = written(after.started_at);
    after.ended_at = written(after.ended_at);
    after.graph = GraphView {
        client_request_id: None,
        request_id: None,
        polls: 0,
        next_poll_at: after.graph.next_poll_at.map(|_| timer()),
        retry_after: None,
        missing: after.graph.missing.min(MISSING_LOOKS),
        missing_since: written(after.graph.missing_since),
        ..after.graph
    };
    after.delivery = cut_down_delivery(after.delivery);
    match &mut after.state {
        State::Accepted { not_before: until }
        | State::Starting { lease_until: until }
        | State::StartUnknown { hold_until: until } => *until = timer(),
        State::Locating {
            next_look_at,
            settle_until,
        } => {
            *next_look_at = timer();
            *settle_until = settle_until.map(|_| timer());
        }
        State::Running { .. } | State::Ended { .. } | State::Closed { .. } => {}
    }
    after
}

fn cut_down_delivery(delivery: Delivery) -> Delivery {
    Delivery {
        attempts: delivery.attempts.min(1),
        last_status: None,
        scheduled_since: delivery.scheduled_since.map(|_| base()),
        scheduled_attempts: delivery.scheduled_attempts.min(1),
        next_attempt_at: delivery.next_attempt_at.map(|_| timer()),
        postponed_ms: 0,
        unknown: Map::new(),
    }
}
