//! Fuzzes the times in a SAS: one that is accepted is, written out in full, an RFC 3339 time at the same instant.

#![no_main]

use courier_core::catalogue::sas::{Times, check};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use url::form_urlencoded::byte_serialize;

const SIGNED: &str = "https://account.blob.core.windows.net/dsar?sv=2024-11-04&sr=c&sp=acw\
    &sig=Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E%3D&se=";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let expiry: String = byte_serialize(text.as_bytes()).collect();
    let ends_before = |deadline| {
        let times = Times {
            now: Timestamp::MIN,
            deadline,
            deadline_is_default: false,
        };
        check(&format!("{SIGNED}{expiry}"), times).map(|sas| !sas.late.is_empty())
    };
    let Ok(ends_before_all) = ends_before(Timestamp::MIN) else {
        return;
    };
    assert!(!ends_before_all);
    let Ok(instant) = in_full(text).parse::<Timestamp>() else {
        assert!(text.starts_with("9999-12-3"), "{text} is no RFC 3339 time");
        return;
    };
    assert_eq!(
        ends_before(instant),
        Ok(false),
        "{text} is before {instant}"
    );
    if let Ok(next) = Timestamp::from_nanosecond(instant.as_nanosecond() + 1) {
        assert_eq!(ends_before(next), Ok(true), "{text} is after {instant}");
    }
});

/// Adds what the text leaves out: the time, the seconds, the offset.
fn in_full(text: &str) -> String {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let end = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, offset) = time.split_at(end);
    let seconds = if time.len() == 5 { ":00" } else { "" };
    let offset = if offset.is_empty() { "Z" } else { offset };
    format!("{date}T{time}{seconds}{offset}")
}
