//! Operations that do not succeed: the job fails, the deadline passes, the caller cancels, an answer comes too late.

use std::time::Duration;

use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{Answer, World};
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault, Outcome};
use jiff::Timestamp;
use serde_json::Value;

use crate::lifecycle::gate::Gate;

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Returns the type of the completion, after checking that exactly one was delivered.
fn event(world: &World) -> String {
    let callbacks = world.receiver.journal();
    assert_eq!(callbacks.len(), 1);
    let event: Value = serde_json::from_slice(&callbacks[0].body).unwrap();
    assert_eq!(
        callbacks[0].header("ce-type"),
        event["type"].as_str(),
        "{event}"
    );
    event["type"].as_str().unwrap().to_owned()
}

async fn cancel(world: &World, id: &str) -> Answer {
    world
        .call("POST", &format!("/v1/operations/{id}/cancel"), &[], "")
        .await
}

#[tokio::test]
async fn a_failed_job_is_reported_with_graphs_error_code() {
    for (operation, code) in [
        ("export", "operationFailed"),
        ("goals", "operationFailed"),
        ("schedule", "TenantQuotaExceeded"),
    ] {
        let world = World::with(|setup| {
            let behaviour = &mut setup.simulator.behaviour;
            behaviour.export.outcome = Outcome::Failed;
            behaviour.goals.outcome = Outcome::Failed;
            behaviour.schedule.outcome = Outcome::Failed;
            behaviour.schedule.provision_status_code = "TenantQuotaExceeded".to_owned();
        })
        .await;
        let answer = world.post(&body(&world, operation)).await;
        let closed = world.closed(&answer.id()).await;
        assert_eq!(
            (&closed["status"], &closed["reason"]),
            (&"failed".into(), &"operation_failed".into()),
            "{operation}"
        );
        assert_eq!(closed["error"]["code"], code, "{operation}");
        assert_eq!(closed["result"], Value::Null, "{operation}");
        assert_eq!(event(&world), "operation.failed");
    }
}

