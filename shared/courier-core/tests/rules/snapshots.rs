//! Tests what is read from a status document: progress, status and result.

use serde_json::{Map, Value, json};

use crate::answers::snapshot;
use crate::{EXPORT, GOALS, SCHEDULE};

#[test]
fn progress_is_read_from_a_number_or_a_numeric_string() {
    for (value, progress) in [
        (json!(40), Some(40.0)),
        (json!(0.25), Some(0.25)),
        (json!(" 75.5 "), Some(75.5)),
        (json!("-1"), Some(-1.0)),
        (json!("soon"), None),
        (json!("NaN"), None),
        (json!("inf"), None),
        (json!(null), None),
        (json!(true), None),
        (json!([40]), None),
    ] {
        let body = json!({ "status": "running", "progress": value });
        assert_eq!(snapshot(EXPORT, body).progress, progress, "{value}");
    }
}

#[test]
fn status_is_truncated_and_loses_its_control_characters() {
    let long = "x".repeat(65);
    let snapshot = snapshot(EXPORT, json!({ "status": format!("a\n\u{7f}{long}") }));
    assert_eq!(snapshot.word, format!("a{}", "x".repeat(63)));
}

#[test]
fn result_keeps_short_values_and_drops_the_query_of_a_url() {
    let result = |name, body| snapshot(name, body).result;
    let object = |value: Value| value.as_object().cloned().unwrap();
    let url = "https://a.example/c?sig=secret#x";
    let body =
        json!({ "status": "complete", "storageLocation": url, "completedDateTime": "now?#" });
    let expected = json!({ "storageLocation": "https://a.example/c", "completedAt": "now?#" });
    assert_eq!(result(EXPORT, body), object(expected));
    let body = json!({ "value": { "status": "succeeded", "resourceLocation": url } });
    let expected = json!({ "resourceLocation": "https://a.example/c" });
    assert_eq!(result(GOALS, body), object(expected));
    let body = json!({ "provisionStatus": "Completed", "id": 7, "enabled": false, "timeZone": [] });
    let expected = json!({ "provisionStatus": "Completed", "scheduleId": 7, "enabled": false });
    assert_eq!(result(SCHEDULE, body), object(expected));
    for (length, is_kept) in [(16 * 1024, true), (16 * 1024 + 1, false)] {
        let location = "x".repeat(length);
        let body = json!({ "status": "complete", "storageLocation": location });
        assert_eq!(!result(EXPORT, body).is_empty(), is_kept, "{length}");
    }
    assert_eq!(result(EXPORT, json!({ "status": "complete" })), Map::new());
}
