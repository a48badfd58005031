//! Events about operations at a second receiver: the promised end beside the callback, and the others, which are sent once.

use std::time::{Duration, Instant};

use courier_testkit::invariants::has_the_standard_signatures;
use courier_testkit::receiver::{Answer, Callback, Receiver};
use courier_testkit::tenants::{CALLBACK_TOKEN, PERSON};
use courier_testkit::world::{SAS_SIGNATURE, TestClock, World};
use serde_json::{Value, json};

const TO_A_URL: &str = r#"
[events]
source = "https://courier.example"
url = "{target}/events"
signing_secrets = ["env:SIGNING_NEW", "env:SIGNING_OLD"]
"#;
const TO_A_BUS: &str = r#"
[events]
source = "https://courier.example"
types = ["operation.ended"]
bus = "arn:aws:events:eu-central-1:123456789012:event-bus/courier"
endpoint = "{target}"
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
session_token = "env:AWS_SESSION"
"#;

/// Returns a World whose events go to the receiver, with further keys for the client `tickets`.
async fn world(events: &str, client: &str) -> (World, Receiver) {
    let target = Receiver::start(TestClock::new().function()).await.unwrap();
    let events = events.replace("{target}", &target.origin());
    let world = World::with(|setup| {
        let tickets = format!("[clients.tickets]\n{client}\n");
        setup.config = setup.config.replace("[clients.tickets]\n", &tickets) + &events;
    })
    .await;
    world
        .simulator
        .set_durations(|durations| durations.schedule_seconds = 0.0);
    (world, target)
}

/// Returns the names of the events that arrived, without what all types begin with, and their bodies.
fn told(target: &Receiver) -> Vec<(String, Value)> {
    let name = |body: &Value| {
        let kind = body["type"].as_str().unwrap_or_default();
        kind.trim_start_matches("io.graph-courier.").to_owned()
    };
    let bodies = target.journal().into_iter().map(|one| {
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(one.header("webhook-id"), body["id"].as_str());
        assert_eq!(body["source"], "https://courier.example");
        has_the_standard_signatures(&one);
        body
    });
    bodies.map(|body| (name(&body), body)).collect()
}

fn ends(target: &Receiver) -> Vec<Callback> {
    let journal = target.journal().into_iter();
    let is_end = |one: &Callback| String::from_utf8_lossy(&one.body).contains("operation.ended");
    journal.filter(is_end).collect()
}

async fn flush(world: &World) {
    world.app.flush_events(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_end_is_announced_beside_the_callback_and_the_other_events_are_sent_once() {
    let (world, target) = world(TO_A_URL, "").await;
    let mut body = world.export("dsar");
    body["reference"] = json!("RITM0012345");
    let id = world.post(&body).await.id();
    let operation = world.closed(&id).await;
    assert_eq!(operation["events"]["status"], "delivered");
    assert_eq!(operation["callback"]["status"], "delivered");
    flush(&world).await;
    let told = told(&target);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let sent_once = [
        "operation.accepted",
        "operation.started",
        "completion.delivered",
    ];
    assert_eq!(names, [&["operation.ended"][..], &sent_once].concat());
    let mut sequences = Vec::new();
    for (_, event) in &told {
        assert_eq!(event["subject"], id.as_str());
        assert_eq!(event["correlationid"], "RITM0012345");
        assert_eq!(
            event["data"]["links"]["self"],
            format!("/v1/operations/{id}")
        );
        sequences.push(event["sequence"].as_str().unwrap());
        for secret in [SAS_SIGNATURE, CALLBACK_TOKEN, PERSON, "storageLocation"] {
            assert!(!event.to_string().contains(secret), "{event}");
        }
    }
    // The end came first, because it is sent from its record; its place is before that of the delivery.
    assert!(sequences[1] < sequences[2] && sequences[2] < sequences[0]);
    assert!(sequences[0] < sequences[3]);
    assert_eq!(told[0].1["data"]["status"], "succeeded");
    assert_eq!(operation["events"]["eventId"], told[0].1["id"]);
    assert_eq!(world.app.metrics.totals().events["sent"], 4);
}

#[tokio::test]
async fn a_target_that_is_down_delays_no_callback_and_gets_the_same_event_later() {
    let (world, target) = world(TO_A_URL, "").await;
    target.answer_otherwise(Answer::retry_after(503, "3600"));
    let id = world.post(&world.schedule()).await.id();
    world.work().await;
    let operation = world.operation(&id).await;
    assert_eq!(operation["callback"]["status"], "delivered");
    assert_eq!(operation["events"]["status"], "retrying");
    assert_eq!(world.receiver.journal().len(), 1);
    let found = world.get("/v1/operations?callback=delivered").await.body;
    assert_eq!(found["operations"][0]["id"], id.as_str());
    let tried = ends(&target).len();
    target.answer_otherwise(Answer::status(204));
    world.advance(Duration::from_secs(3599)).await;
    assert_eq!(ends(&target).len(), tried, "Retry-After is honoured");
    world.advance(Duration::from_secs(2)).await;
    let operation = world.operation(&id).await;
    assert_eq!(operation["events"]["status"], "delivered");
    let ends = ends(&target);
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0].body, ends[1].body);
    assert_eq!(ends[0].header("webhook-id"), ends[1].header("webhook-id"));
    assert_eq!(world.receiver.journal().len(), 1);
    assert_eq!(world.database.next_due(), None);
}

