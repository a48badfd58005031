//! Fuzzes the SAS of a storage location: an accepted one is one container over https, signed, writable, neither readable
//! nor listable, and written as it is sent.

#![no_main]

use courier_core::catalogue::sas::{Times, check, fingerprint_form};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let form = fingerprint_form(text);
    assert!(!form.contains(['?', '#']) && !form.ends_with('/'));
    let checked = |now, deadline| {
        let deadline_is_default = false;
        check(
            text,
            Times {
                now,
                deadline,
                deadline_is_default,
            },
        )
    };
    let now = Timestamp::from_second(1_795_262_400).unwrap();
    let deadline = Timestamp::from_second(1_797_768_000).unwrap();
    let Ok(sas) = checked(now, deadline) else {
        assert!(
            checked(Timestamp::MAX, Timestamp::MIN).is_err(),
            "a SAS that is refused at one time is refused at any"
        );
        return;
    };
    assert_eq!(fingerprint_form(&form), form);
    let earlier = checked(now, Timestamp::MIN).unwrap();
    assert!(earlier.late.len() <= sas.late.len());
    assert_eq!(
        (sas.container.as_str(), sas.secret.expose()),
        (form.as_str(), text)
    );
    let url = Url::parse(text).unwrap();
    let (sent, written) = (url.as_str(), text.replacen(":443", "", 1));
    assert!(
        sent.eq_ignore_ascii_case(text) || sent.eq_ignore_ascii_case(&written),
        "the URL is written as it is sent"
    );
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    let container = Url::parse(&sas.container).unwrap();
    let name = container.path().strip_prefix('/').unwrap();
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!((3..=63).contains(&name.len()) && name.bytes().all(is_letter));
    let field = |name: &str| {
        let mut found = url
            .query_pairs()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.into_owned());
        assert!(found.next().is_none());
        first
    };
    assert_eq!(field("sr").as_deref(), Some("c"));
    assert_eq!(field("sig").map(|signature| signature.len()), Some(44));
    assert_eq!(field("sv").map(|version| version.len()), Some(10));
    assert!(field("ss").is_none() && field("comp").is_none() && field("restype").is_none());
    match field("sp") {
        Some(permissions) => assert!(
            permissions.contains('w')
                && permissions.contains('a')
                && !permissions.contains(['r', 'l'])
        ),
        None => assert!(field("si").is_some()),
    }
});
