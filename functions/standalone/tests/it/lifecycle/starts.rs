//! What Graph's answer to a start means, for each restart class (`docs/graph-behaviour.md`, Starting).

use std::time::Duration;

use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{Answer, World};
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault, StatusAction};
use serde_json::Value;

/// Posts `operation` in a World whose Graph answers the first start with `action`; returns the World and the answer.
async fn begin(operation: &str, action: Action) -> (World, Answer) {
    let world = World::with(|setup| {
        setup.timeouts.graph = Duration::from_millis(400);
        setup.timeouts.connect = Duration::from_millis(400);
    })
    .await;
    world
        .simulator
        .script(Fault::new(&format!("{operation}.start"), action));
    let answer = world.post(&body(&world, operation)).await;
    (world, answer)
}

fn starts(world: &World, operation: &str) -> usize {
    world.simulator.calls(&format!("{operation}.start")).len()
}

#[tokio::test]
async fn a_throttled_start_is_repeated_not_before_retry_after_in_every_restart_class() {
    for operation in OPERATIONS {
        let (world, answer) = begin(operation, Action::throttled(429, Some("200"))).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"accepted".into()),
            "{operation}"
        );
        world.advance(Duration::from_secs(199)).await;
        assert_eq!(starts(&world, operation), 1, "{operation}");
        let ended = world.closed(&answer.id()).await;
        assert_eq!(ended["status"], "succeeded", "{operation}");
        assert_eq!(starts(&world, operation), 2, "{operation}");
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_throttled_export_without_retry_after_waits_at_least_a_minute() {
    let (world, answer) = begin("export", Action::throttled(429, None)).await;
    world.advance(Duration::from_secs(59)).await;
    assert_eq!(starts(&world, "export"), 1);
    assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
}

#[tokio::test]
async fn a_refused_start_is_reported_with_graphs_error_and_no_job_exists() {
    for status in [400, 403, 404, 405, 412, 415, 422, 302] {
        for operation in OPERATIONS {
            let refusal = StatusAction {
                code: Some("badThing".to_owned()),
                message: Some("No, see https://x.example/a?sig=canarySasSignature0123456789abcdefABCDEFGHI%3D.".to_owned()),
                status,
                ..StatusAction::default()
            };
            let (world, answer) = begin(operation, Action::Status(Box::new(refusal))).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (422, "start-rejected"),
                "{operation} {status}"
            );
            assert_eq!(answer.body["operation"]["status"], "failed");
            assert_eq!(answer.body["operation"]["reason"], "start_rejected");
            if status != 302 {
                assert_eq!(answer.body["graph"]["code"], "badThing", "{answer:?}");
            }
            assert_eq!(answer.body["graph"]["status"], status);
            assert!(answer.body["graph"]["requestId"].is_string(), "{answer:?}");
            assert!(!answer.body.to_string().contains("canary"), "{answer:?}");
            let closed = world.closed(&answer.id()).await;
            assert_eq!(
                closed["callback"]["status"], "delivered",
                "{operation} {status}"
            );
            assert!(world.simulator.jobs().is_empty());
            assert_eq!(starts(&world, operation), 1);
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    for operation in OPERATIONS {
        let (world, answer) = begin(operation, Action::status_only(401)).await;
        assert_eq!(answer.body["status"], "accepted", "{operation}");
        assert_eq!(
            world.closed(&answer.id()).await["status"],
            "succeeded",
            "{operation}"
        );
        let tokens: Vec<_> = world.simulator.calls(&format!("{operation}.start"));
        assert_eq!(tokens.len(), 2, "{operation}");
        assert_ne!(
            tokens[0].authorization, tokens[1].authorization,
            "{operation}"
        );
    }
}

/// Returns answers after which it is unknown whether the job was started, each with whether it was.
fn lost_answers() -> Vec<(Action, bool)> {
    let status = |code| Action::status_only(code);
    let processed = |code| {
        Action::Status(Box::new(StatusAction {
            status: code,
            processed: true,
            ..StatusAction::default()
        }))
    };
    vec![
        (Action::LostBefore, false),
        (Action::LostAfter, true),
        (Action::ResetBefore, false),
        (Action::ResetAfter, true),
        (Action::Hang { processed: false }, false),
        (Action::Hang { processed: true }, true),
        (status(500), false),
        (status(502), false),
        (status(503), false),
        (processed(504), true),
    ]
}

#[tokio::test]
async fn an_export_whose_answer_is_lost_is_never_sent_again_and_ends_unknown() {
    for (action, job) in lost_answers() {
        let name = format!("{action:?}");
        let (world, answer) = begin("export", action).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"starting".into()),
            "{name}"
        );
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "unknown", "{name}");
        assert_eq!(closed["reason"], "start_outcome_unknown", "{name}");
        assert_eq!(starts(&world, "export"), 1, "{name}");
        assert_eq!(world.simulator.jobs().len(), usize::from(job), "{name}");
        let event: Value = serde_json::from_slice(&world.receiver.journal()[0].body).unwrap();
        assert_eq!(event["type"], "operation.unknown", "{name}");
    }
}

