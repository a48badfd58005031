//! Parses the times in an Azure SAS, in the forms of ISO 8601 that the service accepts.
//!
//! Microsoft's page "Formatting DateTime values"
//! (<https://learn.microsoft.com/rest/api/storageservices/formatting-datetime-values>) has them: a date; or date and time
//! to the minute or the second, with up to seven decimals of a second, followed by nothing, `Z`, or an offset from -23:59
//! to +23:59. All values are UTC unless an offset says otherwise.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

/// The form of a date; `d` is a digit.
const DATE: &str = "dddd-dd-dd";
const TO_THE_MINUTE: &str = "dddd-dd-ddTdd:dd";
/// The form of a time with seconds, which a fraction of up to seven digits may follow.
const TO_THE_SECOND: &str = "dddd-dd-ddTdd:dd:dd";

/// Parses a time; a date without a time is the start of that day.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    if let Some(date) = date(text) {
        return Some(instant(date.into(), Offset::UTC));
    }
    let (local, offset) = split_offset(text)?;
    let form = without_fraction(&shape(local));
    [TO_THE_MINUTE, TO_THE_SECOND]
        .contains(&form.as_str())
        .then(|| Some(instant(local.parse().ok()?, offset)))?
}

/// Parses a date, which is also the form of a version of the service.
pub(super) fn date(text: &str) -> Option<Date> {
    (shape(text) == DATE).then(|| text.parse().ok())?
}

fn instant(local: DateTime, offset: Offset) -> Timestamp {
    // The last day that Azure can express (9999-12-31, for "never") is beyond the range of a Timestamp.
    offset.to_timestamp(local).unwrap_or(Timestamp::MAX)
}

/// Splits a time from its offset. A time without one is in UTC.
fn split_offset(text: &str) -> Option<(&str, Offset)> {
    if let Some(local) = text.strip_suffix('Z') {
        return Some((local, Offset::UTC));
    }
    let suffix = text
        .len()
        .checked_sub(6)
        .and_then(|start| text.split_at_checked(start));
    let Some((local, suffix)) = suffix.filter(|(_, suffix)| is_offset(suffix)) else {
        return Some((text, Offset::UTC));
    };
    let hours: i32 = suffix[1..3].parse().ok()?;
    let minutes: i32 = suffix[4..].parse().ok()?;
    let seconds = (hours * 60 + minutes) * 60;
    let sign = if suffix.starts_with('-') { -1 } else { 1 };
    let offset = Offset::from_seconds(sign * seconds).ok()?;
    (hours < 24 && minutes < 60).then_some((local, offset))
}

fn is_offset(suffix: &str) -> bool {
    ["+dd:dd", "-dd:dd"].contains(&shape(suffix).as_str())
}

fn shape(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_digit() { 'd' } else { letter })
        .collect()
}

/// Removes a fraction from a time with seconds; any other form is returned unchanged.
fn without_fraction(shape: &str) -> String {
    let whole = (1..=7)
        .map(|digits| format!(".{}", "d".repeat(digits)))
        .find_map(|fraction| shape.strip_suffix(&fraction))
        .filter(|whole| *whole == TO_THE_SECOND);
    whole.unwrap_or(shape).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_that_azure_accepts_are_parsed_at_the_right_instant() {
        for (text, expected) in [
            ("2026-12-20", "2026-12-20T00:00:00Z"),
            ("2026-12-20T13:14Z", "2026-12-20T13:14:00Z"),
            ("2026-12-20T13:14:15Z", "2026-12-20T13:14:15Z"),
            ("2026-12-20T13:14:15.1Z", "2026-12-20T13:14:15.1Z"),
            (
                "2026-12-20T13:14:15.1234567Z",
                "2026-12-20T13:14:15.1234567Z",
            ),
            ("2028-02-29T00:00Z", "2028-02-29T00:00:00Z"),
            ("2026-12-20T13:14", "2026-12-20T13:14:00Z"),
            ("2026-12-20T13:14:15", "2026-12-20T13:14:15Z"),
            ("2026-12-20T13:14:15.25", "2026-12-20T13:14:15.25Z"),
            ("2026-12-20T13:14:15-05:00", "2026-12-20T18:14:15Z"),
            ("2026-12-20T13:14:15+01:00", "2026-12-20T12:14:15Z"),
            ("2026-12-20T13:14+05:30", "2026-12-20T07:44:00Z"),
            ("2026-12-20T13:14:15.5-00:30", "2026-12-20T13:44:15.5Z"),
            ("2026-12-20T13:14:15+00:00", "2026-12-20T13:14:15Z"),
            ("2026-12-20T13:14:15-00:00", "2026-12-20T13:14:15Z"),
            ("2026-12-20T00:00:00+23:59", "2026-12-19T00:01:00Z"),
            ("2026-12-20T00:00:00-23:59", "2026-12-20T23:59:00Z"),
            ("2026-12-31T23:59-00:01", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse(text), Some(expected.parse().unwrap()), "{text}");
        }
        for never in [
            "9999-12-31",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59-23:59",
        ] {
            assert_eq!(parse(never), Some(Timestamp::MAX), "{never}");
        }
    }

    #[test]
    fn other_forms_and_impossible_dates_are_refused() {
        let texts = "soon 2027 2027-13-01 2027-02-29 2027-02-30T00:00:00Z 2027-01-20T24:01Z 2027-01-20T00:60:00Z 20270120
            2027-01-20Z 2027-01-20.1Z 2027-01-20T00Z 2027-01-20T00:00.5Z 2027-01-20T00:00:00+24:00
            2027-01-20t00:00:00z 2027-01-20T00:00:00.Z 2027-01-20T00:00:00.12345678Z 2027-01-20T00:00Z[UTC]
            2027-01-20+01:00 2027-01-20T00:00:00+01 2027-01-20T00:00:00+0100 2027-01-20T00:00:00+1:00
            2027-01-20T00:00:00+00:60 2027-01-20T00:00:00+01:00Z 2027-01-20T00:00:00Z+01:00 2027-01-20T00:00:00+01:00:00
            2027-01-20T00:00:00,5Z 2027-01-20T00:00:00.+01:00 2027-01-20T00:00:00UTC 2027-01-20T00:00:00−05:00
            2027-01-20T00:00:00.00000000 2027-01-20T T00:00:00Z 2027-020 2027-W03-3
            -2027-01-20 +002027-01-20 ２０２７-01-20 2027-01-20T00:00:00+０1:00 +01:00 Z";
        for text in texts.split_whitespace().chain([
            "",
            " 2027-01-20",
            "2027-01-20 00:00Z",
            "2027-01-20T00:00:00 01:00",
            "2027-01-20T00:00:00Z ",
        ]) {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn offset_moves_the_instant_by_its_length(hours in 0..24i64, minutes in 0..60i64, east in any::<bool>()) {
            let sign = if east { '+' } else { '-' };
            let text = format!("2027-01-20T12:00:00{sign}{hours:02}:{minutes:02}");
            let moved = (hours * 60 + minutes) * 60 * if east { -1 } else { 1 };
            let noon: Timestamp = "2027-01-20T12:00:00Z".parse().unwrap();
            prop_assert_eq!(parse(&text).unwrap().as_second(), noon.as_second() + moved);
        }
    }
}
