//! CloudEvents as requests in both modes of HTTP, with the handshake before them.

use courier_core::operation::OperationId;
use courier_testkit::tenants::REQUEST_SECRETS;
use courier_testkit::world::{Answer, World};
use serde_json::{Value, json};

use crate::rules::read;

/// The idempotency key of the event of [`event`], made with Python's hashlib.
const KEY: &str = "event-50582c91afccd0fa7886a3ac11b455aea7271fc56c3b4fddb325f5ea092dd9bb";
/// The answer to an event has no body unless it is asked for.
const WITH_BODY: (&str, &str) = ("prefer", "return=representation");
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A client of one queue, one whose events are signed, and origins of which each client permits another.
const CLIENTS: &str = r#"
[clients.bus]
tenant = "contoso"
source = "sqs:courier-intake"
operations = ["team.schedule"]
event_sources = ["https://tickets.contoso.com/*", "com.contoso.tickets", "arn:aws:sns:*"]
[clients.github]
tenant = "contoso"
operations = ["team.schedule"]
signed = { dialect = "github", secrets = ["env:GITHUB_SECRET"] }
[seal]
"#;

pub(super) async fn world() -> World {
    world_with("").await
}

/// Returns a World with these clients, and with further tables in its configuration.
pub(super) async fn world_with(tables: &str) -> World {
    World::with(|setup| {
        let config = setup.config.replace("[seal]\n", CLIENTS) + tables;
        let mine = "[clients.tickets]\nevent_origins = [\"eventgrid.azure.net\", \"ours.example\"]";
        let hers = "[clients.hr]\nevent_origins = [\"ours.example\"]\nrequests_per_minute = 90";
        setup.config = config
            .replace("[clients.tickets]", mine)
            .replace("[clients.hr]", hers);
    })
    .await
}

pub(super) fn event() -> Value {
    serde_json::from_str(&read("events/cloudevent-schedule.json")).unwrap()
}

pub(super) fn with(changes: Value) -> Value {
    let mut event = event();
    let (Value::Object(members), Value::Object(changes)) = (&mut event, changes) else {
        panic!("objects");
    };
    members.extend(changes);
    event
}

async fn structured(world: &World, event: &Value) -> Answer {
    let kind = "application/cloudevents+json; charset=utf-8";
    let head = [("content-type", kind), WITH_BODY];
    world.post_with(&head, event).await
}

fn replayed(answer: &Answer) -> bool {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("idempotency-replayed") == Some("true")
}

#[tokio::test]
async fn one_event_is_one_operation_in_either_mode_and_as_the_plain_request_of_its_key() {
    let world = world().await;
    let first = structured(&world, &event()).await;
    assert!(!replayed(&first));
    assert_eq!(first.body["reference"], "RITM0012348");
    let data = event()["data"].take();
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-type", "io.graph-courier.operation.requested"),
        ("ce-source", "\"https://tickets.contoso.com/requests\""),
        ("ce-id", "RITM0012348%2F1"),
        ("ce-correlationid", "RITM0012348"),
        ("ce-traceparent", PARENT),
        WITH_BODY,
    ];
    let mut plain = data.clone();
    plain["reference"] = "RITM0012348".into();
    let mut coded = with(json!({ "data_base64": base64(&data) }));
    coded.as_object_mut().unwrap().remove("data");
    let moved = with(json!({ "data": plain, "subject": "another", "correlationid": null }));
    for answer in [
        world.post_with(&binary, &data).await,
        world.post_with(&[("idempotency-key", KEY)], &plain).await,
        // As EventBridge sends it, unless it is told another media type.
        world.post_with(&[WITH_BODY], &event()).await,
        structured(&world, &coded).await,
        structured(&world, &moved).await,
    ] {
        assert!(replayed(&answer), "{answer:?}");
        assert_eq!(answer.id(), first.id());
    }
    assert_eq!(world.simulator.jobs().len(), 1);
    let empty = world.post(&event()).await;
    assert!(replayed(&empty));
    assert_eq!(
        (empty.header("content-type"), &empty.body),
        (None, &Value::Null)
    );
    let place = format!("/v1/operations/{}", first.id());
    assert_eq!(empty.header("location"), Some(&*place));
    // A key in the header goes before the event's own; another id is another operation.
    let kind = ("content-type", "application/cloudevents+json");
    let own = world
        .post_with(&[kind, WITH_BODY, ("idempotency-key", "k")], &event())
        .await;
    let other = with(json!({ "id": "RITM0012348/2", "source": "urn:a" }));
    for answer in [own, structured(&world, &other).await] {
        assert!(!replayed(&answer));
        assert_ne!(answer.id(), first.id());
    }
    let changed = with(json!({ "correlationid": "RITM0" }));
    let answer = structured(&world, &changed).await;
    assert_eq!(answer.problem(), "idempotency-key-reused");
}

