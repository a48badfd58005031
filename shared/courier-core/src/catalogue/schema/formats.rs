//! The formats of texts.

/// Reports whether a text is 8-4-4-4-12 hexadecimal digits, the one spelling that Graph accepts everywhere.
pub(crate) fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Reports whether a text is a `date-time` (RFC 3339, section 5.6), whose letters may be small.
pub(super) fn is_date_time(text: &str) -> bool {
    let has_zone = text.ends_with(['Z', 'z'])
        || text
            .get(text.len().saturating_sub(6)..)
            .is_some_and(|end| end.starts_with(['+', '-']) && end.as_bytes().get(3) == Some(&b':'));
    let is_separated = text
        .as_bytes()
        .get(10)
        .is_some_and(|byte| b"Tt".contains(byte));
    has_zone
        && is_separated
        && !text.contains(['[', ','])
        && text.parse::<jiff::Timestamp>().is_ok()
}
