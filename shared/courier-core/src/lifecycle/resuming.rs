//! The timetable of a platform whose queue ends with its process: what the next process computes from the records.
//!
//! A poll that learns nothing is not written. The times of such polls follow from the record, so that the next process
//! finds its place among them; what does not follow from it is written (`Rules::still_running`).

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, PollSpec};
use crate::lifecycle::schedule;
use crate::operation::message::Message;
use crate::operation::{Record, State};
use crate::time::{elapsed, later};

/// How far the process that ran before is known to have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastSeen {
    /// Everything that was due by this time had been done.
    pub settled: Timestamp,
    /// Nothing was done after this time.
    pub alive_until: Timestamp,
}

/// Number of polls without news after which the next one is written, so that few are ever computed again.
const MAX_UNWRITTEN_POLLS: usize = 32;
/// A bound for the next process, far above the one for writing.
const MAX_COMPUTED_POLLS: usize = 10_000;

/// Returns the message that carries the record on, and when it is due; `None` once Closed.
///
/// A poll comes at its time. One that may have been made, although nothing says so, comes again only when Graph's
/// `Retry-After` is over even if it was made at the last possible moment.
pub fn resume(
    record: &Record,
    catalogue: &Catalogue,
    seen: Option<&LastSeen>,
) -> Option<(Message, Timestamp)> {
    let (message, due) = Message::resuming(record)?;
    let operation = catalogue.find(&record.operation);
    let due = match (&record.state, operation, seen) {
        (State::Running { .. }, Some(operation), Some(seen)) => {
            next_poll(record, &operation.poll, due, seen)
        }
        _ => due,
    };
    Some((message, due))
}

fn next_poll(record: &Record, row: &PollSpec, written: Timestamp, seen: &LastSeen) -> Timestamp {
    let (before, planned) = planned_after(record, row, (written, seen.settled), MAX_COMPUTED_POLLS)
        .unwrap_or((None, written));
    // The poll before may have come a little later than planned.
    let margin = before.map(|before| tolerance(elapsed(before, planned)));
    let due = later(planned, margin.unwrap_or_default());
    if planned > seen.alive_until {
        return due;
    }
    // It may have been made.
    let first = Duration::from_secs(row.initial_seconds);
    let asked = record.graph.retry_after.map(Duration::from_secs);
    let again = later(seen.alive_until, asked.unwrap_or(first));
    // No pause puts off the last poll any longer.
    due.max(again.min(later(record.deadline, schedule::LONGEST_PAST_DEADLINE)))
}

/// Returns the first poll after `time` that follows from the stored record, or `None` if it is far from there.
pub(super) fn planned(record: &Record, row: &PollSpec, time: Timestamp) -> Option<Timestamp> {
    let written = record.graph.next_poll_at?;
    let planned = planned_after(record, row, (written, time), MAX_UNWRITTEN_POLLS);
    planned.map(|(_, planned)| planned)
}

/// Returns how far a poll may be from its planned time without being written: a tenth of the pause, at least a second.
pub(super) fn tolerance(pause: Duration) -> Duration {
    (pause / 10).max(Duration::from_secs(1))
}

/// Returns the first poll after `time` of those that begin with `written`, and the one before it, if it is another.
fn planned_after(
    record: &Record,
    row: &PollSpec,
    (written, time): (Timestamp, Timestamp),
    most: usize,
) -> Option<(Option<Timestamp>, Timestamp)> {
    let asked = record.graph.retry_after.map(Duration::from_secs);
    let (mut before, mut poll) = (None, written);
    for _ in 0..most {
        if poll > time {
            return Some((before, poll));
        }
        let next = schedule::next_poll_at(record, row, asked, poll);
        if next <= poll {
            return None;
        }
        (before, poll) = (Some(poll), next);
    }
    None
}
