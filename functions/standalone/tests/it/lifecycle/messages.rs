//! Queue messages that are lost, late, duplicated or foreign: the record is the authority, and no operation gets stuck.

use std::time::Duration;

use courier_core::engine::step::step;
use courier_core::engine::sweep::sweep;
use courier_core::operation::message::{Disposition, Message};
use courier_core::operation::{OperationId, Record, State};
use courier_testkit::receiver;
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::World;
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault};
use serde_json::Value;

async fn record(world: &World, id: &str) -> Record {
    let id = OperationId::parse(id).unwrap();
    world.app.store.load(&id).await.unwrap().unwrap()
}

/// Deletes every waiting message, as if the queue had lost them.
async fn lose_messages(world: &World) {
    let far = world.clock.now() + Duration::from_secs(9_000_000);
    let lost = world
        .database
        .receive(far, &courier_local::Capacity::in_turn(100), far);
    for message in lost {
        world.database.delete(&message.receipt);
    }
    assert!(world.database.next_due().is_none());
}

async fn send(world: &World, message: &Message) {
    let queue = &world.app.queue;
    queue.send(message, world.clock.now()).await.unwrap();
}

fn watchdog(id: &str) -> Message {
    Message::WatchdogV1 {
        operation_id: OperationId::parse(id).unwrap(),
    }
}

#[tokio::test]
async fn the_watchdog_polls_when_the_poll_message_was_never_sent() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let id = world.post(&body(&world, operation)).await.id();
        lose_messages(&world).await;
        world.clock.advance(Duration::from_secs(75));
        send(&world, &watchdog(&id)).await;
        world.work().await;
        assert_eq!(world.closed(&id).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn the_watchdog_is_dropped_once_polling_is_under_way() {
    let world = World::with(|setup| setup.simulator.durations.export_seconds = 9e4).await;
    let id = world.post(&world.export("dsar")).await.id();
    world.jump().await;
    let polls = world.simulator.calls("export.poll").len();
    let dropped = step(&world.app, &watchdog(&id), 1, jiff::Timestamp::MAX).await;
    assert_eq!(dropped, Disposition::Delete);
    assert_eq!(world.simulator.calls("export.poll").len(), polls);
    assert_eq!(world.closed(&id).await["status"], "succeeded");
    assert_eq!(
        step(&world.app, &watchdog(&id), 1, jiff::Timestamp::MAX).await,
        Disposition::Delete
    );
}

#[tokio::test]
async fn the_watchdog_resolves_a_start_whose_process_died() {
    for (operation, status, starts) in [
        ("export", "unknown", 0),
        ("goals", "succeeded", 1),
        ("schedule", "succeeded", 1),
    ] {
        let world = World::new().await;
        let body = body(&world, operation);
        let answer = world.post_with(&[("prefer", "respond-async")], &body).await;
        let accepted = record(&world, &answer.id()).await;
        // A process claims the start and dies before it calls Graph.
        let claimed = Record {
            revision: accepted.revision + 1,
            writer: "a process that died".to_owned(),
            attempt: 1,
            state: State::Starting {
                lease_until: world.clock.now() + Duration::from_secs(60),
            },
            ..accepted
        };
        world.app.store.update(&claimed).await.unwrap();
        world.advance(Duration::from_secs(59)).await;
        assert_eq!(world.operation(&answer.id()).await["status"], "starting");
        assert!(world.simulator.journal().is_empty(), "{operation}");
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], status, "{operation}");
        let start = format!("{operation}.start");
        assert_eq!(world.simulator.calls(&start).len(), starts, "{operation}");
    }
}

