//! A caller changes the receiver of a completion.

use std::time::Duration;

use courier_testkit::receiver::Answer;
use courier_testkit::world::{HR_KEY, World, delivery};
use serde_json::{Value, json};

use crate::api::operations::refused;
use crate::callback::profiles::world;

async fn ended(world: &World) -> String {
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    world.post(&world.schedule()).await.id()
}

async fn patch(world: &World, id: &str, body: &Value) -> courier_testkit::world::Answer {
    let path = format!("/v1/operations/{id}/callback");
    world.call("PATCH", &path, &[], body.to_string()).await
}

#[tokio::test]
async fn an_undeliverable_completion_is_delivered_at_once_to_a_new_receiver() {
    let world = World::new().await;
    world.receiver.answer_next(Answer::status(410));
    let id = ended(&world).await;
    assert_eq!(
        world.closed(&id).await["callback"]["status"],
        "undeliverable"
    );
    let elsewhere = json!({ "url": world.receiver.url("/elsewhere?t=canary-callback-token") });
    let answer = patch(&world, &id, &elsewhere).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["callback"]["status"], "pending");
    let closed = world.closed(&id).await;
    assert_eq!(
        delivery(&closed),
        json!({ "status": "delivered", "attempts": 2, "lastStatus": 204 })
    );
    let journal = world.receiver.journal();
    assert_eq!(journal[1].path, "/elsewhere?t=canary-callback-token");
    assert_eq!(journal[0].body, journal[1].body);
    assert!(
        world
            .history(&id)
            .await
            .contains(&"callbackChanged".to_owned())
    );
}

#[tokio::test]
async fn a_delivered_completion_reaches_a_new_receiver_only_by_redelivery() {
    let world = World::new().await;
    let id = ended(&world).await;
    world.closed(&id).await;
    let elsewhere = json!({ "url": world.receiver.url("/elsewhere") });
    let answer = patch(&world, &id, &elsewhere).await;
    assert_eq!(answer.body["callback"]["status"], "delivered");
    assert!(!world.jump().await);
    world
        .call(
            "POST",
            &format!("/v1/operations/{id}/callback/redeliver"),
            &[],
            "",
        )
        .await;
    world.closed(&id).await;
    assert_eq!(world.receiver.journal()[1].path, "/elsewhere");
}

#[tokio::test]
async fn an_open_operation_may_get_a_first_or_another_receiver() {
    let world = World::new().await;
    let mut body = world.goals();
    body.as_object_mut().unwrap().remove("callback");
    for body in [world.schedule(), body] {
        let id = world.post(&body).await.id();
        let elsewhere = json!({ "url": world.receiver.url("/elsewhere") });
        assert_eq!(patch(&world, &id, &elsewhere).await.status, 202);
        assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
        let callback = world.receiver.journal().pop().unwrap();
        assert_eq!(callback.path, "/elsewhere");
    }
    assert_eq!(world.receiver.journal().len(), 2);
}

/// The earlier receiver answers 200 after the change, which does not mean that the later one has the completion.
#[tokio::test]
async fn an_answer_of_the_earlier_receiver_does_not_count_as_delivered() {
    let world = World::new().await;
    let pause = Duration::from_millis(100);
    world
        .receiver
        .answer_next(Answer::Drip { bytes: 100, pause });
    world.simulator.set_durations(|d| d.schedule_seconds = 30.0);
    let id = world.post(&world.schedule()).await.id();
    world.clock.advance(Duration::from_secs(60));
    let elsewhere = json!({ "url": world.receiver.url("/elsewhere") });
    let change = async {
        world.receiver.arrived(1).await;
        patch(&world, &id, &elsewhere).await
    };
    let (_, changed) = tokio::join!(world.work(), change);
    assert_eq!(changed.body["callback"]["status"], "pending");
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    let paths: Vec<String> = world
        .receiver
        .journal()
        .into_iter()
        .map(|call| call.path)
        .collect();
    assert_eq!(
        paths.last().map(String::as_str),
        Some("/elsewhere"),
        "{paths:?}"
    );
}

#[tokio::test]
async fn an_invalid_change_of_the_callback_is_refused_with_the_reason() {
    let world =
        world("[clients.tickets.profiles.jira-automation]\ntoken = \"env:RECEIVER_TOKEN\"").await;
    let id = ended(&world).await;
    world.closed(&id).await;
    for (body, pointer, rule) in [
        (json!({}), "", "must hold url, profile or token"),
        (json!([]), "", "must be an object"),
        (json!({ "url": 1 }), "/url", "must be a string"),
        (json!({ "uri": "x" }), "/uri", "is not a known field"),
        (
            json!({ "url": "http://169.254.169.254/" }),
            "/url",
            "must be https, or below one of the client's registered http origins",
        ),
        (
            json!({ "token": "t" }),
            "/token",
            "is not used by the callback profile standard-webhooks",
        ),
    ] {
        let answer = patch(&world, &id, &body).await;
        refused(&answer, 400, "invalid-request");
        assert_eq!(
            answer.body["errors"],
            json!([{ "pointer": pointer, "rule": rule }]),
            "{body}"
        );
    }
    let foreign = patch(&world, &id, &json!({ "url": "https://evil.example/" })).await;
    refused(&foreign, 403, "callback-forbidden");
    let frozen = patch(&world, &id, &json!({ "profile": "jira-automation" })).await;
    refused(&frozen, 409, "conflict");
    let path = format!("/v1/operations/{id}/callback");
    let other = world
        .call("PATCH", &path, &[("x-api-key", HR_KEY)], "{}")
        .await;
    refused(&other, 404, "not-found");
    let text = world
        .call("PATCH", &path, &[("content-type", "text/plain")], "{}")
        .await;
    refused(&text, 415, "unsupported-media-type");
    let mut body = world.goals();
    body.as_object_mut().unwrap().remove("callback");
    let silent = world.post(&body).await.id();
    world.ended(&silent).await;
    let late = patch(&world, &silent, &json!({ "url": world.receiver.url("/x") })).await;
    refused(&late, 409, "conflict");
    assert_eq!(world.receiver.journal().len(), 1);
}
