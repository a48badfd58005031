//! Requests that arrive in a client's queue.

use std::time::Duration;

use courier_core::http::intake::{self, Refusal, Taken};
use courier_testkit::receiver::Receiver;
use courier_testkit::world::{HR_KEY, TestClock, World};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::events::{event, with, world, world_with};
use crate::rules::read;

const QUEUE: &str = "courier-intake";

async fn take(world: &World, message: &str) -> Taken {
    intake::take(&world.app, QUEUE, message, Timestamp::MAX).await
}

async fn refusal(world: &World, message: &Value) -> Refusal {
    match take(world, &message.to_string()).await {
        Taken::Refused(refusal) => *refusal,
        taken @ (Taken::Accepted | Taken::Later(_) | Taken::Unreadable(_)) => {
            panic!("{taken:?}: {message}")
        }
    }
}

fn sample(name: &str) -> String {
    let batch: Value = serde_json::from_str(&read(&format!("events/intake-{name}.json"))).unwrap();
    batch["Records"][0]["body"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_kind_of_message_in_a_queue_begins_one_operation_however_often_it_comes() {
    let world = world().await;
    let mut request = event()["data"].take();
    request["reference"] = "RITM0012351".into();
    let mut notified: Value = serde_json::from_str(&sample("sns")).unwrap();
    notified["Message"] = request.to_string().into();
    let enveloped = json!({
        "detail-type": "any", "source": "com.other", "id": "1", "detail": with(json!({ "id": "9" })),
    });
    let messages = [sample("cloudevent"), sample("eventbridge"), sample("sns")];
    let messages = messages
        .into_iter()
        .chain([notified, enveloped].map(|one| one.to_string()));
    let messages: Vec<String> = messages.collect();
    for message in messages.iter().chain(messages.iter().rev()) {
        let taken = take(&world, message).await;
        assert!(matches!(taken, Taken::Accepted), "{taken:?}: {message}");
    }
    assert_eq!(
        world.simulator.calls("schedule.start").len(),
        messages.len()
    );
    // The operations are the queue's client's, and nobody else's.
    for headers in [&[][..], &[("x-api-key", HR_KEY)]] {
        let list = world.call("GET", "/v1/operations", headers, "").await;
        assert_eq!(list.body["operations"], json!([]));
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_a_request_is_refused_and_one_that_is_no_event_is_left() {
    let world = world().await;
    let forbidden = with(json!({ "data": { "operation": "goals.exportJob", "parameters": {} } }));
    let loops = with(json!({ "type": "io.graph-courier.operation.ended" }));
    let detail = |kind: &str| json!({ "detail-type": kind, "source": "com.contoso.tickets", "id": "1", "detail": { "a": 1 } });
    for (message, problem, published) in [
        (
            with(json!({ "source": "urn:foreign" })),
            "source-forbidden",
            true,
        ),
        (with(json!({ "id": null })), "invalid-event", true),
        (with(json!({ "type": "com.other" })), "invalid-event", true),
        (
            with(json!({ "extra": "x".repeat(1_000_000) })),
            "payload-too-large",
            true,
        ),
        (forbidden, "operation-forbidden", true),
        (detail("Graph Operation Requested"), "invalid-request", true),
        (detail("Ticket Closed"), "invalid-event", true),
        (loops, "invalid-event", false),
    ] {
        let refusal = refusal(&world, &message).await;
        let kind = refusal.problem["type"].as_str().unwrap();
        assert!(kind.ends_with(problem), "{kind}: {problem}");
        assert_eq!(refusal.client, "bus");
        assert_eq!(refusal.may_be_published(), published, "{problem}");
        intake::refused(&world.app, &refusal);
    }
    assert_eq!(world.app.metrics.take().events_refused, 8);
    let confirmation = r#"{"Type":"SubscriptionConfirmation","Message":"{}"}"#;
    for message in ["", "hello", "[]", "{}", &sample("foreign"), confirmation] {
        let taken = take(&world, message).await;
        assert!(
            matches!(taken, Taken::Unreadable(_)),
            "{taken:?}: {message}"
        );
    }
    let taken = intake::take(&world.app, "other", &sample("cloudevent"), Timestamp::MAX).await;
    assert!(matches!(taken, Taken::Unreadable(_)), "{taken:?}");
    assert!(world.simulator.journal().is_empty());
}

#[tokio::test]
async fn a_refusal_is_told_as_an_event_with_its_rule_and_none_of_its_values() {
    let target = Receiver::start(TestClock::new().function()).await.unwrap();
    let events = format!(
        "\n[events]\nsource = \"https://courier.example\"\nurl = \"{}/events\"\n\
         signing_secrets = [\"env:SIGNING_NEW\"]\n",
        target.origin()
    );
    let world = world_with(&events).await;
    let mut wrong = event();
    wrong["data"]["parameters"]["teamId"] = "canary-team".into();
    // The announcement of a refused announcement would come back too.
    let ours = with(json!({ "type": "io.graph-courier.operation.ended" }));
    for message in [wrong, ours] {
        let refusal = refusal(&world, &message).await;
        intake::refused(&world.app, &refusal);
    }
    world.app.flush_events(Duration::from_secs(5)).await;
    let [told] = &target.journal()[..] else {
        panic!("{:?}", target.journal());
    };
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(told["type"], "io.graph-courier.operation.refused");
    assert_eq!(told["correlationid"], event()["correlationid"]);
    assert_eq!(
        told["data"],
        json!({
            "request": { "source": event()["source"], "id": event()["id"] },
            "problem": "invalid-request",
            "detail": "/parameters/teamId must be a GUID",
        })
    );
}

/// No header takes a caller of HTTP for the queue's client, who has no other credential.
#[tokio::test]
async fn nobody_is_a_queue_by_http() {
    let world = world().await;
    for (name, value) in [
        ("x-queue", QUEUE),
        (
            "eventsourcearn",
            "arn:aws:sqs:us-east-1:000000000000:courier-intake",
        ),
        ("authorization", "Bearer sqs:courier-intake"),
        ("x-api-key", "courier-intake"),
    ] {
        let head = [("authorization", ""), (name, value)];
        let answer = world.post_with(&head, &event()).await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
    }
}
