//! Times and pauses. Time is an argument of the rules of this crate; only mains and tests make a [`Clock`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// A function that returns the present time. Only mains and tests make one.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Returns `time` plus `pause`, rounded up to the millisecond, which is the precision of stores and queues.
pub fn later(time: Timestamp, pause: Duration) -> Timestamp {
    let exact = time.saturating_add(pause).unwrap_or(Timestamp::MAX);
    let round_up = TimestampRound::new()
        .smallest(Unit::Millisecond)
        .mode(RoundMode::Ceil);
    exact.round(round_up).unwrap_or(exact)
}

/// Returns `time` minus `pause`.
pub(crate) fn earlier(time: Timestamp, pause: Duration) -> Timestamp {
    time.saturating_sub(pause).unwrap_or(Timestamp::MIN)
}

/// Writes a time as RFC 3339 in UTC, always with three decimals: such texts sort like the times they stand for.
pub fn milliseconds(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Writes a time as an HTTP-date (RFC 9110, section 5.6.7), which has whole seconds and no year before 1970.
pub fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(SystemTime::from(time.max(Timestamp::UNIX_EPOCH)))
}

/// Parses an HTTP-date.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

/// Parses a `date-time` of RFC 3339, section 5.6, and nothing else that the parser would accept.
pub(crate) fn rfc_3339(text: &str) -> Option<Timestamp> {
    let letters = text.chars().map(|letter| match letter {
        '0'..='9' => '0',
        other => other.to_ascii_uppercase(),
    });
    let shape: String = letters.collect();
    let after_seconds = shape.strip_prefix("0000-00-00T00:00:00")?;
    let offset = match after_seconds.strip_prefix(".0") {
        Some(fraction) => fraction.trim_start_matches('0'),
        None => after_seconds,
    };
    let is_offset = matches!(offset, "Z" | "+00:00" | "-00:00");
    is_offset.then(|| text.parse().ok())?
}

/// Serialises a time as [`milliseconds`] writes it.
pub(crate) fn serialize_milliseconds<S: serde::Serializer>(
    time: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// Returns the time from `since` to `now`; zero when `now` is earlier.
pub fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Returns the duration in seconds, rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