#[tokio::test]
async fn the_message_of_a_failure_is_reported_without_its_secrets() {
    let world = World::new().await;
    let id = world.post(&world.goals()).await.id();
    let text = r#"{"value":{"status":"failed","statusDetail":"See https://x.blob.core.windows.net/c?sig=canarySasSignature0123456789abcdefABCDEFGHI%3D"}}"#;
    world
        .simulator
        .script(Fault::new("goals.poll", Action::body(text)));
    let closed = world.closed(&id).await;
    let message = closed["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("See "), "{message}");
    assert!(!message.contains("canary"), "{message}");
    let body = String::from_utf8(world.receiver.journal()[0].body.to_vec()).unwrap();
    assert!(!body.contains("canary"), "{body}");
}

#[tokio::test]
async fn a_schedule_that_is_completed_but_not_enabled_is_still_running() {
    let world = World::with(|setup| setup.simulator.durations.enabled_lag_seconds = 100.0).await;
    let id = world.post(&world.schedule()).await.id();
    world.advance(Duration::from_secs(60)).await;
    let now = world.operation(&id).await;
    assert_eq!(
        (&now["status"], &now["graph"]["status"]),
        (&"running".into(), &"Completed".into())
    );
    assert_eq!(world.closed(&id).await["status"], "succeeded");
}

#[tokio::test]
async fn a_job_that_never_ends_expires_at_the_deadline_of_its_operation() {
    // The last poll is at the deadline, but never within a second of the one before, nor within the Retry-After of 60
    // seconds that goals answers carry.
    for (operation, seconds, pause) in [
        ("export", 2_678_400, 1),
        ("goals", 86_400, 60),
        ("schedule", 3_600, 1),
    ] {
        let world = World::with(|setup| {
            let behaviour = &mut setup.simulator.behaviour;
            behaviour.export.outcome = Outcome::Endless;
            behaviour.goals.outcome = Outcome::Endless;
            behaviour.schedule.outcome = Outcome::Endless;
        })
        .await;
        let answer = world.post(&body(&world, operation)).await;
        let closed = world.closed(&answer.id()).await;
        assert_eq!(
            (&closed["status"], &closed["reason"]),
            (&"expired".into(), &"deadline_passed".into()),
            "{operation}"
        );
        let created = time(&closed["createdAt"]);
        let deadline = created + Duration::from_secs(seconds);
        assert_eq!(time(&closed["deadline"]), deadline, "{operation}");
        assert_eq!(event(&world), "operation.expired");
        let polls = world.simulator.calls(&format!("{operation}.poll"));
        let [.., before, last_poll] = polls.as_slice() else {
            panic!("{operation}: {polls:?}");
        };
        let expected = deadline.max(before.at + Duration::from_secs(pause));
        let late = last_poll.at.duration_since(expected).as_secs_f64();
        assert!((0.0..0.1).contains(&late), "{operation}: {late}");
        let ended = time(&closed["endedAt"]);
        assert_eq!(ended, last_poll.at, "{operation}");
    }
}

#[tokio::test]
async fn a_job_that_ends_before_the_callers_deadline_is_seen_by_the_last_poll() {
    const DAY: u32 = 86_400;
    for (operation, wait) in [
        ("export", 45 * DAY),
        ("goals", DAY + DAY / 4),
        ("schedule", DAY / 12),
    ] {
        for (early, outcome) in [(6.0, "succeeded"), (-60.0, "expired")] {
            let world = World::with(|setup| {
                let seconds = f64::from(wait) - early;
                // With Retry-After: 60 the last permitted poll could be a minute before the deadline.
                setup.simulator.behaviour.goals.retry_after_poll = None;
                setup.simulator.durations.export_seconds = seconds;
                setup.simulator.durations.goals_seconds = seconds;
                setup.simulator.durations.schedule_seconds = seconds;
            })
            .await;
            let deadline = world.clock.now() + Duration::from_secs(wait.into());
            let mut body = body(&world, operation);
            body["deadline"] = deadline.to_string().into();
            let answer = world.post(&body).await;
            let closed = world.closed(&answer.id()).await;
            assert_eq!(closed["status"], outcome, "{operation} {early}");
            assert_eq!(time(&closed["deadline"]), deadline);
            assert!(time(&closed["endedAt"]) <= deadline + Duration::from_millis(1));
        }
    }
}

#[tokio::test]
async fn a_job_that_ended_while_the_program_was_down_over_the_deadline_is_not_called_expired() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let mut body = body(&world, operation);
        body["deadline"] = (world.clock.now() + Duration::from_secs(100_000))
            .to_string()
            .into();
        let id = world.post(&body).await.id();
        world.clock.advance(Duration::from_secs(200_000));
        assert_eq!(
            world.closed(&id).await["status"],
            "succeeded",
            "{operation}"
        );
        let polls = world.simulator.calls(&format!("{operation}.poll"));
        assert_eq!(polls.len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_start_that_is_throttled_until_the_deadline_expires_without_a_job() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let fault = Fault::new(
            &format!("{operation}.start"),
            Action::throttled(429, Some("86400")),
        );
        world.simulator.script(fault.times(0));
        let mut body = body(&world, operation);
        let deadline = world.clock.now() + Duration::from_secs(7_200);
        body["deadline"] = deadline.to_string().into();
        let closed = world.closed(&world.post(&body).await.id()).await;
        assert_eq!(
            (&closed["status"], &closed["reason"]),
            (&"expired".into(), &"deadline_passed".into()),
            "{operation}"
        );
        assert_eq!(time(&closed["endedAt"]), deadline, "{operation}");
        assert!(world.simulator.jobs().is_empty());
    }
}

#[tokio::test]
async fn a_start_whose_answers_are_lost_until_the_deadline_ends_as_unknown() {
    for operation in ["goals", "schedule"] {
        let world = World::new().await;
        let fault = Fault::new(&format!("{operation}.start"), Action::status_only(503));
        world.simulator.script(fault.times(0));
        let mut body = body(&world, operation);
        let deadline = world.clock.now() + Duration::from_secs(600);
        body["deadline"] = deadline.to_string().into();
        let closed = world.closed(&world.post(&body).await.id()).await;
        assert_eq!(
            (&closed["status"], &closed["reason"]),
            (&"unknown".into(), &"start_outcome_unknown".into()),
            "{operation}"
        );
        let late = time(&closed["endedAt"]).duration_since(deadline);
        assert!((0..=60).contains(&late.as_secs()), "{operation}: {late}");
    }
}

