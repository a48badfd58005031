//! The time formats of Graph and Entra, and adding seconds to a time.

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};

/// Formats a time as OData prescribes: `2026-10-07T14:49:41.25Z`.
pub(crate) fn iso(at: Timestamp) -> String {
    at.to_string()
}

/// Formats a time with hyphens, as the goals examples print it: `2023-06-19T12-06-03.0024Z`.
pub(crate) fn hyphenated(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H-%M-%S.%4fZ").to_string()
}

/// Formats a time without a zone, as the `date` in Graph's errors: `2021-10-07T14:49:41`.
pub(crate) fn zoneless(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Formats a time with a space, as Entra's error timestamp: `2016-01-09 02:02:12Z`.
pub(crate) fn spaced(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Formats the `Date` header. It follows the caller's clock, because a `Retry-After` date is compared with it.
pub(crate) fn http_date(at: Timestamp) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

/// Returns `at` plus `seconds`, or the latest possible time if that is too late.
pub(crate) fn after(at: Timestamp, seconds: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|duration| at.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_prints_a_moment_in_its_own_way() {
        let at: Timestamp = "2023-06-19T12:06:03.0024Z".parse().unwrap();
        assert_eq!(iso(at), "2023-06-19T12:06:03.0024Z");
        assert_eq!(hyphenated(at), "2023-06-19T12-06-03.0024Z");
        assert_eq!(zoneless(at), "2023-06-19T12:06:03");
        assert_eq!(spaced(at), "2023-06-19 12:06:03Z");
        assert_eq!(http_date(at).unwrap(), "Mon, 19 Jun 2023 12:06:03 GMT");
    }

    #[test]
    fn seconds_beyond_the_calendar_mean_never() {
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(after(at, 1.5).as_millisecond(), 1500);
        assert_eq!(after(at, f64::INFINITY), Timestamp::MAX);
        assert_eq!(after(at, 1e18), Timestamp::MAX);
    }
}