#[tokio::test]
async fn a_receiver_that_is_down_delays_no_announcement() {
    let (world, target) = world(TO_A_URL, "").await;
    world.receiver.answer_next(Answer::status(500));
    let id = world.post(&world.schedule()).await.id();
    world.work().await;
    let operation = world.operation(&id).await;
    assert_eq!(operation["callback"]["status"], "retrying");
    assert_eq!(operation["events"]["status"], "delivered");
    world.closed(&id).await;
    assert_eq!(ends(&target).len(), 1);
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_no_answer_and_what_it_does_not_take_is_dropped() {
    let (world, target) = world(TO_A_URL, "").await;
    target.answer_otherwise(Answer::Hang);
    let begun = Instant::now();
    // The job was quick: it has ended, and its announcement is still to come.
    let answer = world.post(&world.schedule()).await;
    assert_eq!(answer.status, 200);
    world.app.flush_events(Duration::from_millis(100)).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The job was started, too.
    assert_eq!(world.app.metrics.totals().events["dropped"], 2);
    target.answer_otherwise(Answer::status(204));
    world.closed(&answer.id()).await;
    assert_eq!(ends(&target).len(), 1);
}

#[tokio::test]
async fn an_operation_without_a_callback_is_announced_and_one_of_a_client_that_wants_none_is_not() {
    let (first, target) = world(TO_A_URL, "").await;
    let mut body = first.schedule();
    body.as_object_mut().unwrap().remove("callback");
    let id = first.post(&body).await.id();
    first.work().await;
    let operation = first.operation(&id).await;
    assert_eq!(operation["callback"]["status"], "none");
    assert_eq!(operation["events"]["status"], "delivered");
    assert_eq!(ends(&target).len(), 1);
    let path = format!("/v1/operations/{id}/callback/redeliver");
    assert_eq!(first.call("POST", &path, &[], "").await.status, 409);
    let (second, target) = world(TO_A_URL, "events = false").await;
    let id = second.post(&second.schedule()).await.id();
    let operation = second.closed(&id).await;
    assert_eq!(operation["events"], Value::Null);
    flush(&second).await;
    assert_eq!(target.journal(), []);
}

#[tokio::test]
async fn an_announcement_that_was_given_up_is_counted_and_sent_again_when_somebody_asks() {
    let (world, target) = world(TO_A_URL, "").await;
    target.answer_otherwise(Answer::status(410));
    let mut body = world.schedule();
    body.as_object_mut().unwrap().remove("callback");
    let id = world.post(&body).await.id();
    world.work().await;
    let operation = world.operation(&id).await;
    assert_eq!(operation["events"]["status"], "undeliverable");
    assert_eq!(world.app.metrics.totals().events["undeliverable"], 1);
    target.answer_otherwise(Answer::status(204));
    let path = format!("/v1/operations/{id}/callback/redeliver");
    assert_eq!(world.call("POST", &path, &[], "").await.status, 202);
    world.work().await;
    let operation = world.operation(&id).await;
    assert_eq!(operation["events"]["status"], "delivered");
    let history = world.history(&id).await;
    assert!(history.contains(&"unannounced".to_owned()), "{history:?}");
}

#[tokio::test]
async fn a_bus_that_answers_200_with_a_failed_entry_gets_the_event_again() {
    let (world, target) = world(TO_A_BUS, "").await;
    let json = |body: &Value| Answer::Status {
        status: 200,
        headers: vec![],
        body: body.to_string().into(),
    };
    let failed = json!({ "ErrorCode": "InternalFailure", "ErrorMessage": "canary" });
    target.answer_next(json(&json!({ "FailedEntryCount": 1, "Entries": [failed] })));
    target.answer_otherwise(json(
        &json!({ "FailedEntryCount": 0, "Entries": [{ "EventId": "1" }] }),
    ));
    let id = world.post(&world.schedule()).await.id();
    world.work().await;
    assert_eq!(world.operation(&id).await["events"]["status"], "retrying");
    world.advance(Duration::from_secs(10)).await;
    assert_eq!(world.operation(&id).await["events"]["status"], "delivered");
    let calls = target.journal();
    assert_eq!(calls.len(), 2);
    let mut entries = Vec::new();
    for call in &calls {
        assert_eq!(call.header("x-amz-target"), Some("AWSEvents.PutEvents"));
        let authorization = call.header("authorization").unwrap();
        assert!(authorization.contains("/eu-central-1/events/aws4_request"));
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        entries.push(body["Entries"][0].clone());
    }
    assert_eq!(entries[0], entries[1]);
    let entry = &entries[0];
    assert_eq!(entry["Source"], "io.graph-courier");
    assert_eq!(entry["DetailType"], "Graph Operation Ended");
    assert_eq!(
        entry["Resources"][0],
        format!("urn:graph-courier:operation:{id}")
    );
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["metadata"]["client"], "tickets");
    assert_eq!(detail["data"]["status"], "succeeded");
    let page = world
        .get(&format!("/v1/operations/{id}/history"))
        .await
        .body;
    assert!(
        page.to_string()
            .contains("EventBridge did not take the event: InternalFailure")
    );
    assert!(!page.to_string().contains("canary"));
}
