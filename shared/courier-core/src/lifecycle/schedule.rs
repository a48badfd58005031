//! Computes when to poll Graph again, to repeat a refused start, and to repeat a callback that was not accepted.
//!
//! Pacing needs no state: age and `Retry-After` decide. Jitter is a hash, so `decide` stays pure.

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

/// Time within which delivery of a completion is tried: the sum of the pauses, 75 h 35 min 5 s.
pub const CALLBACK_WINDOW: Duration = crate::callback::DELIVERY_WINDOW;

/// Time before the deadline at which a last poll is made, unless Graph requested a longer pause.
const LAST_POLL_BEFORE_DEADLINE: SignedDuration = SignedDuration::from_secs(5);

/// Returns the time of the next poll, which is never past the deadline.
///
/// Our own pause is the longer of the catalogue's first pause (or a shorter `Retry-After`) and a tenth of the
/// operation's age, at most the catalogue's longest pause. A longer `Retry-After` replaces our own pause. Jitter only
/// lengthens the pause: by up to a tenth of it (60 s at most), or by up to our own pause after a longer `Retry-After`.
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
    // Many operations may get the same `Retry-After`. They are spread over a pause of our own, not to poll all at once.
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
    // The last poll comes no sooner than Graph allows, and there is only one in the last seconds.
    let earliest = later(now, retry_after.unwrap_or(Duration::from_secs(1)));
    let last = if last_poll > now {
        last_poll.max(earliest)
    } else {
        record.deadline
    };
    last.min(record.deadline).max(now)
}

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
    let spread = pause.mul_f64(0.2 * fraction(record, now));
    let at_least = retry_after.map(retry_after::clamp).unwrap_or_default();
    later(now, (pause + spread).max(at_least)).min(record.deadline.max(now))
}

/// Returns the time of the next delivery attempt after `attempts` attempts, or `None` when the window is over.
///
/// `since` is the time of the first attempt. `Retry-After` is honoured in full while the window lasts: the last attempt
/// falls on the window's end. The window ends later by the time for which attempts were postponed, up to twice as late.
pub fn next_callback(
    record: &Record,
    since: Timestamp,
    attempts: u32,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let postponed = Duration::from_millis(record.delivery.postponed_ms);
    let end = later(since, CALLBACK_WINDOW + postponed.min(CALLBACK_WINDOW));
    if now >= end {
        return None;
    }
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = CALLBACK_PAUSES[index.min(CALLBACK_PAUSES.len() - 1)];
    let jittered = pause.mul_f64(0.8 + 0.4 * fraction(record, now));
    Some(later(now, jittered.max(retry_after.unwrap_or_default())).min(end))
}

/// Returns a number in [0, 1) that depends on the operation and the time (FNV-1a, finished by a multiply-shift).
fn fraction(record: &Record, now: Timestamp) -> f64 {
    let millis = now.as_millisecond().to_le_bytes();
    let bytes = record.id.as_str().bytes().chain(millis);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}