#[tokio::test]
async fn a_goals_export_whose_answer_is_lost_adopts_the_job_it_started() {
    for (action, job) in lost_answers() {
        let name = format!("{action:?}");
        let (world, answer) = begin("goals", action).await;
        assert_eq!(answer.body["status"], "starting", "{name}");
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{name}");
        assert_eq!(closed["adopted"], job, "{name}");
        assert_eq!(world.simulator.jobs().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_schedule_whose_answer_is_lost_is_put_again() {
    for (action, _) in lost_answers() {
        let name = format!("{action:?}");
        let (world, answer) = begin("schedule", action).await;
        assert_eq!(answer.body["status"], "starting", "{name}");
        assert_eq!(
            world.closed(&answer.id()).await["status"],
            "succeeded",
            "{name}"
        );
        assert_eq!(starts(&world, "schedule"), 2, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_ends_as_unknown() {
    for operation in ["goals", "schedule"] {
        let (world, answer) = begin(operation, Action::LostAfter).await;
        world.simulator.script(Fault::new(
            &format!("{operation}.start"),
            Action::status_only(400),
        ));
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "unknown", "{operation}");
        assert_eq!(closed["reason"], "start_outcome_unknown", "{operation}");
        assert_eq!(closed["error"]["httpStatus"], 400, "{operation}");
    }
}

#[tokio::test]
async fn a_pending_job_is_adopted_by_its_location_or_its_key() {
    for location in [None, Some("https://graph.evil.example{path}".to_owned())] {
        let world = World::new().await;
        let first = world.post(&world.goals()).await;
        let fault = Fault::new(
            "goals.start",
            Action::Location {
                value: location,
                twice: false,
            },
        );
        world.simulator.script(fault);
        let second = world.post(&world.goals()).await;
        assert_eq!(second.body["adopted"], true, "{second:?}");
        assert_ne!(first.id(), second.id());
        assert_eq!(world.closed(&second.id()).await["status"], "succeeded");
        assert_eq!(world.closed(&first.id()).await["status"], "succeeded");
        assert_eq!(world.simulator.jobs().len(), 1);
    }
}

#[tokio::test]
async fn a_success_without_a_usable_location_is_unknown_and_never_repeated() {
    let cases = [
        (None, "start_untrackable"),
        (Some(""), "start_untrackable"),
        (
            Some("https://graph.evil.example{path}"),
            "location_untrusted",
        ),
        (Some("//graph.evil.example{path}"), "location_untrusted"),
        (Some("\"{origin}{path}"), "start_untrackable"),
    ];
    for operation in ["export", "goals"] {
        for (value, reason) in cases {
            let value = value.map(str::to_owned);
            let (world, answer) = begin(
                operation,
                Action::Location {
                    value,
                    twice: false,
                },
            )
            .await;
            assert_eq!(
                (answer.status, &answer.body["status"]),
                (200, &"unknown".into()),
                "{reason}"
            );
            assert_eq!(answer.body["reason"], reason, "{operation}");
            assert_eq!(
                world.closed(&answer.id()).await["callback"]["status"],
                "delivered"
            );
            assert_eq!(starts(&world, operation), 1, "{operation} {reason}");
            assert!(
                world
                    .simulator
                    .calls(&format!("{operation}.poll"))
                    .is_empty()
            );
        }
    }
}

#[tokio::test]
async fn quoted_relative_and_absolute_locations_are_followed() {
    for value in [
        "\"{origin}{path}\"",
        "{path}",
        "{origin}{path}",
        "\"{path}\"",
    ] {
        let action = Action::Location {
            value: Some(value.to_owned()),
            twice: false,
        };
        let (world, answer) = begin("export", action).await;
        assert_eq!(
            world.closed(&answer.id()).await["status"],
            "succeeded",
            "{value}"
        );
    }
}

#[tokio::test]
async fn a_truncated_body_does_not_fail_a_start() {
    for operation in OPERATIONS {
        let (world, answer) = begin(operation, Action::HalfBody).await;
        assert_eq!(answer.body["status"], "running", "{operation}");
        assert_eq!(
            world.closed(&answer.id()).await["status"],
            "succeeded",
            "{operation}"
        );
        assert_eq!(starts(&world, operation), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_container_that_was_used_before_is_refused_with_a_hint() {
    let world = World::new().await;
    world
        .closed(&world.post(&world.export("dsar")).await.id())
        .await;
    let again = world
        .post_with(&[("idempotency-key", "another")], &world.export("dsar"))
        .await;
    assert_eq!(again.status, 422);
    assert_eq!(again.body["graph"]["code"], "StorageLocationAlreadyUsed");
    let detail = again.body["operation"]["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("already begun"), "{detail}");
    world.closed(&again.id()).await;
}

#[tokio::test]
async fn a_schedule_that_is_provisioned_at_once_ends_within_the_request() {
    let world = World::with(|setup| setup.simulator.durations.schedule_seconds = 0.0).await;
    let answer = world.post(&world.schedule()).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &"succeeded".into())
    );
    world.work().await;
    assert_eq!(world.receiver.journal().len(), 1);
    assert!(world.simulator.calls("schedule.poll").is_empty());
}

#[tokio::test]
async fn starts_for_one_team_run_one_after_another() {
    let (world, first) = begin("schedule", Action::throttled(429, Some("30"))).await;
    let mut newer = world.schedule();
    newer["parameters"]["schedule"]["timeZone"] = "Europe/Berlin".into();
    let second = world.post(&newer).await;
    assert_eq!(
        second.body["status"], "accepted",
        "it waits for the older one"
    );
    assert_eq!(world.closed(&first.id()).await["status"], "succeeded");
    assert_eq!(world.closed(&second.id()).await["status"], "succeeded");
    let calls = world.simulator.calls("schedule.start");
    let zones: Vec<_> = calls
        .iter()
        .map(|call| call.body.as_ref().unwrap()["timeZone"].clone())
        .collect();
    assert_eq!(
        zones,
        ["America/Chicago", "America/Chicago", "Europe/Berlin"]
    );
    assert_eq!(
        calls[1].at, calls[2].at,
        "the next in line is woken at once"
    );
}

#[tokio::test]
async fn an_unreachable_graph_at_start_is_answered_202() {
    for operation in OPERATIONS {
        let world = World::with(|setup| {
            // Nothing listens on this port: the connection is refused, so nothing was sent.
            setup.config = setup.config.replace(
                "base_url = \"{graph}\"",
                "base_url = \"http://127.0.0.1:9\"",
            );
        })
        .await;
        let answer = world.post(&body(&world, operation)).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"accepted".into()),
            "{operation}"
        );
        world.advance(Duration::from_secs(600)).await;
        let history = world.history(&answer.id()).await;
        let unsent = history
            .iter()
            .filter(|event| *event == "startNotSent")
            .count();
        assert!(unsent >= 2, "{operation}: {history:?}");
    }
}
