//! Requests that are refused before their fields are read: encoding, size, media type, idempotency key.

use courier_testkit::world::World;

use crate::input::fields::{
    Refusal, all_refused, assert_untouched, check, export, public, schedule,
};

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let good = export().to_string();
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"operation":"canary","x":{open}{close}}}"#).into_bytes()
    };
    let after = |text: &[u8]| [good.as_bytes(), text].concat();
    let replaced = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let bad = |place, rule| -> Refusal<'_> { (400, "bad-json", place, rule) };
    let twice = r#""reference":"canary","reference":"#;
    let user = r#""userId":"canary","userId":"#;
    let long = "9".repeat(400);
    let utf16 = good.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let deep = "/x".to_owned() + &"/0".repeat(63);
    all_refused(vec![
        (Vec::new(), bad("", "EOF")),
        (b" \n ".to_vec(), bad("", "EOF")),
        (good.as_bytes()[..good.len() - 1].to_vec(), bad("", "EOF")),
        (after(b"x"), bad("", "trailing characters")),
        (after(b"{}"), bad("", "trailing characters")),
        (after(b"\0"), bad("", "trailing characters")),
        (b"\xFF\xFE{\0}\0".to_vec(), bad("", "UTF-16")),
        (b"\xFE\xFF\0{\0}".to_vec(), bad("", "UTF-16")),
        (utf16, bad("", "UTF-16")),
        (
            [&good.as_bytes()[..15], b"\xFF", &good.as_bytes()[15..]].concat(),
            bad("", "not UTF-8"),
        ),
        (
            b"{\"operation\":\"\xED\xA0\x80\"}".to_vec(),
            bad("", "not UTF-8"),
        ),
        (
            br#"{"operation":"\ud800"}"#.to_vec(),
            bad("/operation", "hex escape"),
        ),
        (
            br#"{"operation":"\udc00x"}"#.to_vec(),
            bad("/operation", "surrogate"),
        ),
        (
            replaced(r#""reference":"#, twice),
            bad("/reference", "appears twice"),
        ),
        (
            replaced(r#""userId":"#, user),
            bad("/parameters/userId", "appears twice"),
        ),
        (nested(64), bad(&deep, "deeper than 64")),
        (nested(10_000), bad(&deep, "deeper than 64")),
        (
            replaced("\"RITM-1\"", &long),
            bad("/reference", "out of range"),
        ),
        (
            replaced("\"RITM-1\"", "1e400"),
            bad("/reference", "out of range"),
        ),
        (replaced("\"RITM-1\"", "NaN"), bad("/reference", "")),
        (
            replaced("\"RITM-1\"", "\"a\u{0}b\""),
            bad("/reference", "control character"),
        ),
        (replaced("\"RITM-1\"", "'canary'"), bad("/reference", "")),
        (replaced("{", "{,"), bad("", "key must be a string")),
        (b"{'operation':1}".to_vec(), bad("", "key must be a string")),
        (b"operation=canary&x=1".to_vec(), bad("", "expected value")),
        (b"<canary/>".to_vec(), bad("", "expected value")),
    ])
    .await;
}

#[tokio::test]
async fn a_body_of_64_kib_is_accepted_and_a_longer_one_refused() {
    let padded = |length: usize| {
        let text = schedule().to_string();
        let padding = " ".repeat(length - text.len());
        format!("{padding}{text}")
    };
    let world = World::with(public).await;
    for length in [65_537, 65_538, 100_000, 1_000_000] {
        let answer = world
            .call("POST", "/v1/operations", &[], padded(length))
            .await;
        check(&answer, (413, "payload-too-large", "", ""), "too long");
    }
    assert_untouched(&world).await;
    let answer = world
        .call("POST", "/v1/operations", &[], padded(65_536))
        .await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn a_media_type_other_than_json_is_refused_and_its_parameters_mean_nothing() {
    let world = World::with(public).await;
    for kind in [
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/json-patch+json",
        "application/problem+json",
        "application/jsonx",
        "application/cloudevents+avro",
        "application/json, text/plain",
        "multipart/form-data; boundary=application/json",
        "*/*",
        "",
    ] {
        let headers = [("content-type", kind)];
        let answer = world.post_with(&headers, &schedule()).await;
        check(&answer, (415, "unsupported-media-type", "", ""), kind);
    }
    assert_untouched(&world).await;
    for kind in [
        "APPLICATION/JSON",
        "application/json;charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json; profile=x",
        "application/json; charset=utf8",
        "application/json; charset=us-ascii",
        "application/json; charset=iso-8859-1",
        "application/json; charset=\"utf-16\"",
        "application/json; charset=",
        "application/json; charset=\"é\"",
        "application/json;",
    ] {
        let headers = [("content-type", kind)];
        let answer = world.post_with(&headers, &schedule()).await;
        assert_eq!(answer.status, 202, "{kind}");
    }
    let marked = format!("\u{feff}{}", schedule());
    let answer = world.call("POST", "/v1/operations", &[], marked).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn a_malformed_idempotency_key_is_refused() {
    let world = World::with(public).await;
    let long = "k".repeat(256);
    let escapes = format!("\"{}\"", "\\\"".repeat(256));
    let form = "1 to 255 printable ASCII";
    for key in [
        "\"\"",
        "\" \"",
        "\"open",
        "open\"",
        "a\"b",
        "\"a\"b\"",
        "\"a\\x\"",
        "\"a\\\"",
        "\"",
        "\"a\tb\"",
        "a\tb",
        "schlüssel",
        &long,
        &escapes,
    ] {
        let answer = world
            .post_with(&[("idempotency-key", key)], &export())
            .await;
        let refusal = (400, "invalid-header", "Idempotency-Key", form);
        check(&answer, refusal, key);
    }
    for key in [
        "{{issue.key}}",
        "\"ITSM-{{issue.key}}\"",
        "${ticket.id}",
        "<%= id %>",
        "%%ID%%",
        "$(id)",
    ] {
        let answer = world
            .post_with(&[("idempotency-key", key)], &export())
            .await;
        let refusal = (
            400,
            "invalid-header",
            "Idempotency-Key",
            "must not hold a placeholder",
        );
        check(&answer, refusal, key);
    }
    let headers = [("idempotency-key", "a"), ("idempotency-key", "a")];
    let answer = world.post_with(&headers, &export()).await;
    let refusal = (
        400,
        "invalid-header",
        "Idempotency-Key",
        "must be sent once",
    );
    check(&answer, refusal, "twice");
    assert_untouched(&world).await;
    let longest_key = "k".repeat(255);
    let longest = [("idempotency-key", longest_key.as_str())];
    assert_eq!(world.post_with(&longest, &export()).await.status, 202);
}
