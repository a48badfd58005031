//! What HTTP itself promises, on every route: methods, media types, challenges, request ids, health.

use courier_testkit::world::{Answer, TICKETS_KEY, World};
use graph_simulator::{Action, Fault};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::api::operations::refused;

/// The headers of an answer without those that differ from one answer to the next.
fn lasting(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    for name in ["date", "x-request-id"] {
        assert!(headers.remove(name).is_some(), "{name} is missing");
    }
    headers
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let world = World::new().await;
    let id = world.post(&world.goals()).await.id();
    let own = format!("/v1/operations/{id}");
    for (path, key, status) in [
        ("/healthz", "", 200),
        ("/readyz", "", 200),
        ("/nowhere", "", 404),
        ("/v1/operations", TICKETS_KEY, 200),
        ("/v1/operations?status=x", TICKETS_KEY, 400),
        ("/v1/operations/op_x", TICKETS_KEY, 404),
        (&own, TICKETS_KEY, 202),
        (&own, "wrong", 401),
        (&format!("{own}/history"), TICKETS_KEY, 200),
    ] {
        let headers = [("x-api-key", key)];
        let get = world.call("GET", path, &headers, "").await;
        let head = world.call("HEAD", path, &headers, "").await;
        assert_eq!((get.status, head.status), (status, status), "{path}");
        assert!(get.body.is_object() && head.body.is_null(), "{path}");
        assert_eq!(lasting(&head), lasting(&get), "{path}");
        assert_ne!(head.header("content-length"), Some("0"), "{path}");
    }
}

#[tokio::test]
async fn options_names_the_methods_of_each_resource_to_everybody() {
    let world = World::new().await;
    for (path, methods) in [
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/readyz", "GET, HEAD, OPTIONS"),
        ("/v1/operations", "GET, HEAD, OPTIONS, POST"),
        ("/v1/operations/op_x", "DELETE, GET, HEAD, OPTIONS"),
        ("/v1/operations/op_x/history", "GET, HEAD, OPTIONS"),
        ("/v1/operations/op_x/cancel", "OPTIONS, POST"),
        ("/v1/operations/op_x/callback", "OPTIONS, PATCH"),
        ("/v1/operations/op_x/callback/redeliver", "OPTIONS, POST"),
        ("/v1/operations/callback/redeliver", "OPTIONS, POST"),
    ] {
        let answer = world.call("OPTIONS", path, &[("x-api-key", "")], "").await;
        assert_eq!((answer.status, &answer.body), (204, &Value::Null), "{path}");
        assert_eq!(answer.header("allow"), Some(methods), "{path}");
        assert_eq!(answer.header("content-length"), None, "{path}");
    }
    let unknown = world.call("OPTIONS", "/v2", &[], "").await;
    refused(&unknown, 404, "not-found");
    let unknown = "/v1/operations/op_x/y";
    let stranger = world
        .call("OPTIONS", unknown, &[("x-api-key", "")], "")
        .await;
    refused(&stranger, 401, "unauthenticated");
}