fn base64(data: &Value) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(data.to_string())
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_attribute_and_starts_nothing() {
    let world = world().await;
    for (changes, attribute, rule) in [
        (
            json!({ "specversion": "0.3" }),
            "specversion",
            "must be 1.0",
        ),
        (
            json!({ "type": "com.other" }),
            "type",
            "must be io.graph-courier",
        ),
        (json!({ "id": null }), "id", "is required"),
        (json!({ "id": " " }), "id", "is required"),
        (json!({ "id": 7 }), "id", "must be a string"),
        (json!({ "id": "{{event.id}}" }), "id", "placeholder"),
        (json!({ "source": "" }), "source", "is required"),
        (json!({ "source": "a\u{7}" }), "source", "control character"),
        (
            json!({ "datacontenttype": "text/xml" }),
            "datacontenttype",
            "application/json",
        ),
        (
            json!({ "expirytime": "tomorrow" }),
            "expirytime",
            "RFC 3339",
        ),
        (
            json!({ "correlationid": "x".repeat(257) }),
            "correlationid",
            "256",
        ),
        (json!({ "data": null }), "data", "is required"),
        (json!({ "data_base64": "e30=" }), "data", "exclude"),
        (
            json!({ "data": null, "data_base64": "e3" }),
            "data",
            "base64",
        ),
    ] {
        let answer = structured(&world, &with(changes.clone())).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "invalid-event"),
            "{changes}"
        );
        let errors = answer.body["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{changes}: {answer:?}");
        assert_eq!(errors[0]["attribute"], attribute, "{changes}");
        let told = errors[0]["rule"].as_str().unwrap();
        assert!(told.contains(rule), "{changes}: {told}");
    }
    for (head, status, problem) in [
        (
            &[("content-type", "application/cloudevents-batch+json")][..],
            415,
            "unsupported-media-type",
        ),
        (&[("ce-id", "1")], 400, "invalid-event"),
        (&[("ce-id", "1"), ("ce-id", "2")], 400, "invalid-event"),
        (
            &[("ce-specversion", "1.0"), ("ce-id", "%FF")],
            400,
            "invalid-event",
        ),
    ] {
        let answer = world.post_with(head, &json!([])).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (status, problem),
            "{head:?}"
        );
    }
    let mut wrong = event();
    wrong["data"]["parameters"]["teamId"] = 7.into();
    let answer = structured(&world, &wrong).await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/parameters/teamId");
    let big = with(json!({ "extra": "x".repeat(65_536) }));
    assert_eq!(structured(&world, &big).await.status, 413);
    assert!(world.simulator.journal().is_empty());
}

