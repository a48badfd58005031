//! Polls that are refused for lack of authorization, and monitors that do not exist yet or no longer.

use std::time::Duration;

use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::World;
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault, StatusAction};
use jiff::Timestamp;
use serde_json::Value;

async fn begin(world: &World, operation: &str) -> String {
    world.post(&body(world, operation)).await.id()
}

/// Returns the answers by which Graph says that the operation's monitor does not exist.
fn missing_monitor_answers(operation: &str) -> Vec<Action> {
    let coded = |status, code: Option<&str>, inner: Option<&str>| {
        Action::Status(Box::new(StatusAction {
            status,
            code: code.map(str::to_owned),
            inner_code: inner.map(str::to_owned),
            ..StatusAction::default()
        }))
    };
    let mut actions = vec![Action::status_only(404), Action::status_only(410)];
    match operation {
        "export" => {
            actions.push(coded(400, Some("OperationNotFound"), None));
            actions.push(coded(400, None, Some("OperationNotFound")));
        }
        "goals" => actions.push(coded(404, Some("notFound"), Some("exportJobNotFound"))),
        _ => actions.push(coded(404, Some("NotFound"), None)),
    }
    actions
}

#[tokio::test]
async fn a_monitor_that_does_not_exist_yet_is_polled_again() {
    for operation in OPERATIONS {
        for action in missing_monitor_answers(operation) {
            let name = format!("{operation} {action:?}");
            let world = World::new().await;
            let id = begin(&world, operation).await;
            let fault = Fault::new(&format!("{operation}.poll"), action).times(4);
            world.simulator.script(fault);
            world.jump().await;
            let now = world.operation(&id).await;
            assert_eq!(
                (&now["status"], &now["reason"]),
                (&"running".into(), &"no_usable_answer".into()),
                "{name}"
            );
            assert_eq!(world.closed(&id).await["status"], "succeeded", "{name}");
            let history = world.history(&id).await;
            let missing = history.iter().filter(|event| *event == "monitorMissing");
            assert_eq!(missing.count(), 1, "{name}: {history:?}");
        }
    }
}

#[tokio::test]
async fn a_monitor_that_stays_missing_ends_the_operation_as_unknown() {
    for operation in OPERATIONS {
        for action in missing_monitor_answers(operation) {
            for seen in [0, 1] {
                let name = format!("{operation} {action:?} {seen}");
                let world = World::new().await;
                let id = begin(&world, operation).await;
                let fault = Fault::new(&format!("{operation}.poll"), action.clone());
                world.simulator.script(fault.skip(seen).times(0));
                let closed = world.closed(&id).await;
                assert_eq!(closed["status"], "unknown", "{name}");
                assert_eq!(closed["reason"], "monitor_gone", "{name}");
                assert!(closed["error"]["httpStatus"].is_number(), "{name}");
                let polls = world.simulator.calls(&format!("{operation}.poll"));
                let gone = polls.iter().find(|poll| poll.fault.is_some()).unwrap();
                let ended: Timestamp = closed["endedAt"].as_str().unwrap().parse().unwrap();
                let minutes = ended.duration_since(gone.at).as_secs_f64() / 60.0;
                // An export cannot be started again, so its monitor is looked for during a whole day.
                let expected = if operation == "export" {
                    1440.0..1510.0
                } else {
                    10.0..20.0
                };
                assert!(expected.contains(&minutes), "{name}: {minutes}");
                let event: Value =
                    serde_json::from_slice(&world.receiver.journal()[0].body).unwrap();
                assert_eq!(event["type"], "operation.unknown", "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_monitor_that_reappears_restarts_the_time_after_which_it_is_gone() {
    let world = World::with(|setup| setup.simulator.durations.goals_seconds = 1900.0).await;
    let id = begin(&world, "goals").await;
    let gone = Fault::new("goals.poll", Action::status_only(404));
    world.simulator.script(gone.clone().times(6));
    world.simulator.script(gone.skip(1).times(5));
    assert_eq!(world.closed(&id).await["status"], "succeeded");
}

#[tokio::test]
async fn a_token_refused_once_is_renewed_within_the_step() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let id = begin(&world, operation).await;
        world.simulator.revoke_access_tokens();
        world.jump().await;
        let polls = world.simulator.calls(&format!("{operation}.poll"));
        let answers: Vec<_> = polls.iter().map(|poll| poll.status).collect();
        assert_eq!(answers, [Some(401), Some(200)], "{operation}");
        assert_eq!(polls[0].at, polls[1].at, "{operation}");
        assert_ne!(polls[0].authorization, polls[1].authorization);
        assert_eq!(world.operation(&id).await["reason"], Value::Null);
        assert_eq!(world.closed(&id).await["status"], "succeeded");
        assert_eq!(world.simulator.calls("token").len(), 2, "{operation}");
    }
}

#[tokio::test]
async fn polling_continues_once_forbidden_polls_are_allowed_again() {
    for operation in OPERATIONS {
        // After a 401 the same step polls once more with a new token, so three steps take six answers.
        for (status, times) in [(401, 6), (403, 3)] {
            let name = format!("{operation} {status}");
            let world = World::new().await;
            let id = begin(&world, operation).await;
            let action = Action::status_only(status);
            let fault = Fault::new(&format!("{operation}.poll"), action).times(times);
            world.simulator.script(fault);
            for _ in 0..3 {
                world.jump().await;
                let now = world.operation(&id).await;
                assert_eq!(
                    (&now["status"], &now["reason"]),
                    (&"running".into(), &"authorization_lost".into()),
                    "{name}"
                );
            }
            let closed = world.closed(&id).await;
            assert_eq!(
                (&closed["status"], &closed["reason"]),
                (&"succeeded".into(), &Value::Null),
                "{name}"
            );
            let history = world.history(&id).await;
            let lost = history.iter().filter(|event| *event == "authorizationLost");
            assert_eq!(lost.count(), 1, "{name}: {history:?}");
        }
    }
}

#[tokio::test]
async fn the_reason_is_cleared_as_soon_as_a_poll_is_answered() {
    let world = World::with(|setup| setup.simulator.durations.export_seconds = 9e5).await;
    let id = begin(&world, "export").await;
    world
        .simulator
        .script(Fault::new("export.poll", Action::status_only(403)));
    world.jump().await;
    assert_eq!(world.operation(&id).await["reason"], "authorization_lost");
    world.jump().await;
    assert_eq!(world.operation(&id).await["reason"], Value::Null);
    world.advance(Duration::from_secs(60)).await;
}
