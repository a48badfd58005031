//! Times on the command line: RFC 3339, a date, or a duration from now.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::failure::Usage;
use crate::terminal::duration;

/// The side of now on which a duration lies.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Before,
    After,
}

/// Reads a time of the command line and writes it as RFC 3339 in UTC.
pub(crate) fn moment(
    flag: &str,
    text: Option<&str>,
    side: Side,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let Some(text) = text else {
        return Ok(None);
    };
    let time = read(text.trim(), side, now).ok_or_else(|| {
        Usage::error(format!(
            "{flag} must be a time such as 2026-12-20T08:00:00Z, a date, or a duration such as 2h or 3d"
        ))
    })?;
    Ok(Some(courier_core::time::milliseconds(time)))
}

fn read(text: &str, side: Side, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(distance) = duration(text) {
        return match side {
            Side::Before => now.checked_sub(distance).ok(),
            Side::After => now.checked_add(distance).ok(),
        };
    }
    let date: Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written_or_counted_from_now() {
        let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
        let read = |text, side| moment("--x", Some(text), side, now);
        for (text, side, time) in [
            (
                "2026-12-20T08:00:00+01:00",
                Side::After,
                "2026-12-20T07:00:00.000Z",
            ),
            ("2026-12-20", Side::Before, "2026-12-20T00:00:00.000Z"),
            ("2h", Side::Before, "2026-11-21T18:00:00.000Z"),
            ("3d", Side::After, "2026-11-24T20:00:00.000Z"),
        ] {
            assert_eq!(read(text, side).unwrap().unwrap(), time);
        }
        for text in ["", "yesterday", "2026-13-01", "12345"] {
            let error = read(text, Side::Before).unwrap_err();
            assert!(error.is::<Usage>(), "{text}");
        }
        assert_eq!(moment("--x", None, Side::Before, now).unwrap(), None);
    }
}