#[tokio::test]
async fn a_cancelled_operation_is_delivered_once_and_calls_graph_no_more() {
    for operation in OPERATIONS {
        let begins = [
            (None, "running"),
            (Some(Action::throttled(429, Some("30"))), "accepted"),
            (Some(Action::LostAfter), "starting"),
        ];
        for (action, status) in begins {
            let name = format!("{operation} {status}");
            let world = World::new().await;
            if let Some(action) = action {
                let fault = Fault::new(&format!("{operation}.start"), action);
                world.simulator.script(fault);
            }
            let answer = world.post(&body(&world, operation)).await;
            assert_eq!(answer.body["status"], status, "{name}");
            let calls_before = world.simulator.journal().len();
            for _ in 0..2 {
                let cancelled = cancel(&world, &answer.id()).await;
                assert_eq!(
                    (cancelled.status, &cancelled.body["status"]),
                    (200, &"cancelled".into()),
                    "{name}"
                );
                assert_eq!(cancelled.body["reason"], "cancelled_by_caller", "{name}");
            }
            let closed = world.closed(&answer.id()).await;
            assert_eq!(closed["callback"]["status"], "delivered", "{name}");
            world.advance(Duration::from_secs(3_000_000)).await;
            assert_eq!(event(&world), "operation.cancelled", "{name}");
            assert_eq!(world.simulator.journal().len(), calls_before, "{name}");
            assert_eq!(world.operation(&answer.id()).await, closed, "{name}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_start_gives_its_turn_to_the_next_one_on_the_same_team() {
    let world = World::new().await;
    let fault = Fault::new("schedule.start", Action::throttled(429, None));
    world.simulator.script(fault);
    let first = world.post(&world.schedule()).await.id();
    let second = world.post(&world.schedule()).await;
    assert_eq!(second.body["status"], "accepted");
    cancel(&world, &first).await;
    world.advance(Duration::from_secs(2)).await;
    let now = world.operation(&second.id()).await;
    assert_eq!(now["status"], "running");
    assert_eq!(world.closed(&second.id()).await["status"], "succeeded");
}

/// Posts `operation` in a World that holds the answer to its start back until `meanwhile` has run.
///
/// Returns the World and the answer to the request.
async fn late(operation: &str, meanwhile: impl AsyncFnOnce(&World, &str)) -> (World, Answer) {
    let gate = Gate::new();
    let world = World::with(|setup| gate.install(setup)).await;
    gate.connect(world.simulator.address());
    let body = body(&world, operation);
    let request = world.post(&body);
    let between = async {
        let start = format!("{operation}.start");
        world
            .simulator
            .until(|calls| calls.iter().any(|call| call.call == start))
            .await;
        let list = world.get("/v1/operations").await.body;
        let id = list["operations"][0]["id"].as_str().unwrap();
        meanwhile(&world, id).await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(request, between);
    (world, answer)
}

#[tokio::test]
async fn an_answer_within_the_hold_of_a_lost_start_is_used() {
    let (world, answer) = late("export", async |world, id| {
        world.advance(Duration::from_secs(80)).await;
        let events = ["accepted", "startClaimed", "startAnswerLost"];
        assert_eq!(world.history(id).await, events);
        assert_eq!(world.operation(id).await["status"], "starting");
    })
    .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"running".into())
    );
    assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn an_answer_after_the_hold_of_a_lost_start_changes_nothing() {
    let (world, answer) = late("export", async |world, id| {
        let closed = world.closed(id).await;
        assert_eq!(closed["reason"], "start_outcome_unknown");
    })
    .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &"unknown".into())
    );
    world.advance(Duration::from_secs(90_000)).await;
    assert_eq!(event(&world), "operation.unknown");
    assert!(world.simulator.calls("export.poll").is_empty());
}

#[tokio::test]
async fn an_answer_after_a_cancel_changes_nothing() {
    for operation in OPERATIONS {
        let (world, answer) = late(operation, async |world, id| {
            let cancelled = cancel(world, id).await;
            assert_eq!(cancelled.body["status"], "cancelled");
        })
        .await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (200, &"cancelled".into()),
            "{operation}"
        );
        world.closed(&answer.id()).await;
        world.advance(Duration::from_secs(90_000)).await;
        assert_eq!(event(&world), "operation.cancelled");
        let polls = world.simulator.calls(&format!("{operation}.poll"));
        assert!(polls.is_empty(), "{operation}");
    }
}

#[tokio::test]
async fn a_schedule_waits_for_the_unanswered_start_of_a_cancelled_one() {
    let (world, _) = late("schedule", async |world, id| {
        cancel(world, id).await;
        let second = world.post(&world.schedule()).await;
        assert_eq!(second.body["status"], "accepted");
        world.advance(Duration::from_secs(59)).await;
        assert_eq!(world.simulator.calls("schedule.start").len(), 1);
    })
    .await;
    world.advance(Duration::from_secs(10)).await;
    assert_eq!(world.simulator.calls("schedule.start").len(), 2);
}

#[tokio::test]
async fn an_answer_after_another_start_has_taken_over_changes_nothing() {
    for operation in ["goals", "schedule"] {
        let (world, answer) = late(operation, async |world, id| {
            // The watchdog's start would wait at the same gate; the record is changed as if another process had
            // claimed a second start.
            let operation_id = courier_core::operation::OperationId::parse(id).unwrap();
            let record = world.app.store.load(&operation_id).await.unwrap().unwrap();
            let taken_over = courier_core::operation::Record {
                revision: record.revision + 1,
                writer: "another process".to_owned(),
                attempt: record.attempt + 1,
                maybe_started: true,
                ..record
            };
            world.app.store.update(&taken_over).await.unwrap();
        })
        .await;
        assert_eq!(answer.body["status"], "starting", "{operation}");
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{operation}");
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
    }
}
