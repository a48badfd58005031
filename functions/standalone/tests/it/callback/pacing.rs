//! How fast a receiver is called: its `Retry-After` and its allowed rate bind all completions, and those that wait for it
//! come in their order.

use std::time::Duration;

use courier_testkit::receiver::{Answer, Callback};
use courier_testkit::world::World;

use crate::callback::circuit_breaker::{ended, post};

fn paths(journal: &[Callback]) -> Vec<String> {
    journal.iter().map(|call| call.path.clone()).collect()
}

fn seconds_between(journal: &[Callback]) -> Vec<f64> {
    let pairs = journal.iter().zip(&journal[1..]);
    pairs
        .map(|(one, next)| next.at.duration_since(one.at).as_secs_f64())
        .collect()
}

async fn with_handshake() -> World {
    World::with(|setup| {
        let text = setup.config.replace(
            "[clients.hr]",
            "[clients.tickets.callback]\nhandshake = true\n[clients.hr]",
        );
        let network = "allow_networks = [\"127.0.0.0/8\"]";
        setup.config = text.replace(network, &format!("{network}\norigin = \"courier.example\""));
    })
    .await
}

#[tokio::test]
async fn retry_after_binds_all_completions_of_the_receiver_in_full() {
    let world = World::new().await;
    world.receiver.answer_next(Answer::retry_after(429, "7200"));
    let ids = ended(&world, 10).await;
    assert_eq!(world.receiver.journal().len(), 1);
    for _ in 0..7199 / 60 {
        world.advance(Duration::from_secs(60)).await;
    }
    assert_eq!(world.receiver.journal().len(), 1, "one asked for two hours");
    let parked = world.app.metrics.take().callbacks["parked"];
    assert!(parked <= 10, "{parked} looks of nine deliveries");
    let mut attempts = 0;
    for id in &ids {
        let operation = world.operation(id).await;
        attempts += operation["callback"]["attempts"].as_u64().unwrap();
    }
    assert_eq!(attempts, 1, "waiting is no attempt");
    world.advance(Duration::from_secs(61)).await;
    for id in &ids {
        assert_eq!(world.closed(id).await["callback"]["status"], "delivered");
    }
    assert_eq!(world.receiver.journal().len(), 11);
}

#[tokio::test]
async fn retry_after_of_a_second_rests_the_receiver_for_no_longer() {
    let world = World::new().await;
    for _ in 0..6 {
        world.receiver.answer_next(Answer::retry_after(429, "1"));
    }
    let ids = ended(&world, 20).await;
    for _ in 0..12 {
        world.advance(Duration::from_secs(1)).await;
    }
    let mut delivered = 0;
    for id in &ids {
        let operation = world.operation(id).await;
        delivered += usize::from(operation["callback"]["status"] == "delivered");
    }
    assert!(delivered >= 14, "{delivered}");
    for id in &ids {
        world.closed(id).await;
    }
}

#[tokio::test]
async fn completions_that_wait_for_a_receiver_are_delivered_in_their_order() {
    let world = World::new().await;
    world.receiver.answer_next(Answer::retry_after(503, "30"));
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(post(&world, number).await);
        world.clock.advance(Duration::from_millis(10));
    }
    world.work().await;
    while world.receiver.journal().len() < 41 {
        assert!(world.jump().await);
    }
    let paths = paths(&world.receiver.journal());
    let waiting: Vec<&String> = paths
        .iter()
        .skip(1)
        .filter(|path| *path != "/as/0")
        .collect();
    let expected: Vec<String> = (1..40).map(|number| format!("/as/{number}")).collect();
    assert_eq!(waiting, expected.iter().collect::<Vec<_>>());
    for id in &ids {
        world.closed(id).await;
    }
}

#[tokio::test]
async fn the_rate_that_a_receiver_allows_spaces_its_deliveries() {
    let world = with_handshake().await;
    let permit = Answer::status(200).header("webhook-allowed-origin", "*");
    for _ in 0..8 {
        // Each URL is asked once; the lowest rate holds for the receiver.
        let permit = permit.clone().header("webhook-allowed-rate", "6");
        world.receiver.answer_next(permit);
        world.receiver.answer_next(Answer::status(204));
    }
    let ids = ended(&world, 8).await;
    for id in &ids {
        assert_eq!(world.closed(id).await["callback"]["status"], "delivered");
    }
    let journal = world.receiver.journal();
    let posts: Vec<Callback> = journal
        .into_iter()
        .filter(|call| call.method == "POST")
        .collect();
    assert_eq!(posts.len(), 8);
    for pause in seconds_between(&posts) {
        assert!((10.0..12.0).contains(&pause), "{pause}");
    }
}

#[tokio::test]
async fn a_receiver_that_allows_any_rate_gets_all_deliveries_at_once() {
    for rate in ["*", "0", "many"] {
        let world = with_handshake().await;
        for _ in 0..5 {
            let permit = Answer::status(200).header("webhook-allowed-origin", "*");
            world
                .receiver
                .answer_next(permit.header("webhook-allowed-rate", rate));
            world.receiver.answer_next(Answer::status(204));
        }
        let ids = ended(&world, 5).await;
        for id in &ids {
            let operation = world.operation(id).await;
            assert_eq!(operation["callback"]["status"], "delivered", "{rate}");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_is_answered_with_retry_after_pauses_the_receiver() {
    let world = with_handshake().await;
    world.receiver.answer_next(Answer::retry_after(429, "600"));
    ended(&world, 5).await;
    world.advance(Duration::from_secs(599)).await;
    assert_eq!(world.receiver.journal().len(), 1);
}