#[tokio::test]
async fn every_route_names_a_query_parameter_that_it_does_not_know() {
    let world = World::new().await;
    let id = world.post(&world.goals()).await.id();
    for (method, path) in [
        ("GET", "/healthz".to_owned()),
        ("HEAD", "/healthz".to_owned()),
        ("GET", "/readyz".to_owned()),
        ("GET", "/v1/operations".to_owned()),
        ("POST", "/v1/operations".to_owned()),
        ("GET", format!("/v1/operations/{id}")),
        ("GET", format!("/v1/operations/{id}/history")),
        ("POST", format!("/v1/operations/{id}/cancel")),
        ("PATCH", format!("/v1/operations/{id}/callback")),
        ("POST", format!("/v1/operations/{id}/callback/redeliver")),
        ("POST", "/v1/operations/callback/redeliver".to_owned()),
    ] {
        let path = format!("{path}?wait=5");
        let answer = world
            .call(method, &path, &[], world.goals().to_string())
            .await;
        if method == "HEAD" {
            assert_eq!(answer.status, 400, "{path}");
            continue;
        }
        refused(&answer, 400, "invalid-query");
        let errors = json!([{ "parameter": "wait", "rule": "is not a known parameter" }]);
        assert_eq!(answer.body["errors"], errors, "{path}");
    }
    assert_eq!(world.closed(&id).await["status"], "succeeded");
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn a_body_in_another_form_is_refused_with_the_forms_that_are_read() {
    let world = World::new().await;
    let body = world.goals().to_string();
    let read = "application/json, application/cloudevents+json";
    for coding in ["gzip", "identity, br", "deflate", "x\u{e9}"] {
        let headers = [("content-encoding", coding)];
        let answer = world
            .call("POST", "/v1/operations", &headers, body.clone())
            .await;
        refused(&answer, 415, "unsupported-content-encoding");
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
        assert_eq!(answer.header("accept-post"), Some(read));
    }
    let merge = ("content-type", "application/merge-patch+json");
    let answer = world
        .call("POST", "/v1/operations", &[merge], body.clone())
        .await;
    refused(&answer, 415, "unsupported-media-type");
    assert_eq!(answer.header("accept-post"), Some(read));
    let identity = [("content-encoding", "Identity")];
    let posted = world.call("POST", "/v1/operations", &identity, body).await;
    assert_eq!(posted.status, 202, "{posted:?}");

    let path = format!("/v1/operations/{}/callback", posted.id());
    let change = json!({ "url": world.receiver.url("/hooks/new") });
    for header in [
        ("content-type", "application/json-patch+json"),
        ("content-encoding", "gzip"),
    ] {
        let answer = world
            .call("PATCH", &path, &[header], change.to_string())
            .await;
        assert_eq!(answer.status, 415, "{header:?}");
        let types = "application/json, application/merge-patch+json";
        assert_eq!(answer.header("accept-patch"), Some(types), "{header:?}");
    }
    let null = world
        .call("PATCH", &path, &[merge], r#"{"token":null}"#)
        .await;
    let errors = json!([{ "pointer": "/token", "rule": "cannot be removed" }]);
    assert_eq!(null.body["errors"], errors);
    let answer = world
        .call("PATCH", &path, &[merge], change.to_string())
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    world.closed(&posted.id()).await;
    assert_eq!(world.receiver.journal()[0].path, "/hooks/new");
}

#[tokio::test]
async fn a_401_names_the_schemes_that_the_deployments_clients_may_use() {
    let hash = "sha256:32b148fafb7f13528348d132ee917ccbcebff5e2d6053f7bac76c566050d152c";
    let basic = format!("basic = {{ username = \"hr\", passwords = [\"{hash}\"] }}");
    let keys = format!("api_keys = [\"{hash}\"]");
    let jwt = "jwt = { issuer = \"i\", audience = \"a\", jwks_url = \"https://login.example/keys\", required_role = \"r\" }";
    let secret = "signed = { dialect = \"github\", secrets = [\"env:GITHUB_SECRET\"] }";
    let basic_challenge = "Basic realm=\"graph-courier\", charset=\"UTF-8\"";
    for (credentials, challenges) in [
        // An API key may be sent as the user name of Basic too.
        (vec![&*keys], vec![basic_challenge, "Bearer"]),
        (vec![&*basic], vec![basic_challenge]),
        (vec![&basic, &keys], vec![basic_challenge, "Bearer"]),
        (vec![jwt], vec!["Bearer"]),
        (vec![secret, jwt], vec!["Bearer"]),
        (
            vec![secret],
            vec!["Webhook-Signature realm=\"graph-courier\""],
        ),
    ] {
        let world = World::with(|setup| {
            let (begin, rest) = setup.config.split_once("[clients.tickets]").unwrap();
            let (_, end) = rest.split_once("[seal]").unwrap();
            let client = "[clients.one]\ntenant = \"contoso\"\noperations = [\"team.schedule\"]";
            let credentials = credentials.join("\n");
            setup.config = format!("{begin}{client}\n{credentials}\n[seal]{end}");
        })
        .await;
        let answer = world.get("/v1/operations").await;
        refused(&answer, 401, "unauthenticated");
        let found = answer.headers.get_all("www-authenticate").iter();
        let found: Vec<_> = found.map(|value| value.to_str().unwrap()).collect();
        assert_eq!(found, challenges, "{credentials:?}");
    }
}

#[tokio::test]
async fn every_answer_has_the_request_id_of_its_caller_or_a_new_one() {
    let world = World::new().await;
    let long = "x".repeat(128);
    for id in ["r-1", "A.b_9-", &long] {
        let own = [("x-request-id", id)];
        let answer = world.call("GET", "/v1/operations", &own, "").await;
        assert_eq!(answer.header("x-request-id"), Some(id));
        let headers = [("x-request-id", id), ("x-api-key", "wrong")];
        let refused = world.call("GET", "/v1/operations", &headers, "").await;
        assert_eq!(refused.header("x-request-id"), Some(id));
        assert_eq!(refused.body["requestId"], id);
    }
    let (too_long, two) = ("x".repeat(129), ("x-request-id", "b"));
    let mut seen = std::collections::BTreeSet::new();
    for headers in [
        vec![],
        vec![("x-request-id", too_long.as_str())],
        vec![("x-request-id", "a b")],
        vec![("x-request-id", "a\u{e9}")],
        vec![("x-request-id", "a\tb")],
        vec![("x-request-id", "a"), two],
    ] {
        for (method, path) in [("GET", "/healthz"), ("OPTIONS", "/healthz"), ("GET", "/")] {
            let answer = world.call(method, path, &headers, "").await;
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert_eq!(id.len(), 32, "{id}");
            if answer.status == 404 {
                assert_eq!(answer.body["requestId"], id.as_str());
            }
            assert!(seen.insert(id), "an id comes once");
        }
    }
    let broken = Fault::new("goals.start", Action::status_only(400));
    world.simulator.script(broken);
    let headers = [("x-request-id", "r-2")];
    let rejected = world.post_with(&headers, &world.goals()).await;
    refused(&rejected, 422, "start-rejected");
    assert_eq!(rejected.body["requestId"], "r-2");
    world.closed(&rejected.id()).await;
}

#[tokio::test]
async fn without_its_store_the_program_lives_but_is_not_ready() {
    let world = World::new().await;
    let stranger = [("x-api-key", "")];
    for path in ["/healthz", "/readyz"] {
        let answer = world.call("GET", path, &stranger, "").await;
        assert_eq!(
            (answer.status, answer.body),
            (200, json!({ "status": "ok" }))
        );
    }
    world.database.close().await;
    assert_eq!(
        world.call("GET", "/healthz", &stranger, "").await.status,
        200
    );
    let answer = world.call("GET", "/readyz", &stranger, "").await;
    refused(&answer, 503, "unavailable");
    assert!(answer.header("retry-after").is_some());
}
