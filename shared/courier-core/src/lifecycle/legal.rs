//! The legal clock: what people do to it, and the lines of the history that say that its due date comes near.

use jiff::Timestamp;

use super::{Decision, Event, Next, Rules, only, written};
use crate::operation::{HistoryEntry, LegalClock, Record};
use crate::time::milliseconds;

/// An act on the legal clock.
#[derive(Debug, Clone)]
pub struct LegalChange {
    /// The clock after the act, with a version above that of the clock that was read.
    pub clock: LegalClock,
    /// Name of the act in the history.
    pub act: &'static str,
    pub detail: String,
}

impl Rules<'_> {
    /// Takes over the clock after an act, if nobody has changed it since it was read and the operation has no outcome.
    pub(super) fn legal_clock_changed(&self, change: &LegalChange) -> Decision {
        let clock = &change.clock;
        let is_next = self.record.legal.as_ref().is_some_and(|before| {
            before.regulation == clock.regulation && before.version + 1 == clock.version
        });
        if !is_next || self.record.ended_at.is_some() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.legal = Some(clock.clone());
        let entry = self.entry(
            change.act,
            record.state.status(),
            Some(change.detail.clone()),
        );
        record.remember(entry);
        written(record, Next::Drop)
    }
}

/// Adds to a decision what the history has to say of the legal clock, at most once for each due date and number of days.
///
/// It comes with a write that is made anyhow, or with one of its own where the message waits or goes on.
pub(super) fn watched(
    record: &Record,
    event: &Event,
    now: Timestamp,
    mut decision: Decision,
) -> Decision {
    if record.legal.is_none() || !is_watching(event) {
        return decision;
    }
    match &mut decision.write {
        Some(new) => note(new, now),
        None if matches!(decision.next, Next::Prepare | Next::Poll | Next::Wait(_)) => {
            let mut new = record.clone();
            new.revision += 1;
            note(&mut new, now);
            if new.legal != record.legal {
                decision.write = Some(Box::new(new));
            }
        }
        None => {}
    }
    decision
}

/// Reports whether the event is a step of the operation itself.
fn is_watching(event: &Event) -> bool {
    match event {
        Event::Arrived(_)
        | Event::NotReady(_)
        | Event::Started { .. }
        | Event::Polled { .. }
        | Event::Overdue
        | Event::StepCrashed => true,
        Event::Prepared { .. }
        | Event::Called { .. }
        | Event::Announced { .. }
        | Event::Deferred { .. }
        | Event::Cancelled
        | Event::RedeliveryRequested
        | Event::Retargeted(_)
        | Event::Erased
        | Event::Acknowledged { .. }
        | Event::Resumed
        | Event::LegalClockChanged(_)
        | Event::Requested { .. }
        | Event::Restored { .. } => false,
    }
}

/// Notes what is new about the due date of an operation without an outcome.
fn note(record: &mut Record, now: Timestamp) {
    if record.ended_at.is_some() {
        return;
    }
    let usual_end = record.usual_end();
    let status = record.state.status();
    let Some(clock) = record
        .legal
        .as_mut()
        .filter(|clock| clock.paused_at.is_none())
    else {
        return;
    };
    let due = format!("due {} ({})", milliseconds(clock.due_at), clock.regulation);
    let mut entries = Vec::new();
    let mut add = |event: &str, detail: String| {
        entries.push(HistoryEntry::new(now, status, event, Some(detail)));
    };
    if let Some(days) = clock.risk_days(now)
        && clock.warned_days.is_none_or(|warned| days < warned)
    {
        clock.warned_days = Some(days);
        match days {
            0 => add("deadlinePassed", due.clone()),
            1 => add("deadlineAtRisk", format!("{due}: less than 1 day is left")),
            _ => add(
                "deadlineAtRisk",
                format!("{due}: less than {days} days are left"),
            ),
        }
    }
    let is_late = usual_end.filter(|end| *end > clock.due_at);
    if let Some(end) = is_late.filter(|_| !clock.warned_usual && now <= clock.due_at) {
        clock.warned_usual = true;
        let end = milliseconds(end);
        add(
            "deadlineAtRisk",
            format!("{due}: nine of ten such jobs would have ended by {end}"),
        );
    }
    for entry in entries {
        record.remember(entry);
    }
}
