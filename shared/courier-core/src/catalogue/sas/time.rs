//! Reads the times in an Azure SAS: ISO 8601, UTC, in the shapes the service takes.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// `d` is a digit; a fraction of up to seven digits may follow the seconds.
const DATE: &str = "dddd-dd-dd";
const TO_THE_MINUTE: &str = "dddd-dd-ddTdd:ddZ";
const TO_THE_SECOND: &str = "dddd-dd-ddTdd:dd:ddZ";

/// A date alone is its first moment.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let local = match without_fraction(&shape(text)).as_str() {
        DATE => DateTime::from(text.parse::<Date>().ok()?),
        TO_THE_MINUTE | TO_THE_SECOND => text.strip_suffix('Z')?.parse().ok()?,
        _ => return None,
    };
    // The last day Azure can write (9999-12-31, for "never") lies beyond what a Timestamp holds.
    let zoned = local.to_zoned(TimeZone::UTC);
    Some(zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp()))
}

fn shape(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_digit() { 'd' } else { letter })
        .collect()
}

/// Only seconds have a fraction.
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
    fn the_shapes_azure_takes_are_read() {
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
    fn other_shapes_and_impossible_dates_are_not() {
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
