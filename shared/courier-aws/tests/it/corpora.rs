//! Whatever a caller sends, the function behind the HTTP API answers, and never with a 5xx: the corpora of
//! `shared/courier-core/tests/corpora`, and what HTTP itself lets through to a function.

#[path = "../../../courier-core/tests/corpora/cases.rs"]
#[expect(dead_code, reason = "the other corpora have no HTTP")]
mod cases;
#[path = "../../../courier-core/tests/corpora/doors.rs"]
mod doors;

use std::collections::BTreeMap;

use cloud_testkit::gateway::{Answer, Gateway};
use courier_testkit::tenants::{CALLBACK_TOKEN, TICKETS_KEY};
use serde_json::json;

use crate::cloud::Cloud;
use crate::corpora::doors::Sent;

/// A cloud with receivers at public origins only, as in production.
async fn public() -> Cloud {
    let cloud = Cloud::new().await;
    // Of this moment are the corpora.
    let now = "2026-11-21T20:00:00Z".parse().unwrap();
    cloud.clock.stand_at(now);
    let config = cloud
        .config
        .replace(&cloud.receiver.origin(), "https://hooks.example")
        .replace("\"127.0.0.0/8\"", "");
    cloud.replace_secret("courier/config", &config).await;
    cloud
}

/// Status and problem, as a refusal must have them, or the status alone.
fn status_and_problem(answer: &Answer) -> String {
    let body = answer.json();
    if answer.status < 300 {
        return answer.status.to_string();
    }
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(body["status"], answer.status, "{answer:?}");
    assert!(!body.to_string().contains("canary"), "{answer:?}");
    let kind = body["type"].as_str().unwrap();
    let problem = kind.strip_prefix("urn:graph-courier:problem:").unwrap();
    format!("{} {problem}", answer.status)
}

/// The headers as API Gateway passes them: text, and no name twice. `None` where it has to change them for that.
fn in_an_event(request: &Sent) -> Option<Vec<(&str, &str)>> {
    let mut headers = BTreeMap::new();
    for (name, value) in &request.headers {
        let value = std::str::from_utf8(value).ok()?;
        if headers.insert(name.as_str(), value).is_some() {
            return None;
        }
    }
    Some(headers.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_corpora_gets_its_answer_from_the_function() {
    let cloud = public().await;
    let url = format!("https://hooks.example/graph?token={CALLBACK_TOKEN}");
    let schedule = json!({
        "operation": "team.schedule",
        "parameters": {
            "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50",
            "schedule": { "enabled": true, "timeZone": "America/Chicago" },
        },
        "callback": { "url": url },
    });
    let heads = doors::heads(schedule.to_string().as_bytes());
    let mut sent = 0;
    for request in doors::json()
        .into_iter()
        .chain(doors::bodies())
        .chain(heads)
    {
        let Some(mut headers) = in_an_event(&request) else {
            continue;
        };
        sent += 1;
        let has = |name: &str| headers.iter().any(|(one, _)| *one == name);
        let is_known = has("x-api-key") || has("authorization");
        let usual = [
            ("content-type", "application/json", has("content-type")),
            ("prefer", "respond-async", has("prefer")),
            ("x-api-key", TICKETS_KEY, is_known),
        ];
        for (name, value, is_there) in usual {
            if !is_there {
                headers.push((name, value));
            }
        }
        let answer = cloud
            .api
            .request("POST", "/v1/operations", &headers, &request.body)
            .await;
        assert_eq!(
            status_and_problem(&answer),
            request.answer,
            "{}: {:?}",
            request.name,
            answer.json()
        );
    }
    assert!(sent > 700, "{sent} requests");
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused_and_breaks_nothing() {
    let cloud = Cloud::new().await;
    let key = ("x-api-key", TICKETS_KEY);
    for (method, target, header, expected) in [
        ("GET", "/v1/operations?reference=<x>", key, "200"),
        (
            "GET",
            "/v1/operations?reference=\"a b\"|{c}^`\\é\u{1}",
            key,
            "200",
        ),
        ("GET", "/v1/operations?status=<", key, "400 invalid-query"),
        ("GET", "/v1/operations?#status=<", key, "400 invalid-query"),
        ("GET", "/v1/operations/<x>", key, "404 not-found"),
        (
            "GET",
            "/v1/operations/%3Cx%3E%22%20%00%0A%C3%A9%5C",
            key,
            "404 not-found",
        ),
        (
            "GET",
            "/v1/operations/%2e%2e/%2e%2e/healthz",
            key,
            "404 not-found",
        ),
        ("GET", "//v1//operations", key, "404 not-found"),
        ("GET", "", key, "404 not-found"),
        ("GET", "*", key, "404 not-found"),
        ("GET", "https://[::1/", key, "404 not-found"),
        ("GE T", "/v1/operations", key, "405 method-not-allowed"),
        ("BREW", "/v1/operations", key, "405 method-not-allowed"),
        (
            "GET",
            "/v1/operations",
            ("x-api-key", "schlüssel"),
            "401 unauthenticated",
        ),
        (
            "GET",
            "/v1/operations",
            ("x-api-key", "a\u{1}b"),
            "400 broken-header",
        ),
        (
            "GET",
            "/v1/operations",
            ("x api key", "a"),
            "400 broken-header",
        ),
        ("GET", "/v1/operations", ("", "a"), "400 broken-header"),
        (
            "GET",
            "/v1/operations",
            ("host", "a b"),
            "401 unauthenticated",
        ),
        (
            "GET",
            "/v1/operations",
            ("x-forwarded-proto", "://"),
            "401 unauthenticated",
        ),
    ] {
        for door in [Gateway::http_api, Gateway::function_url] {
            let door = door(&cloud.start);
            let answer = door.request(method, target, &[header], b"").await;
            assert_eq!(
                status_and_problem(&answer),
                expected,
                "{method} {target} {header:?}"
            );
        }
    }
    cloud.check();
}
