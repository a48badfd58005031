//! The formats of texts.

/// Reports whether a text is 8-4-4-4-12 hexadecimal digits, the one spelling that Graph accepts everywhere.
pub(crate) fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Reports whether a text is a `date-time` (RFC 3339, section 5.6), whose letters may be small, but no leap second.
/// The parser takes more: times without seconds, and zones in brackets.
pub(super) fn is_date_time(text: &str) -> bool {
    let shape_letters = text.chars().map(|letter| match letter {
        '0'..='9' => '0',
        other => other.to_ascii_uppercase(),
    });
    let shape: String = shape_letters.collect();
    let Some(after_seconds) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let zone = after_seconds
        .strip_prefix(".0")
        .map_or(after_seconds, |fraction| fraction.trim_start_matches('0'));
    let is_leap_second = text.get(17..19) == Some("60");
    // The parser knows zones of more than a day.
    let is_day = text
        .get(text.len().saturating_sub(5)..)
        .is_some_and(|zone| zone < "24");
    !is_leap_second
        && (zone == "Z" || ["+00:00", "-00:00"].contains(&zone) && is_day)
        && text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_of_rfc_3339_is_a_date_time() {
        for text in [
            "2026-12-20T00:00:00Z",
            "2026-12-20t23:59:59.123456789z",
            "2026-12-20T00:00:00.5+13:45",
            "2024-02-29T00:00:00-00:00",
        ] {
            assert!(is_date_time(text), "{text}");
        }
        for text in [
            "",
            "2026-12-20",
            "2026-12-20T00:00:00",
            "2026-12-20 00:00:00Z",
            "2026-12-20T00:00Z",
            "2026-12-20T00Z",
            "20261220T000000Z",
            "+002026-12-20T00:00:00Z",
            "2026-12-20T00:00:00,5Z",
            "2026-12-20T00:00:00.Z",
            "2026-12-20T00:00:00+24:00",
            "2026-12-20T00:00:00+0100",
            "2026-12-20T00:00:00+01",
            "2026-12-20T00:00:00+01:00:00",
            "2026-12-20T00:00:00Z[UTC]",
            "2025-02-29T00:00:00Z",
            "2026-12-20T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "2026-12-20T00:00:00.1234567891Z",
            "２026-12-20T00:00:00Z",
        ] {
            assert!(!is_date_time(text), "{text}");
        }
    }
}
