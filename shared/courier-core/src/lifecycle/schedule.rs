//! When to look again: at Graph, at a refused start, at a receiver that did not take its callback.
//!
//! Pacing needs no state (DESIGN §6): age and `Retry-After` decide. Jitter is a hash, so `decide` stays pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::catalogue::PollSpec;
use crate::operation::Record;
use crate::outbound::retry_after;
use crate::time::{elapsed, later};

/// Pauses between callback attempts (Standard Webhooks 1.0, "Deliverability and reliability").
pub const CALLBACK_PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// How long a completion is offered: the sum of the pauses, 75 h 35 min 5 s.
pub const CALLBACK_WINDOW: Duration = Duration::from_secs(272_105);

/// A last poll is made this long before the deadline, unless Graph asked for a longer pause.
const LAST_POLL_BEFORE_DEADLINE: SignedDuration = SignedDuration::from_secs(5);

/// When to poll next: after the longest of `Retry-After` (or the catalogue's first pause) and a tenth of the age,
/// at most the catalogue's longest pause, never past the deadline. Jitter goes upward only: a tenth of the pause, or a
/// whole pause of our own after a `Retry-After` that is longer than that.
pub fn next_poll_at(
    record: &Record,
    row: &PollSpec,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let retry_after = retry_after.map(retry_after::clamp);
    let age = elapsed(record.started_at.unwrap_or(record.created_at), now);
    let longest = Duration::from_secs(row.max_seconds);
    let initial = Duration::from_secs(row.initial_seconds);
    let own = retry_after
        .unwrap_or(initial)
        .min(initial)
        .max(age / 10)
        .min(longest);
    // Many who are told the same time come back spread over one of their own pauses, not all at once.
    let (pause, spread) = match retry_after.filter(|pause| *pause > own) {
        Some(longer) => (longer, own),
        None => (own, (own / 10).min(Duration::from_secs(60))),
    };
    let next = later(now, pause + spread.mul_f64(fraction(record, now)));
    let last_poll = record
        .deadline
        .saturating_sub(LAST_POLL_BEFORE_DEADLINE)
        .unwrap_or(record.deadline);
    if next <= last_poll {
        return next;
    }
    // Not sooner than Graph allows, nor twice in the last seconds.
    let earliest = later(now, retry_after.unwrap_or(Duration::from_secs(1)));
    let last = if last_poll > now {
        last_poll.max(earliest)
    } else {
        record.deadline
    };
    last.min(record.deadline).max(now)
}

/// Until when the sweeper leaves a record alone whose next look is `look`: so long that a poll which learns
/// nothing writes at most about every four hours, so short that a lost message is found well within Graph's 24 h.
pub fn sweep_after(record: &Record, look: Timestamp, now: Timestamp) -> Timestamp {
    let age = elapsed(record.started_at.unwrap_or(record.created_at), now);
    later(look, age.min(Duration::from_secs(4 * 3600)))
}

/// Pause before the start after `attempt` (graph-facts §5: 3 s × attempt², at most 180 s; a quarter of an hour once
/// it has been refused for about an hour), jitter upward.
pub fn start_again(record: &Record, retry_after: Option<Duration>, now: Timestamp) -> Timestamp {
    let longest = if record.attempt > 20 { 900 } else { 180 };
    let attempt = u64::from(record.attempt.clamp(1, 20));
    let pause = Duration::from_secs((3 * attempt * attempt).min(longest));
    let spread = pause.mul_f64(0.2 * fraction(record, now));
    let at_least = retry_after.map(retry_after::clamp).unwrap_or_default();
    later(now, (pause + spread).max(at_least)).min(record.deadline.max(now))
}

/// When to offer the completion again after `attempts` attempts, `since` the first; `None` when the window is over.
///
/// `Retry-After` is honoured in full while the window lasts: the last attempt falls on its end.
pub fn next_callback(
    record: &Record,
    since: Timestamp,
    attempts: u32,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let end = later(since, CALLBACK_WINDOW);
    if now >= end {
        return None;
    }
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = CALLBACK_PAUSES[index.min(CALLBACK_PAUSES.len() - 1)];
    let jittered = pause.mul_f64(0.8 + 0.4 * fraction(record, now));
    Some(later(now, jittered.max(retry_after.unwrap_or_default())).min(end))
}

/// A time up to `width` after `time`, so that those who wait for the same one do not come at once.
pub(crate) fn spread(
    record: &Record,
    time: Timestamp,
    width: Duration,
    now: Timestamp,
) -> Timestamp {
    later(time, width.mul_f64(fraction(record, now)))
}

/// A number in [0, 1) from the operation and the time (FNV-1a, finished by a multiply-shift).
fn fraction(record: &Record, now: Timestamp) -> f64 {
    let millis = now.as_millisecond().to_le_bytes();
    let bytes = record.id.as_str().bytes().chain(millis);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}