#[tokio::test]
async fn an_event_bounds_the_deadline_and_continues_its_trace() {
    let world = world().await;
    let soon = "2026-11-21T22:00:00+01:00";
    let bounded = with(json!({ "expirytime": soon, "traceparent": PARENT, "tracestate": "a=1" }));
    let first = structured(&world, &bounded).await;
    assert_eq!(first.body["deadline"], "2026-11-21T21:00:00.000Z");
    let id = OperationId::parse(&first.id()).unwrap();
    let record = world.app.store.load(&id).await.unwrap().unwrap();
    assert_eq!(record.traceparent.as_deref(), Some(PARENT));
    assert_eq!(record.tracestate.as_deref(), Some("a=1"));
    let late = with(json!({ "expirytime": "2099-01-01T00:00:00Z", "id": "2" }));
    let later = structured(&world, &late).await;
    assert!(
        later.body["deadline"].as_str().unwrap() < "2026-12-31",
        "{later:?}"
    );
    let expired = with(json!({ "expirytime": "2026-11-21T19:00:00Z", "id": "3" }));
    let answer = structured(&world, &expired).await;
    let error = &answer.body["errors"][0];
    assert_eq!(error["pointer"], "/deadline", "{answer:?}");
    assert!(error["rule"].as_str().unwrap().contains("expirytime"));
    // A repeat of an event that came in time is answered after its expiry.
    let mut repeat = bounded;
    repeat["expirytime"] = "2026-11-21T19:00:00Z".into();
    assert!(replayed(&structured(&world, &repeat).await));
}

#[tokio::test]
async fn the_handshake_permits_the_origins_that_clients_list() {
    let world = world().await;
    for (path, origin, allowed) in [
        ("/v1/operations", "eventgrid.azure.net", Some("1000000")),
        ("/v1/operations", "EventGrid.Azure.net", Some("1000000")),
        ("/v1/operations", "ours.example", Some("90")),
        ("/v1/operations", "evil.example", None),
        ("/v1/operations", "", None),
        ("/v1/catalogue", "eventgrid.azure.net", None),
    ] {
        let head = [
            ("webhook-request-origin", origin),
            ("webhook-request-rate", "120"),
        ];
        let answer = world.call("OPTIONS", path, &head, "").await;
        let (permitted, rate) = match allowed {
            Some(rate) => (Some(origin), Some(rate)),
            None => (None, None),
        };
        assert_eq!(answer.status, if rate.is_some() { 200 } else { 204 });
        assert_eq!(
            answer.header("webhook-allowed-origin"),
            permitted,
            "{origin}"
        );
        assert_eq!(answer.header("webhook-allowed-rate"), rate, "{origin}");
        assert!(answer.header("allow").unwrap().contains("OPTIONS"));
    }
}

/// A signature covers the body, so the attributes must be in it.
#[tokio::test]
async fn a_signed_event_is_one_in_structured_mode_only() {
    let world = world().await;
    let (_, secret) = REQUEST_SECRETS
        .into_iter()
        .find(|(name, _)| *name == "GITHUB_SECRET")
        .unwrap();
    let signed = |body: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let digits = aws_lc_rs::hmac::sign(&key, body.as_bytes());
        let digits: String = digits
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("sha256={digits}")
    };
    let send = async |body: String, head: &[(&str, &str)]| {
        let signature = signed(&body);
        let own = [
            ("authorization", ""),
            ("x-hub-signature-256", &*signature),
            WITH_BODY,
        ];
        let all = [&own[..], head].concat();
        world.call("POST", "/v1/operations", &all, body).await
    };
    let first = send(event().to_string(), &[]).await;
    assert!(!replayed(&first));
    let spaced = format!("{:#}", event());
    let again = send(spaced, &[]).await;
    assert!(
        replayed(&again),
        "the event is the same, whatever its bytes"
    );
    let other = send(event().to_string(), &[("idempotency-key", "k")]).await;
    assert_eq!(
        other.body["errors"][0]["header"], "Idempotency-Key",
        "{other:?}"
    );
    let data = event()["data"].to_string();
    let binary = send(data, &[("ce-id", "1"), ("ce-specversion", "1.0")]).await;
    assert_eq!(binary.body["errors"][0]["header"], "ce-id", "{binary:?}");
}
