//! Parses the times in an Azure SAS: ISO 8601 in UTC, in the formats that the service accepts.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The format of a date; `d` is a digit.
const DATE: &str = "dddd-dd-dd";
const TO_THE_MINUTE: &str = "dddd-dd-ddTdd:ddZ";
/// The format of a time with seconds, which a fraction of up to seven digits may follow.
const TO_THE_SECOND: &str = "dddd-dd-ddTdd:dd:ddZ";

/// Parses a time; a date without a time is the start of that day.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let local = match without_fraction(&shape(text)).as_str() {
        DATE => DateTime::from(text.parse::<Date>().ok()?),
        TO_THE_MINUTE | TO_THE_SECOND => text.strip_suffix('Z')?.parse().ok()?,
        _ => return None,
    };
    // The last day that Azure can express (9999-12-31, for "never") is beyond the range of a Timestamp.
    let zoned = local.to_zoned(TimeZone::UTC);
    Some(zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp()))
}

fn shape(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_digit() { 'd' } else { letter })
        .collect()
}

/// Removes a fraction from a time with seconds; any other format is returned unchanged.
fn without_fraction(shape: &str) -> String {
    let whole = (1..=7)
        .map(|digits| format!(".{}Z", "d".repeat(digits)))
        .find_map(|fraction| shape.strip_suffix(&fraction))
        .map(|whole| format!("{whole}Z"))
        .filter(|whole| whole == TO_THE_SECOND);
    whole.unwrap_or_else(|| shape.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_azure_accepts_are_parsed() {
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
        ] {
            assert_eq!(parse(text), Some(expected.parse().unwrap()), "{text}");
        }
        assert_eq!(parse("9999-12-31T23:59:59Z"), Some(Timestamp::MAX));
    }

    #[test]
    fn other_formats_and_impossible_dates_are_refused() {
        let texts = "soon 2027 2027-13-01 2027-02-29 2027-02-30T00:00:00Z 2027-01-20T24:01Z 2027-01-20T00:60:00Z 20270120
            2027-01-20Z 2027-01-20.1Z 2027-01-20T00:00:00 2027-01-20T00Z 2027-01-20T00:00.5Z 2027-01-20T00:00:00+00:00
            2027-01-20t00:00:00z 2027-01-20T00:00:00.Z 2027-01-20T00:00:00.12345678Z 2027-01-20T00:00Z[UTC]
            -2027-01-20 +002027-01-20 ２０２７-01-20";
        for text in texts
            .split_whitespace()
            .chain(["", " 2027-01-20", "2027-01-20 00:00Z"])
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
