//! Several requests or messages for the same operation or resource: their order, and that only one of them proceeds.

use std::time::Duration;

use courier_core::engine::step::step;
use courier_core::operation::OperationId;
use courier_core::operation::message::{Disposition, Message};
use courier_core::time::later;
use courier_testkit::world::World;
use graph_simulator::{Action, Fault};
use jiff::Timestamp;
use serde_json::json;

fn watchdog(id: &str) -> Message {
    Message::WatchdogV1 {
        operation_id: OperationId::parse(id).unwrap(),
    }
}

#[tokio::test]
async fn a_schedule_that_is_accepted_but_not_started_is_not_overtaken_by_a_later_one() {
    let world = World::new().await;
    let mut older_body = world.schedule();
    older_body["parameters"]["schedule"]["timeZone"] = json!("America/Denver");
    let deferred = [("prefer", "respond-async")];
    let older = world.post_with(&deferred, &older_body).await.id();
    let newer = world.post(&world.schedule()).await.id();
    assert_eq!(world.closed(&older).await["status"], "succeeded");
    assert_eq!(world.closed(&newer).await["status"], "succeeded");
    let zones: Vec<_> = world
        .simulator
        .calls("schedule.start")
        .iter()
        .map(|call| call.body.as_ref().unwrap()["timeZone"].clone())
        .collect();
    assert_eq!(zones, ["America/Denver", "America/Chicago"]);
}

#[tokio::test]
async fn the_watchdog_waits_a_minute_for_the_first_poll_before_it_takes_over() {
    let world = World::new().await;
    let id = world.post(&world.export("dsar")).await.id();
    let message = watchdog(&id);
    let next_poll_at = world.operation(&id).await["graph"]["nextPollAt"].clone();
    let next: Timestamp = next_poll_at.as_str().unwrap().parse().unwrap();
    let minute = Duration::from_secs(60);

    let pause = next.duration_since(world.clock.now());
    world.clock.advance(pause.try_into().unwrap());
    let early = step(&world.app, &message, 1, Timestamp::MAX).await;
    assert_eq!(early, Disposition::WaitUntil(later(next, minute)));
    world.clock.advance(minute);
    let done = step(&world.app, &message, 1, Timestamp::MAX).await;
    assert_eq!(done, Disposition::Delete);
    world.closed(&id).await;
}

#[tokio::test]
async fn replay_of_an_operation_that_waits_for_a_token_queues_no_message() {
    let world = World::new().await;
    world.simulator.set_client_secret(Some("another"));
    let id = world.post(&world.export("dsar")).await.id();
    assert_eq!(world.operation(&id).await["reason"], "authorization_lost");
    let due = world.database.next_due();
    for _ in 0..3 {
        let answer = world.post(&world.export("dsar")).await;
        assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(world.database.next_due(), due);
    world
        .simulator
        .set_client_secret(Some(courier_testkit::world::GRAPH_SECRET));
    assert_eq!(world.closed(&id).await["status"], "succeeded");
}

#[tokio::test]
async fn a_start_throttled_for_days_has_a_history_of_bounded_length() {
    let world = World::new().await;
    let storm = Action::throttled(429, Some("600"));
    world
        .simulator
        .script(Fault::new("export.start", storm).times(400));
    let id = world.post(&world.export("dsar")).await.id();
    assert_eq!(world.closed(&id).await["status"], "succeeded");
    let history = world.history(&id).await;
    assert!(history.len() <= 160, "{} lines", history.len());
    assert_eq!(history.first().map(String::as_str), Some("accepted"));
    assert!(history.contains(&"ended".to_owned()), "{history:?}");
}