#[tokio::test]
async fn the_sweep_requeues_every_open_operation_whose_message_was_lost() {
    for operation in OPERATIONS {
        for place in ["accepted", "starting", "running", "ended"] {
            let name = format!("{operation} {place}");
            let world = World::new().await;
            let start = format!("{operation}.start");
            match place {
                "accepted" => world
                    .simulator
                    .script(Fault::new(&start, Action::throttled(429, Some("60")))),
                "starting" => world
                    .simulator
                    .script(Fault::new(&start, Action::LostAfter)),
                "ended" => world.receiver.answer_next(receiver::Answer::status(500)),
                _ => {}
            }
            let id = world.post(&body(&world, operation)).await.id();
            if place == "ended" {
                world.ended(&id).await;
            }
            assert_eq!(
                sweep(&world.app, jiff::Timestamp::MAX).await.unwrap(),
                0,
                "{name}"
            );
            lose_messages(&world).await;
            // The longest wait is the hold of an export's lost start, 15 minutes; the sweep allows 10 more.
            world.clock.advance(Duration::from_secs(1_600));
            assert_eq!(
                sweep(&world.app, jiff::Timestamp::MAX).await.unwrap(),
                1,
                "{name}"
            );
            assert_eq!(
                sweep(&world.app, jiff::Timestamp::MAX).await.unwrap(),
                0,
                "not twice: {name}"
            );
            world.work().await;
            let closed = world.closed(&id).await;
            assert_eq!(closed["callback"]["status"], "delivered", "{name}");
            let unknown = operation == "export" && place == "starting";
            let outcome = if unknown { "unknown" } else { "succeeded" };
            assert_eq!(closed["status"], outcome, "{name}");
            assert_eq!(
                sweep(&world.app, jiff::Timestamp::MAX).await.unwrap(),
                0,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_replay_resumes_an_operation_whose_first_message_was_never_sent() {
    let world = World::new().await;
    let (body, headers) = (world.export("dsar"), [("prefer", "respond-async")]);
    let id = world.post_with(&headers, &body).await.id();
    lose_messages(&world).await;
    let again = world.post_with(&headers, &body).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(world.closed(&id).await["status"], "succeeded");
    assert_eq!(world.simulator.calls("export.start").len(), 1);
}

/// Returns messages that are not the one that the record waits for: wrong epoch, wrong location, or a watchdog.
fn mismatched_messages(record: &Record, foreign: &str) -> Vec<Message> {
    let State::Running { monitor } = &record.state else {
        panic!("{:?}", record.state);
    };
    let message = |epoch, location: Option<&str>| Message::PollV1 {
        operation_id: record.id.clone(),
        epoch,
        location: location.map(str::to_owned),
        receives_before: 0,
    };
    vec![
        message(record.epoch - 1, Some(monitor)),
        message(record.epoch, Some("")),
        message(record.epoch, Some(foreign)),
        message(record.epoch + 7, Some(foreign)),
        message(record.epoch + 7, Some(&format!("{monitor}/"))),
        message(record.epoch + 7, Some(&monitor.to_uppercase())),
        Message::WatchdogV1 {
            operation_id: record.id.clone(),
        },
    ]
}

#[tokio::test]
async fn a_message_that_does_not_match_the_record_changes_nothing_and_calls_no_one() {
    for operation in OPERATIONS {
        let world = World::with(|setup| {
            setup.simulator.durations.export_seconds = 3_000.0;
            setup.simulator.durations.goals_seconds = 3_000.0;
            setup.simulator.durations.schedule_seconds = 3_000.0;
        })
        .await;
        let id = world.post(&body(&world, operation)).await.id();
        world.jump().await;
        let before = record(&world, &id).await;
        let calls = world.simulator.journal().len();
        let foreign = world.receiver.url("/v1.0/dataPolicyOperations/x");
        // The same holds when a poll is due: only the record's own message may poll.
        for pause in [0, 600] {
            world.clock.advance(Duration::from_secs(pause));
            for message in mismatched_messages(&before, &foreign) {
                let done = step(&world.app, &message, 1, jiff::Timestamp::MAX).await;
                assert_eq!(done, Disposition::Delete, "{operation} {message:?}");
            }
        }
        assert_eq!(record(&world, &id).await, before, "{operation}");
        assert_eq!(world.simulator.journal().len(), calls, "{operation}");
        assert!(world.receiver.journal().is_empty(), "{operation}");
        assert_eq!(world.closed(&id).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_message_that_is_early_or_duplicated_waits_until_the_next_poll_is_due() {
    for operation in OPERATIONS {
        let world = World::with(|setup| setup.simulator.durations.schedule_seconds = 99.0).await;
        let id = world.post(&body(&world, operation)).await.id();
        let started = record(&world, &id).await;
        let due = started.graph.next_poll_at.unwrap();
        let message = Message::poll(&started, 1);
        let early = step(&world.app, &message, 1, jiff::Timestamp::MAX).await;
        assert_eq!(early, Disposition::WaitUntil(due), "{operation}");
        assert_eq!(record(&world, &id).await, started);
        world.jump().await;
        let polled = record(&world, &id).await;
        let again = step(&world.app, &message, 2, jiff::Timestamp::MAX).await;
        let next = polled.graph.next_poll_at.unwrap();
        assert_eq!(again, Disposition::WaitUntil(next), "{operation}");
        assert_eq!(record(&world, &id).await, polled, "{operation}");
        let polls = world.simulator.calls(&format!("{operation}.poll"));
        assert_eq!(polls.len(), 1, "{operation}");
        assert_eq!(world.closed(&id).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_message_without_a_record_waits_and_does_nothing() {
    let world = World::new().await;
    let operation_id = OperationId::random();
    for message in [
        Message::WatchdogV1 {
            operation_id: operation_id.clone(),
        },
        Message::PollV1 {
            operation_id: operation_id.clone(),
            epoch: 1,
            location: Some(world.receiver.url("/")),
            receives_before: 0,
        },
    ] {
        let done = step(&world.app, &message, 1, jiff::Timestamp::MAX).await;
        assert!(matches!(done, Disposition::WaitUntil(until) if until > world.clock.now()));
    }
    assert!(world.app.store.load(&operation_id).await.unwrap().is_none());
    assert!(world.simulator.journal().is_empty());
    assert!(world.receiver.journal().is_empty());
}

#[tokio::test]
async fn a_cancel_or_redelivery_is_delivered_once_by_whichever_message_comes_first() {
    let both = OPERATIONS
        .into_iter()
        .flat_map(|one| [(one, true), (one, false)]);
    for (operation, old_first) in both {
        let world = World::new().await;
        let id = world.post(&body(&world, operation)).await.id();
        let old = Message::poll(&record(&world, &id).await, 1);
        for (path, callbacks) in [("cancel", 1), ("callback/redeliver", 2)] {
            let path = format!("/v1/operations/{id}/{path}");
            world.call("POST", &path, &[], "").await;
            if !old_first {
                world.work().await;
            }
            let done = step(&world.app, &old, 1, jiff::Timestamp::MAX).await;
            assert_eq!(done, Disposition::Delete, "{operation} {path}");
            assert_eq!(world.receiver.journal().len(), callbacks, "{path}");
            world.work().await;
            assert_eq!(world.receiver.journal().len(), callbacks, "{path}");
        }
    }
}

#[tokio::test]
async fn after_the_end_no_message_starts_polls_or_calls_back_again() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let id = world.post(&body(&world, operation)).await.id();
        let started = record(&world, &id).await;
        world.closed(&id).await;
        let calls = world.simulator.journal().len();
        let before = record(&world, &id).await;
        for message in [
            Message::poll(&started, 1),
            Message::poll(&started, 99),
            Message::poll(&before, 99),
            watchdog(&id),
        ] {
            let done = step(&world.app, &message, 1, jiff::Timestamp::MAX).await;
            assert_eq!(done, Disposition::Delete, "{operation}");
        }
        assert_eq!(record(&world, &id).await, before, "{operation}");
        assert_eq!(world.simulator.journal().len(), calls, "{operation}");
        assert_eq!(world.receiver.journal().len(), 1, "{operation}");
        let event: Value = serde_json::from_slice(&world.receiver.journal()[0].body).unwrap();
        assert_eq!(event["type"], "operation.succeeded");
    }
}
