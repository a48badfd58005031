//! Fuzzes the SAS of a storage location: an accepted one is one container over https, writable, neither readable nor
//! listable.

#![no_main]

use courier_core::catalogue::sas::{check, fingerprint_form};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let deadline = Timestamp::from_second(1_797_768_000).unwrap();
    let form = fingerprint_form(text);
    assert!(!form.contains(['?', '#']) && !form.ends_with('/'));
    let checked_at = |deadline| check(text, deadline);
    let Ok(sas) = checked_at(deadline) else {
        assert!(
            checked_at(Timestamp::MAX).is_err(),
            "a SAS that is refused stays refused with a later deadline"
        );
        return;
    };
    assert_eq!(fingerprint_form(&form), form);
    assert!(checked_at(Timestamp::MIN).is_ok());
    assert_eq!(
        (sas.container.as_str(), sas.secret.expose()),
        (form.as_str(), text)
    );
    assert!(text.get(..8).unwrap().eq_ignore_ascii_case("https://"));
    let container = Url::parse(&sas.container).unwrap();
    assert_eq!(container.path_segments().unwrap().count(), 1);
    assert!(container.username().is_empty() && container.password().is_none());
    let url = Url::parse(text).unwrap();
    let field = |name: &str| {
        let mut found = url
            .query_pairs()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let first = found.next().map(|(_, value)| value.into_owned());
        assert!(found.next().is_none());
        first
    };
    assert_eq!(field("sr").as_deref(), Some("c"));
    assert!(field("sig").is_some_and(|signature| !signature.is_empty()));
    match field("sp") {
        Some(permissions) => assert!(
            permissions.contains('w')
                && permissions.contains('a')
                && !permissions.contains(['r', 'l'])
        ),
        None => assert!(field("si").is_some()),
    }
});
