//! `Retry-After` and `Date`, one line each: a number waits at least as long as it says, and the clamp holds.

#![no_main]

use std::time::Duration;

use courier_core::outbound::retry_after::{clamp, parse};
use http::HeaderValue;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let header = lines
        .next()
        .and_then(|line| HeaderValue::from_bytes(line).ok());
    let date = lines
        .next()
        .and_then(|line| HeaderValue::from_bytes(line).ok());
    let now = Timestamp::from_second(1_795_291_200).unwrap();
    let waited = parse(header.as_ref(), date.as_ref(), now);
    assert!(header.is_some() || waited.is_none());
    let Some(waited) = waited else { return };
    let clamped = clamp(waited);
    assert!((Duration::from_secs(1)..=Duration::from_secs(21_600)).contains(&clamped));
    assert!(clamped >= waited || clamped == Duration::from_secs(21_600));
    let text = header.as_ref().and_then(|header| header.to_str().ok());
    let Some(text) = text.map(|text| text.trim_matches([' ', '\t'])) else {
        panic!("a header that is no text was read");
    };
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let dateless = parse(header.as_ref(), None, now);
        assert_eq!(dateless, Some(waited), "seconds have no date");
        let whole = text.split('.').next().unwrap();
        let whole = whole.parse().map_or(Duration::MAX, Duration::from_secs);
        assert!(waited >= whole && waited <= whole.saturating_add(Duration::from_secs(1)));
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        );
    } else {
        // The last date that HTTP can write is in 9999.
        assert!(waited <= Duration::from_secs(10_000 * 366 * 86_400));
    }
});
