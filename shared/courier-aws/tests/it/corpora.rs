//! Whatever a caller sends, the function behind the HTTP API answers, and never with a 5xx: the corpora of
//! `shared/courier-core/tests/corpora`, and what HTTP itself lets through to a function.

#[path = "../../../courier-core/tests/corpora/cases.rs"]
#[expect(dead_code, reason = "the other corpora have no HTTP")]
mod cases;
#[path = "../../../courier-core/tests/corpora/doors.rs"]
mod doors;

use cloud_testkit::gateway::{Answer, Gateway};
use courier_testkit::tenants::{CALLBACK_TOKEN, TICKETS_KEY, schedule};
use serde_json::json;

use crate::cloud::Cloud;
use crate::corpora::doors::Sent;

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

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

/// The headers as an event tells them: text, and no name twice unless the door tells lists. `None` where it has to change
/// them for that.
fn in_an_event(request: &Sent, lists: bool) -> Option<Vec<(&str, &str)>> {
    let mut headers: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &request.headers {
        let is_there = headers.iter().any(|(one, _)| one == name);
        if is_there && !lists {
            return None;
        }
        headers.push((name, std::str::from_utf8(value).ok()?));
    }
    Some(headers)
}

/// Sends all cases through this door.
async fn send_all(door: &Gateway, lists: bool) -> usize {
    let url = format!("https://hooks.example/graph?token={CALLBACK_TOKEN}");
    let schedule = json!({
        "operation": "team.schedule",
        "parameters": {
            "teamId": TEAM,
            "schedule": { "enabled": true, "timeZone": "America/Chicago" },
        },
        "callback": { "url": url },
    });
    let heads = doors::heads(schedule.to_string().as_bytes());
    let requests = doors::json().into_iter().chain(doors::bodies());
    let mut sent = 0;
    for request in requests.chain(heads) {
        let Some(mut headers) = in_an_event(&request, lists) else {
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
        let answer = door
            .request("POST", "/v1/operations", &headers, &request.body)
            .await;
        let answered = status_and_problem(&answer);
        assert_eq!(answered, request.answer, "{}: {answer:?}", request.name);
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_corpora_gets_its_answer_from_the_function() {
    let cloud = public().await;
    let api = send_all(&cloud.api, false).await;
    assert!(api > 700, "{api} requests");
    let rest = send_all(&Gateway::rest_api(&cloud.start), true).await;
    let balancer = send_all(&Gateway::load_balancer(&cloud.start), true).await;
    // Those that have a header twice.
    assert!(rest > api, "{rest} requests");
    assert_eq!(balancer, rest);
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
        ("GET", "//v1/operations", key, "404 not-found"),
        ("GET", "/readyz", key, "200"),
        ("HEAD", "/readyz", key, "200"),
        ("HEAD", "/v1/operations", key, "200"),
        ("OPTIONS", "/v1/operations", key, "204"),
        ("GET", "/healthz?x=1", key, "400 invalid-query"),
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
        for door in [
            Gateway::http_api,
            Gateway::function_url,
            Gateway::rest_api,
            Gateway::load_balancer,
            Gateway::load_balancer_of_last_values,
        ] {
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

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_are_none_and_two_keys_are_one_too_many() {
    let cloud = Cloud::new().await;
    let (key, other) = (("X-Api-Key", TICKETS_KEY), ("x-api-key", "other"));
    for door in [
        Gateway::http_api,
        Gateway::function_url,
        Gateway::rest_api,
        Gateway::load_balancer,
    ] {
        let door = door(&cloud.start);
        for headers in [[key, other], [other, key], [key, key]] {
            let answer = door.request("GET", "/v1/operations", &headers, b"").await;
            assert_eq!(
                status_and_problem(&answer),
                "401 unauthenticated",
                "{headers:?}"
            );
        }
    }
    // An HTTP API makes one key of two.
    let twice = [
        key,
        ("content-type", "application/json"),
        ("idempotency-key", "a"),
        ("Idempotency-Key", "b"),
    ];
    let body = schedule(&cloud.receiver, TEAM).to_string();
    for door in [Gateway::rest_api, Gateway::load_balancer] {
        let door = door(&cloud.start);
        let answer = door
            .request("POST", "/v1/operations", &twice, body.as_bytes())
            .await;
        assert_eq!(status_and_problem(&answer), "400 invalid-header");
    }
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_finds_by_the_query_and_the_path_that_the_caller_wrote() {
    let cloud = Cloud::new().await;
    let reference = "<Zürich> & 100% = a+b,c";
    let written = "%3CZ%C3%BCrich%3E%20%26%20100%25%20%3D%20a%2Bb%2Cc";
    let mut body = schedule(&cloud.receiver, TEAM);
    body["reference"] = reference.into();
    assert_eq!(cloud.post_later("query", &body).await.status, 202);
    let mapped = cloud.function_with("start-operation", ("COURIER_BASE_PATH", "/it/graph"));
    let start = &cloud.start;
    for (door, tells_all) in [
        (Gateway::http_api(start), true),
        (Gateway::http_api(start).with_stage("prod"), true),
        (Gateway::function_url(start), true),
        (Gateway::rest_api(start), true),
        (Gateway::rest_api(&mapped), true),
        (Gateway::rest_api(&mapped).with_base_path("/it/graph"), true),
        (Gateway::load_balancer(start), true),
        (
            Gateway::load_balancer(&mapped).with_base_path("/it/graph"),
            true,
        ),
        (Gateway::load_balancer_of_last_values(start), false),
    ] {
        let get = async |target: &str| {
            let headers = [("x-api-key", TICKETS_KEY)];
            door.request("GET", target, &headers, b"").await
        };
        let found = get(&format!("/v1/operations?reference={written}")).await;
        assert_eq!(
            found.json()["operations"][0]["reference"],
            reference,
            "{found:?}"
        );
        let twice = format!("/v1/operations?reference={written}&reference=x");
        let expected = if tells_all {
            "400 invalid-query"
        } else {
            "200"
        };
        assert_eq!(status_and_problem(&get(&twice).await), expected);
        // The listener of one machine takes no such head.
        let long = format!("/v1/operations?reference={}", "x".repeat(64 * 1024));
        assert_eq!(status_and_problem(&get(&long).await), "404 not-found");
        assert_eq!(get("/healthz").await.status, 200);
    }
    cloud.check();
}
