//! Fuzzes `Retry-After` and `Date`, a line each: a number gives at least that many seconds.

#![no_main]

use std::time::Duration;

use courier_core::outbound::retry_after::{at_least_a_second, parse};
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
    let pause = parse(header.as_ref(), date.as_ref(), now);
    assert!(header.is_some() || pause.is_none());
    let Some(pause) = pause else { return };
    assert_eq!(at_least_a_second(pause), pause.max(Duration::from_secs(1)));
    let text = header.as_ref().and_then(|header| header.to_str().ok());
    let Some(text) = text.map(|text| text.trim_matches([' ', '\t'])) else {
        panic!("a header that is not text was accepted");
    };
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let dateless = parse(header.as_ref(), None, now);
        assert_eq!(
            dateless,
            Some(pause),
            "a pause in seconds does not depend on Date"
        );
        let digits = text.split('.').next().unwrap();
        let whole = digits.parse().map_or(Duration::MAX, Duration::from_secs);
        assert!(pause >= whole && pause <= whole.saturating_add(Duration::from_secs(1)));
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        );
    } else {
        // The latest date that an HTTP date can express is in the year 9999.
        assert!(pause <= Duration::from_secs(10_000 * 366 * 86_400));
    }
});
