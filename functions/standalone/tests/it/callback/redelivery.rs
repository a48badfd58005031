//! Redelivery of completions, and the checks of a guarded call when a callback is sent.

use std::time::Duration;

use courier_testkit::receiver::{Answer, Receiver};
use courier_testkit::world::{self, World, delivery};
use serde_json::{Value, json};

/// Returns the id of an operation that has ended, so that its first callback is due now.
async fn ended(world: &World) -> String {
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    world.post(&world.schedule()).await.id()
}

async fn redeliver(world: &World, id: &str) -> world::Answer {
    let path = format!("/v1/operations/{id}/callback/redeliver");
    world.call("POST", &path, &[], "").await
}

/// Returns the document without what each attempt changes: the delivery, and the head of the history's chain.
fn without_callback(mut operation: Value) -> Value {
    operation["callback"] = Value::Null;
    operation["evidence"] = Value::Null;
    operation
}

#[tokio::test]
async fn a_delivered_completion_is_delivered_again_with_the_same_id_and_body() {
    let world = World::new().await;
    let id = ended(&world).await;
    let first = world.closed(&id).await;
    for attempts in 2..4 {
        world.advance(Duration::from_secs(100)).await;
        let accepted = redeliver(&world, &id).await;
        assert_eq!(accepted.status, 202);
        assert_eq!(accepted.body["callback"]["status"], "pending");
        let again = world.closed(&id).await;
        let callback = json!({ "status": "delivered", "attempts": attempts, "lastStatus": 204 });
        assert_eq!(delivery(&again), callback);
        assert_eq!(
            without_callback(again),
            without_callback(first.clone()),
            "the outcome stays as it was written"
        );
    }
    let tries = world.receiver.journal();
    assert_eq!(tries.len(), 3);
    for (one, next) in tries.iter().zip(&tries[1..]) {
        assert_eq!(one.body, next.body);
        assert_eq!(one.header("webhook-id"), next.header("webhook-id"));
        for name in ["webhook-timestamp", "webhook-signature"] {
            assert_ne!(one.header(name), next.header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn redelivery_of_an_undeliverable_completion_begins_a_new_schedule() {
    for first in [Answer::status(410), Answer::status(500)] {
        let world = World::new().await;
        world.receiver.answer_otherwise(first);
        let id = ended(&world).await;
        let closed = world.closed(&id).await;
        assert_eq!(closed["callback"]["status"], "undeliverable");
        let before = world.receiver.journal().len();
        world.receiver.answer_otherwise(Answer::status(503));
        assert_eq!(redeliver(&world, &id).await.status, 202);
        let closed = world.closed(&id).await;
        assert_eq!(closed["callback"]["status"], "undeliverable");
        let tries = &world.receiver.journal()[before..];
        let window = tries[0].at.duration_until(tries.last().unwrap().at);
        assert!((window.as_secs_f64() - 272_105.0).abs() < 0.01, "{window}");
        let pause = tries[0].at.duration_until(tries[1].at).as_secs_f64();
        assert!((4.0..6.1).contains(&pause), "{pause}");
        world.receiver.answer_otherwise(Answer::status(200));
        redeliver(&world, &id).await;
        let closed = world.closed(&id).await;
        assert_eq!(closed["callback"]["status"], "delivered");
    }
}

#[tokio::test]
async fn redelivery_of_a_pending_completion_is_immediate_and_begins_a_new_schedule() {
    let world = World::new().await;
    for _ in 0..4 {
        world.receiver.answer_next(Answer::status(500));
    }
    let id = ended(&world).await;
    for _ in 0..4 {
        world.jump().await;
    }
    assert_eq!(world.receiver.journal().len(), 4);
    let accepted = redeliver(&world, &id).await;
    assert_eq!(accepted.body["callback"]["status"], "pending");
    world.receiver.answer_next(Answer::status(500));
    world.work().await;
    let closed = world.closed(&id).await;
    let callback = json!({ "status": "delivered", "attempts": 6, "lastStatus": 204 });
    assert_eq!(delivery(&closed), callback);
    let tries = world.receiver.journal();
    let pause = tries[4].at.duration_until(tries[5].at).as_secs_f64();
    assert!((4.0..6.1).contains(&pause), "{pause}");
    assert!(!world.jump().await, "the old schedule is gone");
    world.advance(Duration::from_secs(400_000)).await;
    assert_eq!(world.receiver.journal().len(), 6);
}

#[tokio::test]
async fn redelivery_before_the_end_or_without_a_callback_is_a_conflict() {
    let world = World::new().await;
    let open = world.post(&world.goals()).await.id();
    let mut body = world.schedule();
    body.as_object_mut().unwrap().remove("callback");
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let quiet = world.post(&body).await.id();
    for id in [&open, &quiet] {
        let before = world.operation(id).await;
        let answer = redeliver(&world, id).await;
        assert_eq!((answer.status, answer.problem()), (409, "conflict"));
        assert_eq!(&world.operation(id).await, &before);
    }
    assert_eq!(world.closed(&open).await["callback"]["attempts"], 1);
    assert_eq!(world.receiver.journal().len(), 1);
}

/// Stops a World with an undelivered completion and starts it again with another configuration.
///
/// Returns the new World, the old receiver, which keeps listening, and the operation's id.
async fn restarted(change: fn(String) -> String) -> (World, Receiver, String) {
    let mut old = World::new().await;
    let id = ended(&old).await;
    let clock = old.clock.clone();
    let fresh = Receiver::start(std::sync::Arc::new(move || clock.now())).await;
    let receiver = std::mem::replace(&mut old.receiver, fresh.unwrap());
    let origin = receiver.origin();
    let (data, clock) = old.stop().await;
    let world = World::with(|setup| {
        let config = setup.config.replace("{receiver}", &origin);
        setup.config = change(config);
        setup.data = Some(data);
        setup.clock = clock;
    })
    .await;
    (world, receiver, id)
}

#[tokio::test]
async fn a_pending_completion_is_delivered_after_a_restart() {
    let (world, receiver, id) = restarted(|config| config).await;
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    assert_eq!(receiver.journal().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_no_longer_allowed_is_not_called() {
    let changes: [fn(String) -> String; 3] = [
        |config| config.replace("127.0.0.0/8", "10.20.0.0/16"),
        |config| {
            let line = config.lines().find(|line| line.starts_with("callback_or"));
            let other = "callback_origins = [\"https://hooks.example\"]";
            config.replace(line.unwrap(), other)
        },
        |config| {
            let line = config.lines().find(|line| line.starts_with("callback_or"));
            let other = "callback_origins = [\"https://hooks.example\"]";
            config
                .replace(line.unwrap(), other)
                .replace("\"127.0.0.0/8\"", "")
        },
    ];
    for change in changes {
        let (world, receiver, id) = restarted(change).await;
        let closed = world.closed(&id).await;
        assert_eq!(closed["callback"]["status"], "undeliverable");
        assert_eq!(closed["callback"]["lastStatus"], Value::Null);
        assert!(receiver.journal().is_empty());
        let answer = world.get(&format!("/v1/operations/{id}/history")).await;
        let history = answer.body["history"].to_string();
        assert!(history.contains("no longer allowed"), "{history}");
        assert!(!history.contains("canary"), "{history}");
    }
}

#[tokio::test]
async fn a_host_name_is_checked_by_its_address_when_it_is_called() {
    // `localhost` may be registered because a private network is allowed, but its address is not in that network.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let origin = format!("http://localhost:{port}");
    let world = World::with(|setup| {
        let config = setup.config.replace("127.0.0.0/8", "10.20.0.0/16");
        setup.config = config.replace("{receiver}", &origin);
    })
    .await;
    let mut body = world.schedule();
    body["callback"]["url"] = format!("{origin}/hooks").into();
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let answer = world.post(&body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let closed = world.closed(&answer.id()).await;
    assert_eq!(closed["callback"]["status"], "undeliverable");
    let none = listener.accept().unwrap_err();
    assert_eq!(
        none.kind(),
        std::io::ErrorKind::WouldBlock,
        "the receiver was called"
    );
}
