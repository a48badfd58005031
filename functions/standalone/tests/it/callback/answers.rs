//! What the history keeps of a receiver's answer: by default nothing that the receiver wrote, and never our secrets.

use std::time::Duration;

use courier_testkit::receiver::Answer;
use courier_testkit::world::World;
use serde_json::{Value, json};

/// Starts a World with this callback table of its client, in which the history keeps how an answer begins.
async fn keeping_answers(settings: &str) -> World {
    World::with(|setup| {
        let table = format!("[clients.tickets.callback]\n{settings}\n[clients.hr]");
        let network = "allow_networks = [\"127.0.0.0/8\"]";
        let keeping = format!("{network}\nkeep_answers = true");
        let config = setup.config.replace("[clients.hr]", &table);
        setup.config = config.replace(network, &keeping);
    })
    .await
}

async fn ended(world: &World) -> String {
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    world.post(&world.schedule()).await.id()
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
    let world = keeping_answers("").await;
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
    let world = keeping_answers(settings).await;
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
    let world = keeping_answers("").await;
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
async fn by_default_the_history_keeps_type_and_length_of_an_answer_and_none_of_its_text() {
    let world = World::new().await;
    let page = "<h1>Cannot POST /hooks/graph?token=canary-callback-token</h1>";
    let html = answer_with(500, page).header("content-type", "text/html; charset=utf-8");
    world.receiver.answer_next(html);
    let echo = answer_with(500, "").header("content-type", "text/canary-callback-token");
    world.receiver.answer_next(echo);
    let id = ended(&world).await;
    world.closed(&id).await;
    let lines = attempts(&world, &id).await;
    let kept = |line: &Value| {
        let names = ["httpStatus", "answerType", "answerLength", "answer"];
        json!(names.map(|name| line[name].clone()))
    };
    assert_eq!(kept(&lines[0]), json!([500, "text/html", page.len(), null]));
    assert_eq!(kept(&lines[1]), json!([500, null, 0, null]));
    assert_eq!(kept(&lines[2]), json!([204, null, 0, null]));
    assert!(lines.iter().all(|line| line["latencyMs"].is_u64()));
}

/// The third echo is cut where reading ends, and the first two leave room for it when they are redacted.
#[tokio::test]
async fn a_long_token_that_a_receiver_echoes_three_times_leaves_no_trace() {
    let token = "canary".repeat(250);
    for world in [World::new().await, keeping_answers("").await] {
        world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
        let page = format!("bad token {token}, {token}, {token}");
        world.receiver.answer_next(answer_with(500, &page));
        let mut body = world.schedule();
        body["callback"]["url"] = json!(world.receiver.url(&format!("/hooks?token={token}")));
        let id = world.post(&body).await.id();
        world.closed(&id).await;
        let lines = attempts(&world, &id).await;
        assert_eq!(lines[0]["answerLength"], page.len());
        assert!(!lines[0].to_string().contains("canary"), "{}", lines[0]);
    }
}
