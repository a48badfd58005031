//! The HTTP interface to one operation: reading, cancelling, permissions and rate limits.

use std::time::Duration;

use courier_testkit::world::{Answer, FABRIKAM_KEY, HR_KEY, TICKETS_KEY, World};
use graph_simulator::{Action, Fault};
use serde_json::{Value, json};

fn pause(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

pub(crate) fn refused(answer: &Answer, status: u16, problem: &str) {
    assert_eq!((answer.status, answer.problem()), (status, problem));
    assert_eq!(answer.body["status"], status, "{answer:?}");
    assert!(answer.body["title"].is_string(), "{answer:?}");
}

#[tokio::test]
async fn an_open_operation_is_202_with_retry_after_and_an_ended_one_200() {
    let world = World::new().await;
    let posted = world.post(&world.goals()).await;
    let path = posted.header("location").unwrap().to_owned();
    let open = world.get(&path).await;
    assert_eq!((open.status, &open.body), (202, &posted.body));
    assert!((60..=66).contains(&pause(&open)), "{open:?}");
    assert_eq!(open.header("cache-control"), Some("no-store"));
    world.closed(&posted.id()).await;
    let ended = world.get(&path).await;
    assert_eq!((ended.status, ended.header("retry-after")), (200, None));
    assert_eq!(ended.body["graph"]["nextPollAt"], Value::Null);
}

#[tokio::test]
async fn the_history_lists_every_step_in_order() {
    let world = World::new().await;
    let id = world.post(&world.export("dsar")).await.id();
    world.closed(&id).await;
    let answer = world.get(&format!("/v1/operations/{id}/history")).await;
    assert_eq!(answer.status, 200);
    let history = answer.body["history"].as_array().unwrap();
    let events: Vec<_> = history.iter().map(|entry| &entry["event"]).collect();
    let expected = "accepted startClaimed started statusChanged ended callbackAttempt";
    assert_eq!(events, expected.split(' ').collect::<Vec<_>>());
    let mut times: Vec<_> = history.iter().map(|e| e["at"].as_str().unwrap()).collect();
    let in_order = times.clone();
    times.sort_unstable();
    assert_eq!(times, in_order);
    let start = &world.simulator.calls("export.start")[0];
    assert_eq!(
        history[2]["clientRequestId"].as_str(),
        start.client_request_id.as_deref()
    );
}

#[tokio::test]
async fn another_clients_operation_is_not_found() {
    let world = World::new().await;
    let running = world.post(&world.goals()).await.id();
    let ended = world.post(&world.schedule()).await.id();
    world.closed(&ended).await;
    for key in [HR_KEY, FABRIKAM_KEY] {
        let headers = [("x-api-key", key)];
        let list = world.call("GET", "/v1/operations", &headers, "").await;
        assert_eq!(list.body, json!({ "operations": [], "next": null }));
        for id in [&running, &ended, "op_00000000000000000000000000000000"] {
            for (method, part) in [
                ("GET", ""),
                ("GET", "/history"),
                ("POST", "/cancel"),
                ("POST", "/callback/redeliver"),
            ] {
                let path = format!("/v1/operations/{id}{part}");
                let answer = world.call(method, &path, &headers, "").await;
                refused(&answer, 404, "not-found");
                assert!(!answer.body.to_string().contains("op_"), "{answer:?}");
            }
        }
    }
    assert_eq!(world.closed(&running).await["status"], "succeeded");
    assert_eq!(world.receiver.journal().len(), 2);
}

/// The reason for a refusal that is about no credential, but about their number.
pub(crate) const SEVERAL: &str =
    "more than one credential was sent: send exactly one Authorization or X-Api-Key header";

#[tokio::test]
async fn a_request_needs_exactly_one_valid_key_in_either_header() {
    let world = World::new().await;
    let bearer = format!("Bearer {TICKETS_KEY}");
    let lower = format!("bearer   {TICKETS_KEY} ");
    let basic = "Basic dGlja2V0czp0aWNrZXRzLWtleQ==";
    let cases: [(&[(&str, &str)], u16); 17] = [
        (&[("authorization", &bearer)], 200),
        (&[("Authorization", &lower)], 200),
        (&[("x-api-key", TICKETS_KEY)], 200),
        (&[("X-API-KEY", HR_KEY)], 200),
        (&[("x-api-key", "")], 401),
        (&[("authorization", "")], 401),
        (&[("x-api-key", "wrong")], 401),
        (&[("x-api-key", "Tickets-key")], 401),
        (&[("x-api-key", &bearer)], 401),
        (&[("authorization", TICKETS_KEY)], 401),
        (&[("authorization", "Bearer ")], 401),
        (&[("authorization", basic)], 401),
        (
            &[("authorization", &bearer), ("x-api-key", TICKETS_KEY)],
            401,
        ),
        (&[("authorization", &bearer), ("authorization", basic)], 401),
        (&[("x-api-key", TICKETS_KEY), ("x-api-key", HR_KEY)], 401),
        (&[("x-api-key", "wrong"), ("x-api-key", "wrong")], 401),
        (
            &[(
                "x-api-key",
                "sha256:bb915d5eed4b2523441dd1eaf37e5ad2448958558344f7d659b33c83dea2ead3",
            )],
            401,
        ),
    ];
    for (headers, status) in cases {
        let answer = world.call("GET", "/v1/operations", headers, "").await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 401 {
            refused(&answer, 401, "unauthenticated");
            let mut challenges = answer.headers.get_all("www-authenticate").iter();
            assert_eq!(challenges.next_back().unwrap(), "Bearer");
            let several = headers.len() > 1;
            assert_eq!(
                answer.body["detail"].as_str(),
                several.then_some(SEVERAL),
                "{headers:?}"
            );
        }
    }
    // Without a key the answer does not even show whether a path exists.
    for path in ["/v1/operations/op_x", "/v1/operations/a/b/c/d"] {
        let answer = world.call("GET", path, &[("x-api-key", "")], "").await;
        refused(&answer, 401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_client_may_use_only_its_operations_and_callback_origins() {
    let world = World::new().await;
    let hr = [("x-api-key", HR_KEY)];
    let export = world.post_with(&hr, &world.export("dsar")).await;
    refused(&export, 403, "operation-forbidden");
    let mut body = world.goals();
    body["callback"]["url"] = "https://hooks.example/graph?token=canary".into();
    let callback = world.post_with(&hr, &body).await;
    refused(&callback, 403, "callback-forbidden");
    assert!(
        !callback.body.to_string().contains("canary"),
        "{callback:?}"
    );
    assert!(world.simulator.journal().is_empty());
    let list = world.call("GET", "/v1/operations", &hr, "").await;
    assert_eq!(list.body["operations"], json!([]));
}

#[tokio::test]
async fn a_slash_at_the_end_changes_nothing() {
    let world = World::new().await;
    let body = world.schedule().to_string();
    let key = [("idempotency-key", "k")];
    let slashed = world
        .call("POST", "/v1/operations/", &key, body.clone())
        .await;
    let plain = world.call("POST", "/v1/operations", &key, body).await;
    assert_eq!((slashed.status, plain.status), (202, 202));
    assert_eq!(plain.header("idempotency-replayed"), Some("true"));
    assert_eq!(plain.id(), slashed.id());
    assert_eq!(plain.header("location"), slashed.header("location"));
    let own = format!("/v1/operations/{}", plain.id());
    world.closed(&plain.id()).await;
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/v1/operations"),
        ("GET", &own),
        ("GET", &format!("{own}/history")),
        ("POST", &format!("{own}/cancel")),
        ("POST", &format!("{own}/resume")),
        ("PATCH", &format!("{own}/callback")),
        ("POST", "/v1/operations/callback/redeliver?dryRun=true"),
        ("DELETE", &own),
    ] {
        let (start, query) = path.split_once('?').unwrap_or((path, ""));
        let plain = world.call(method, path, &[], "").await;
        let slashed = world
            .call(method, &format!("{start}/?{query}"), &[], "")
            .await;
        assert_eq!(slashed.status, plain.status, "{method} {path}");
        let lasting = |answer: &Answer| {
            let mut body = answer.body.clone();
            body["requestId"] = json!(null);
            body
        };
        assert_eq!(lasting(&slashed), lasting(&plain), "{method} {path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_an_unknown_method_405() {
    let world = World::new().await;
    let id = world.post(&world.schedule()).await.id();
    let own = format!("/v1/operations/{id}");
    for path in [
        "/",
        "/v1",
        "/v2/operations",
        "/v1/operations//",
        "/v1/operations/op_x",
        &format!("{own}//"),
        &format!("{own}//history"),
        "/healthz//",
        &format!("{own}/history/1"),
        &own.to_uppercase(),
        &own.replace("op_", ""),
        "//v1/operations/x",
        &format!("/{own}"),
        "//healthz",
        "/v1/operations/../../etc/passwd",
        "/v1/operations/%2e%2e/x",
    ] {
        refused(&world.get(path).await, 404, "not-found");
    }
    for (method, path, allow) in [
        (
            "PUT",
            "/v1/operations".to_owned(),
            "GET, HEAD, OPTIONS, POST",
        ),
        ("PUT", own.clone(), "DELETE, GET, HEAD, OPTIONS"),
        ("POST", own.clone(), "DELETE, GET, HEAD, OPTIONS"),
        ("POST", format!("{own}/"), "DELETE, GET, HEAD, OPTIONS"),
        ("POST", format!("{own}/history"), "GET, HEAD, OPTIONS"),
        ("GET", format!("{own}/cancel"), "OPTIONS, POST"),
        ("HEAD", format!("{own}/cancel"), "OPTIONS, POST"),
        ("GET", format!("{own}/callback/redeliver"), "OPTIONS, POST"),
        ("GET", format!("{own}/callback"), "OPTIONS, PATCH"),
        (
            "GET",
            "/v1/operations/callback/redeliver".to_owned(),
            "OPTIONS, POST",
        ),
        ("POST", "/healthz".to_owned(), "GET, HEAD, OPTIONS"),
        ("POST", "/readyz".to_owned(), "GET, HEAD, OPTIONS"),
    ] {
        let answer = world.call(method, &path, &[], "").await;
        if method == "HEAD" {
            assert_eq!(answer.status, 405, "{answer:?}");
        } else {
            refused(&answer, 405, "method-not-allowed");
        }
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    assert_eq!(world.closed(&id).await["status"], "succeeded");
}

#[tokio::test]
async fn a_client_over_its_rate_limit_is_refused_and_others_are_not() {
    let world = World::with(|setup| {
        let from = "requests_per_minute = 1000000";
        setup.config = setup.config.replace(from, "requests_per_minute = 6");
    })
    .await;
    for _ in 0..6 {
        assert_eq!(world.get("/v1/operations").await.status, 200);
    }
    let limited = world.post(&world.goals()).await;
    refused(&limited, 429, "rate-limited");
    assert_eq!(pause(&limited), 10);
    assert!(world.simulator.journal().is_empty());
    let hr = [("x-api-key", HR_KEY)];
    let other = world.call("GET", "/v1/operations", &hr, "").await;
    assert_eq!(other.status, 200);
    let wrong_key = [("x-api-key", "wrong")];
    let unknown = world.call("GET", "/v1/operations", &wrong_key, "").await;
    assert_eq!(unknown.status, 401);
    assert_eq!(world.get("/healthz").await.status, 200);
    world.clock.advance(Duration::from_millis(9_999));
    assert_eq!(pause(&world.get("/v1/operations").await), 1);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.get("/v1/operations").await.status, 200);
    assert_eq!(world.get("/v1/operations").await.status, 429);
}

#[tokio::test]
async fn an_ended_operation_cannot_be_cancelled() {
    let world = World::new().await;
    let lost = Fault::new("goals.start", Action::status_only(403));
    world.simulator.script(lost);
    let ended = [
        world.post(&world.goals()).await.id(),
        world.post(&world.schedule()).await.id(),
    ];
    for id in ended {
        let before = world.closed(&id).await;
        let path = format!("/v1/operations/{id}/cancel");
        refused(&world.call("POST", &path, &[], "").await, 409, "conflict");
        assert_eq!(world.operation(&id).await, before);
    }
    assert_eq!(world.receiver.journal().len(), 2);
}
