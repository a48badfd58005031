//! Calls about callbacks: a caller reads each attempt, changes the receiver, or has many completions delivered again.

use std::time::Duration;

use courier_testkit::receiver::Answer;
use courier_testkit::world::{HR_KEY, World};
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

async fn attempts(world: &World, id: &str) -> Vec<Value> {
    let answer = world.get(&format!("/v1/operations/{id}/history")).await;
    let history = answer.body["history"].as_array().unwrap().clone();
    let attempts = history
        .into_iter()
        .filter(|line| line["event"] == "callbackAttempt");
    attempts.collect()
}

fn answer_with(status: u16, body: &str) -> Answer {
    Answer::Status {
        status,
        headers: Vec::new(),
        body: body.to_owned().into(),
    }
}

#[tokio::test]
async fn the_history_shows_answer_and_latency_of_each_attempt() {
    let world = World::new().await;
    world
        .receiver
        .answer_next(answer_with(500, "Oops:\n\u{7}no \u{1b}[31mroute"));
    world
        .receiver
        .answer_next(answer_with(503, &"é".repeat(4000)));
    world.receiver.answer_next(Answer::Close);
    world
        .receiver
        .answer_next(answer_with(200, "{\"ok\":true}"));
    let id = ended(&world).await;
    world.closed(&id).await;
    let lines = attempts(&world, &id).await;
    let statuses: Vec<_> = lines
        .iter()
        .map(|line| line["httpStatus"].as_u64())
        .collect();
    assert_eq!(statuses, [Some(500), Some(503), None, Some(200)]);
    assert_eq!(lines[0]["answer"], "Oops:\\n\\u{7}no \\u{1b}[31mroute");
    assert_eq!(lines[1]["answer"].as_str().unwrap().len(), 1024);
    assert_eq!(lines[2]["answer"], Value::Null);
    assert_eq!(lines[2]["detail"], "the connection ended before the answer");
    assert_eq!(lines[3]["answer"], "{\"ok\":true}");
    for line in [&lines[0], &lines[3]] {
        assert!(line["latencyMs"].is_u64(), "{line}");
    }
}

#[tokio::test]
async fn secrets_that_a_receiver_repeats_are_redacted_in_the_history() {
    let settings =
        "profile = \"servicenow-scripted\"\nusername = \"u\"\npassword = \"env:RECEIVER_PASSWORD\"";
    let world = world(settings).await;
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let basic = "dTpjYW5hcnktcmVjZWl2ZXItcGFzc3dvcmQ=";
    for page in [
        "Cannot POST /as/hooks/canary-callback-path?token=canary-callback-token&x=1".to_owned(),
        "no route /as/hooks/canary-callback-path?token=canary-callback-token&amp;x=1".to_owned(),
        format!("Authorization: Basic {basic}; password canary-receiver-password"),
        "user canary.person@contoso.example is not known".to_owned(),
    ] {
        world.receiver.answer_next(answer_with(500, &page));
    }
    let mut body = world.schedule();
    let url = "/as/hooks/canary-callback-path?token=canary-callback-token&x=1";
    body["callback"]["url"] = json!(world.receiver.url(url));
    let id = world.post(&body).await.id();
    world.closed(&id).await;
    let lines = attempts(&world, &id).await;
    assert_eq!(lines.len(), 5);
    for line in &lines[..4] {
        let stored = line["answer"].as_str().unwrap();
        assert!(stored.contains("[redacted]"), "{stored}");
        assert!(
            !stored.contains("canary") && !stored.contains(basic),
            "{stored}"
        );
    }
}

#[tokio::test]
async fn the_history_stores_the_last_ten_answers_and_a_slow_one_is_a_delivery() {
    let world = World::new().await;
    for _ in 0..11 {
        world.receiver.answer_next(answer_with(500, "busy"));
    }
    let pause = Duration::from_millis(50);
    world
        .receiver
        .answer_next(Answer::Drip { bytes: 1000, pause });
    let id = ended(&world).await;
    for _ in 0..11 {
        let path = format!("/v1/operations/{id}/callback/redeliver");
        world.call("POST", &path, &[], "").await;
        world.work().await;
    }
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    let lines = attempts(&world, &id).await;
    let has_answer: Vec<bool> = lines
        .iter()
        .map(|line| line["answer"].is_string())
        .collect();
    assert_eq!(has_answer.len(), 12);
    assert_eq!(has_answer.iter().filter(|has| **has).count(), 10);
    assert!(has_answer[2..].iter().all(|has| *has), "{has_answer:?}");
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
        closed["callback"],
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

#[tokio::test]
async fn undeliverable_completions_are_listed_and_redelivered_in_pages() {
    let world = World::new().await;
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let mut gone = Vec::new();
    for number in 0..70 {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = json!(format!("871dbd5c-3a6a-4392-bfe1-{number:012}"));
        body["reference"] = json!(if number % 2 == 0 { "even" } else { "odd" });
        let key = format!("k{number}");
        let lost = number < 60;
        world
            .receiver
            .answer_next(Answer::status(if lost { 410 } else { 204 }));
        let id = world
            .post_with(&[("idempotency-key", &key)], &body)
            .await
            .id();
        world.work().await;
        if lost {
            gone.push(id);
        }
    }
    let list = world.get("/v1/operations?callback=undeliverable").await;
    assert_eq!(list.body["operations"].as_array().unwrap().len(), 50);
    let odd = world
        .get("/v1/operations?callback=undeliverable&reference=odd")
        .await;
    assert_eq!(odd.body["operations"].as_array().unwrap().len(), 30);
    refused(
        &world.get("/v1/operations?callback=lost").await,
        400,
        "invalid-query",
    );
    let before = world.receiver.journal().len();
    let all = "/v1/operations/callback/redeliver";
    let (mut redelivered, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = world
            .call("POST", &format!("{all}?{cursor}"), &[], "")
            .await;
        assert_eq!(answer.status, 202);
        let ids = answer.body["redelivered"].as_array().unwrap();
        redelivered.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
        match answer.body["next"].as_str() {
            Some(next) => cursor = format!("cursor={next}"),
            None => break,
        }
    }
    redelivered.sort();
    gone.sort();
    assert_eq!(redelivered, gone);
    world.advance(Duration::from_secs(5)).await;
    assert_eq!(world.receiver.journal().len(), before + 60);
    let other = world.call("POST", all, &[("x-api-key", HR_KEY)], "").await;
    assert_eq!(other.body, json!({ "redelivered": [], "next": null }));
    let again = world.call("POST", all, &[], "").await;
    assert_eq!(again.body["redelivered"], json!([]));
}
