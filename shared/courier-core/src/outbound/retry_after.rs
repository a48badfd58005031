//! Parses `Retry-After` (RFC 9110 §10.2.3), also with the decimals that Graph sends. Nothing here shortens a wait.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use jiff::Timestamp;

const MIN_WAIT: Duration = Duration::from_secs(1);
const MILLISECOND_DIGITS: usize = 3;

/// Returns the requested wait, or `None` if the header is missing or invalid.
///
/// The wait until an HTTP-date counts from the answer's own `Date`, so that a wrong clock of ours does no harm; without
/// one it counts from `now`.
pub fn parse(
    header: Option<&HeaderValue>,
    date: Option<&HeaderValue>,
    now: Timestamp,
) -> Option<Duration> {
    let text = ascii(header?)?;
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return seconds(text);
    }
    let until = http_date(text)?;
    let since = date
        .and_then(ascii)
        .and_then(http_date)
        .unwrap_or_else(|| SystemTime::from(now));
    Some(until.duration_since(since).unwrap_or_default())
}

/// Lengthens a wait to at least one second.
pub fn at_least_a_second(wait: Duration) -> Duration {
    wait.max(MIN_WAIT)
}

fn ascii(header: &HeaderValue) -> Option<&str> {
    let text = std::str::from_utf8(header.as_bytes()).ok()?;
    text.is_ascii().then(|| text.trim_matches([' ', '\t']))
}

fn http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// Parses `delay-seconds`, also with decimals, and rounds it up to the millisecond.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(whole) || !is_digits(decimals) {
        return None;
    }
    let whole = whole.parse().map_or(Duration::MAX, Duration::from_secs);
    let (kept, rest) = decimals.split_at(decimals.len().min(MILLISECOND_DIGITS));
    let milliseconds: u64 = format!("{kept:0<MILLISECOND_DIGITS$}").parse().ok()?;
    let excess = u64::from(rest.contains(|digit| digit != '0'));
    Some(whole.saturating_add(Duration::from_millis(milliseconds + excess)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-10-21T07:28:00Z";

    fn wait(header: &str, date: Option<&str>) -> Option<Duration> {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
        parse(
            Some(&value(header)),
            date.map(value).as_ref(),
            NOW.parse().unwrap(),
        )
    }

    #[test]
    fn missing_header_gives_no_wait() {
        assert_eq!(parse(None, None, NOW.parse().unwrap()), None);
    }

    #[test]
    fn wait_is_at_least_one_second_and_as_long_as_asked_for() {
        assert_eq!(at_least_a_second(Duration::ZERO), Duration::from_secs(1));
        for wait in [Duration::from_millis(2_128), Duration::MAX] {
            assert_eq!(at_least_a_second(wait), wait);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(header in "[ -~]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            wait(&header, Some(&header));
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                parse(Some(&value), Some(&value), NOW.parse().unwrap());
            }
        }

        #[test]
        fn decimals_are_rounded_up_by_less_than_a_millisecond(whole in 0_u64..1_000_000, decimals in "[0-9]{1,9}") {
            let waited = wait(&format!("{whole}.{decimals}"), None).unwrap();
            let nanoseconds: u32 = format!("{decimals:0<9}").parse().unwrap();
            let exact = Duration::new(whole, nanoseconds);
            prop_assert!(waited >= exact);
            prop_assert!(waited < exact + Duration::from_millis(1));
        }

        #[test]
        fn larger_number_never_gives_a_shorter_wait(a in 0_u64..1_000_000_000, b in 0_u64..1_000_000_000) {
            let decimal = |n: u64| wait(&format!("{}.{:06}", n / 1_000_000, n % 1_000_000), None).unwrap();
            prop_assert_eq!(a.cmp(&b).is_le() && decimal(a) > decimal(b), false);
        }
    }
}
