//! Computes when to poll Graph again, to repeat a refused start, and to repeat a callback that was not accepted.
//!
//! Age, `Retry-After` and the forecast that the record keeps from its start decide about polls. Jitter is a hash, so
//! `decide` stays pure. That of polls depends on the operation's id only, so that the times of all looks can be computed
//! again from the record.

use std::time::Duration;

use jiff::Timestamp;

use crate::catalogue::PollSpec;
use crate::lifecycle::forecast;
use crate::operation::{Delivery, OperationId, Record};
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

/// Time within which delivery of a completion is tried: the sum of the pauses, 75 h 35 min 5 s.
pub const CALLBACK_WINDOW: Duration = crate::callback::DELIVERY_WINDOW;

/// Returns our own pause between two polls: the catalogue's first one (or a shorter `Retry-After`), or if that is longer
/// the one that the forecast says, else a tenth of the operation's age; at most the catalogue's longest one.
fn own_pause(
    record: &Record,
    row: &PollSpec,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Duration {
    let age = elapsed(record.started_at.unwrap_or(record.created_at), now);
    let learned = record.forecast.as_ref();
    let paced = learned.and_then(|learned| forecast::pause(learned, age));
    let initial = Duration::from_secs(row.initial_seconds);
    retry_after
        .unwrap_or(initial)
        .min(initial)
        .max(paced.unwrap_or(age / 10))
        .min(Duration::from_secs(row.max_seconds))
}

/// Returns the longest pause until the next poll, if Graph goes on asking for the pause that it asked for when the record
/// was last written.
///
/// A later poll that brings no news is not written down. The next poll comes then or earlier: our own pauses are such that
/// a later poll is never followed by an earlier one.
pub fn longest_poll_pause(record: &Record, row: &PollSpec, now: Timestamp) -> Duration {
    let asked = record.graph.retry_after.map(Duration::from_secs);
    let own = own_pause(record, row, asked.map(retry_after::at_least_a_second), now);
    own + longest_jitter(own)
}

/// Returns the pause of a start that could not be prepared, where nobody has named one: a tenth of the operation's age.
pub fn start_pause(record: &Record, now: Timestamp) -> Duration {
    let age = elapsed(record.created_at, now);
    (age / 10).clamp(Duration::from_secs(5), Duration::from_secs(900))
}

fn longest_jitter(own_pause: Duration) -> Duration {
    (own_pause / 10).min(Duration::from_secs(60))
}

/// Longest time past the deadline for which a `Retry-After` puts off the last poll.
///
/// It is the only bound on Graph's pauses. Without it an absurd one would keep an operation open for years.
pub const LONGEST_PAST_DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// Reports whether the last poll is due, which no pause puts off any longer.
pub(crate) fn is_last_poll_due(record: &Record, now: Timestamp) -> bool {
    now >= later(record.deadline, LONGEST_PAST_DEADLINE)
}

/// Moves a poll that is too late to the latest time at which the last one may be.
fn not_too_late(record: &Record, poll: Timestamp, now: Timestamp) -> Timestamp {
    poll.min(later(record.deadline, LONGEST_PAST_DEADLINE).max(now))
}

/// Returns the time of the next poll; past the deadline only if Graph asks for so long a pause.
///
/// Our own pause is the longer of the catalogue's first pause (or a shorter `Retry-After`) and the forecast's pause, a
/// tenth of the operation's age without one, at most the catalogue's longest pause. A longer `Retry-After` replaces our
/// own pause. Jitter only lengthens the pause: by up to a tenth of it (60 s at most), or by up to our own pause after a
/// longer `Retry-After`.
pub fn next_poll_at(
    record: &Record,
    row: &PollSpec,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let retry_after = retry_after.map(retry_after::at_least_a_second);
    let own = own_pause(record, row, retry_after, now);
    // Many operations may get the same `Retry-After`. They are spread over a pause of our own, not to poll all at once.
    let (pause, spread) = match retry_after.filter(|pause| *pause > own) {
        Some(longer) => (longer, own),
        None => (own, longest_jitter(own)),
    };
    let next = jittered(record, pause, spread, now);
    if next <= record.deadline {
        return next;
    }
    // The last poll is at the deadline, or as soon after it as Graph allows.
    let earliest = later(now, retry_after.unwrap_or(Duration::from_secs(1)));
    not_too_late(record, record.deadline.max(earliest), now)
}

/// Pause after the first poll in a row that could not be made or got no status; each further one is four times as long.
const FIRST_PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(30);

/// Returns when to poll again after a poll that could not be made or got no status.
///
/// The pause of 30 s, 2 min, 8 min and so on is at most the pause between two polls, and at most `longest`; a
/// `Retry-After` only lengthens it. Jitter lengthens it by up to a tenth; after a longer `Retry-After`, which many
/// operations may have got at once, by up to as much again, at most by the pause between two polls.
pub fn ask_again(
    record: &Record,
    row: &PollSpec,
    retry_after: Option<Duration>,
    longest: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let failures = record.graph.unanswered.clamp(1, 8);
    let trouble = FIRST_PAUSE_AFTER_TROUBLE * 4_u32.pow(failures - 1);
    let own = own_pause(record, row, None, now);
    let pause = trouble.min(own).min(longest.unwrap_or(Duration::MAX));
    let (pause, spread) = match retry_after {
        Some(longer) if longer > pause => (longer, own.min(longer)),
        Some(_) | None => (pause, pause / 10),
    };
    not_too_late(record, jittered(record, pause, spread, now), now)
}

/// Returns when a poll comes that waits for its turn, a little later than `wait` so that not all come at once.
pub fn turn(record: &Record, wait: Option<Duration>, now: Timestamp) -> Timestamp {
    let wait = wait.unwrap_or_default();
    jittered(record, wait, wait / 10, now)
}

/// Returns when a poll comes after the pause that Graph has asked for, from this operation or from others like it.
///
/// They all wait for the same time, so they are spread after it, over the catalogue's first pause.
pub fn throttled(
    record: &Record,
    row: &PollSpec,
    wait: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let first = Duration::from_secs(row.initial_seconds);
    let (pause, spread) = match wait.filter(|wait| *wait > first) {
        Some(longer) => (longer, first),
        None => (first, first / 10),
    };
    not_too_late(record, jittered(record, pause, spread, now), now)
}

/// Longest pause between two polls that look for a missing monitor.
const MAX_MISSING_PAUSE: Duration = Duration::from_secs(3600);

/// Returns when to look again for a monitor that is missing: after 10 s, 20 s, 40 s and so on, at most a quarter of the
/// time after which it counts as gone.
pub fn missing_again(
    record: &Record,
    missing_for: Duration,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let doubled = Duration::from_secs(10) * 2_u32.pow(record.graph.missing.clamp(1, 16) - 1);
    let pause = doubled.min(missing_for / 4).min(MAX_MISSING_PAUSE);
    let longer = retry_after.filter(|longer| *longer > pause);
    let next = jittered(record, longer.unwrap_or(pause), pause / 10, now);
    not_too_late(record, next, now)
}

/// Returns when to look again for a job whose URL is not known: after 10 s, 20 s, 40 s and so on up to ten minutes.
///
/// One look comes at the time by which a job must have appeared, and one at the deadline.
pub fn look_again(
    record: &Record,
    settle_until: Option<Timestamp>,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Timestamp {
    let doubled = Duration::from_secs(10) * 2_u32.pow(record.graph.missing.min(6));
    let own = doubled.min(MAX_LOOK_PAUSE);
    let pause = retry_after.unwrap_or_default().max(own);
    let next = jittered(record, pause, own / 10, now);
    let earliest = later(now, retry_after.unwrap_or(Duration::from_secs(1)));
    let bounds = settle_until.into_iter().chain([record.deadline]);
    let ahead = bounds
        .filter(|bound| *bound > now)
        .map(|bound| bound.max(earliest));
    ahead.fold(next, Timestamp::min)
}

/// Longest pause between two looks for a job.
const MAX_LOOK_PAUSE: Duration = Duration::from_secs(600);

/// Returns the `due_at` of a record whose next poll is at `next_poll`: the sweeper leaves it alone until then.
///
/// The margin is long enough that polls without news cause a write at most about every four hours, and short enough
/// that a lost message is found well within Graph's 24 h.
pub fn sweep_after(record: &Record, next_poll: Timestamp, now: Timestamp) -> Timestamp {
    let age = elapsed(record.started_at.unwrap_or(record.created_at), now);
    later(next_poll, age.min(Duration::from_secs(4 * 3600)))
}

/// Pause before the start after `attempt` (3 s × attempt², at most 180 s; a quarter of an hour once
/// it has been refused for about an hour), jitter upward.
pub fn start_again(record: &Record, retry_after: Option<Duration>, now: Timestamp) -> Timestamp {
    let longest = if record.attempt > 20 { 900 } else { 180 };
    let attempt = u64::from(record.attempt.clamp(1, 20));
    let pause = Duration::from_secs((3 * attempt * attempt).min(longest));
    let spread = pause.mul_f64(0.2 * fraction(&record.id, now));
    let at_least = retry_after.unwrap_or_default();
    later(now, (pause + spread).max(at_least)).min(record.deadline.max(now))
}

/// Returns the time of the next delivery attempt of an operation, or `None` when the window is over.
///
/// The window begins with the first attempt. `Retry-After` is honoured in full while the window lasts: the last attempt
/// falls on the window's end. The window ends later by the time for which attempts were postponed, up to twice as late.
pub fn next_delivery(
    id: &OperationId,
    delivery: &Delivery,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let since = delivery.scheduled_since.unwrap_or(now);
    let postponed = Duration::from_millis(delivery.postponed_ms);
    let end = later(since, CALLBACK_WINDOW + postponed.min(CALLBACK_WINDOW));
    if now >= end {
        return None;
    }
    let made = delivery.scheduled_attempts.saturating_sub(1);
    let index = usize::try_from(made).unwrap_or(usize::MAX);
    let pause = CALLBACK_PAUSES[index.min(CALLBACK_PAUSES.len() - 1)];
    let jittered = pause.mul_f64(0.8 + 0.4 * fraction(id, now));
    Some(later(now, jittered.max(retry_after.unwrap_or_default())).min(end))
}

/// Returns the time after `pause` and a part of `spread`, the same part at each poll of the operation.
fn jittered(record: &Record, pause: Duration, spread: Duration, now: Timestamp) -> Timestamp {
    let jitter = spread.mul_f64(hashed(record.id.as_str().bytes()));
    later(now, pause.saturating_add(jitter))
}

/// Returns a number in [0, 1) that depends on the operation and the time.
fn fraction(id: &OperationId, now: Timestamp) -> f64 {
    let millis = now.as_millisecond().to_le_bytes();
    hashed(id.as_str().bytes().chain(millis))
}

/// Returns a number in [0, 1) that depends on the bytes (FNV-1a, finished by a multiply-shift).
fn hashed(bytes: impl Iterator<Item = u8>) -> f64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}
