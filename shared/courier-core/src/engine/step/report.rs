//! What the log and the metrics tell of a written record.

use crate::engine::app::App;
use crate::operation::{DeliveryOutcome, Reason, Record, State};
use crate::time::elapsed;

/// Logs a line at `info` for each change of the public status or its reason, and none for a poll without news.
pub(super) fn report(app: &App, old: &Record, new: &Record) {
    count(app, old, new);
    app.tell_changes(old, new);
    let (before, after) = (old.state.status(), new.state.status());
    if before != after || old.reason != new.reason {
        let reason = new.reason.map(Reason::as_str);
        tracing::info!(operation.id = %new.id, operation = new.operation, status = after, reason, "operation changed");
    }
    if let State::Closed { how, .. } = &new.state {
        tracing::info!(operation.id = %new.id, closed = ?how, attempts = new.delivery.attempts, "operation closed");
    }
}

fn count(app: &App, old: &Record, new: &Record) {
    let mut counts = app.metrics.counts();
    let mut details = app.metrics.details();
    let name = || new.operation.clone();
    if old.started_at.is_none() && new.started_at.is_some() {
        counts.started += 1;
        *details.started.entry(name()).or_default() += 1;
    }
    if let (None, Some(outcome)) = (old.state.outcome(), new.state.outcome()) {
        *counts.ended.entry(outcome.as_str()).or_default() += 1;
        *details.ended.entry((name(), outcome)).or_default() += 1;
        counts.start_unknown += u64::from(is_unfollowed(new.reason));
    }
    let settled = |record: &Record| record.announcement.as_ref().and_then(|one| one.settled);
    if settled(old).is_none() && settled(new) == Some(DeliveryOutcome::Undeliverable) {
        *counts.events.entry("undeliverable").or_default() += 1;
    }
    match (old.callback_outcome(), new.callback_outcome(), new.ended_at) {
        (Some(_), _, _) => {}
        (None, Some(how), Some(ended_at)) => match how {
            // The caller requests a redelivery, so the lag of one does not measure our own deliveries.
            DeliveryOutcome::Delivered
                if new.delivery.attempts > new.delivery.scheduled_attempts => {}
            DeliveryOutcome::Delivered => {
                let lag = elapsed(ended_at, app.now());
                counts.add_lag(lag);
                details.completion_lag.observe(lag);
            }
            DeliveryOutcome::Undeliverable => counts.undeliverable += 1,
            DeliveryOutcome::NotRequested => {}
        },
        _ => {}
    }
}

/// Reports whether a job may still run although the operation ended for this reason.
fn is_unfollowed(reason: Option<Reason>) -> bool {
    let unfollowed = [
        Reason::StartOutcomeUnknown,
        Reason::StartUntrackable,
        Reason::LocationUntrusted,
    ];
    reason.is_some_and(|reason| unfollowed.contains(&reason))
}
