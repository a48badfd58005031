//! Access tokens: fetched once and renewed before they expire; without one nothing is started and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use courier_core::engine::step::step;
use courier_core::operation::OperationId;
use courier_core::operation::message::Message;
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{Answer, GRAPH_SECRET, World};
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Entry, Fault, Simulator, StatusAction};
use serde_json::Value;
use tokio::task::JoinSet;

pub(crate) fn fetches(simulator: &Simulator) -> Vec<Entry> {
    simulator.calls("token")
}

/// The reason of an operation that waits because of a trouble that passes by itself.
const NO_ANSWER: Option<&str> = Some("no_usable_answer");

pub(crate) fn assert_accepted(answer: &Answer, reason: Option<&str>, name: &str) {
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"accepted".into()),
        "{name}"
    );
    assert_eq!(answer.body["reason"], Value::from(reason), "{name}");
}

#[tokio::test]
async fn one_token_fetch_serves_all_waiting_operations() {
    let world = Arc::new(World::new().await);
    world
        .simulator
        .script(Fault::new("token", Action::Delay { ms: 100 }));
    let mut requests = JoinSet::new();
    for team in 0..24 {
        let caller_world = Arc::clone(&world);
        requests.spawn(async move {
            let mut body = caller_world.schedule();
            let id = format!("871dbd5c-3a6a-4392-bfe1-{team:012}");
            body["parameters"]["teamId"] = id.into();
            caller_world.post(&body).await.body["status"].clone()
        });
    }
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), "running");
    }
    assert_eq!(fetches(&world.simulator).len(), 1);
}

/// Posts exports for these containers at the same time and returns the answers.
async fn post_together(world: &Arc<World>, exports: u32) -> Vec<Answer> {
    let mut requests = JoinSet::new();
    for export in 0..exports {
        let world = Arc::clone(world);
        requests.spawn(async move {
            let mut body = world.export(&format!("dsar-{export}"));
            body["reference"] = format!("RITM-{export}").into();
            world.post(&body).await
        });
    }
    requests.join_all().await
}

#[tokio::test]
async fn starts_that_wait_for_a_token_endpoint_that_hangs_share_one_request() {
    let setup =
        |setup: &mut courier_testkit::world::Setup| setup.timeouts.token = Duration::from_secs(1);
    let world = Arc::new(World::with(setup).await);
    world
        .simulator
        .script(Fault::new("token", Action::Hang { processed: false }));
    for answer in post_together(&world, 8).await {
        assert_accepted(&answer, NO_ANSWER, "the token endpoint hangs");
    }
    assert_eq!(fetches(&world.simulator).len(), 1);
    for answer in post_together(&world, 8).await {
        assert_accepted(
            &answer,
            NO_ANSWER,
            "the pause after the failure is not over",
        );
    }
    assert_eq!(fetches(&world.simulator).len(), 1);
}

#[tokio::test]
async fn a_pause_that_the_token_endpoint_asks_for_holds_for_all_operations_and_kinds_of_token() {
    let world = Arc::new(World::new().await);
    world
        .simulator
        .script(Fault::new("token", Action::throttled(429, Some("120"))));
    for answer in post_together(&world, 40).await {
        assert_accepted(
            &answer,
            NO_ANSWER,
            "the token endpoint has asked for a pause",
        );
    }
    assert_accepted(&world.post(&world.goals()).await, NO_ANSWER, "another kind");
    world.advance(Duration::from_secs(119)).await;
    assert_eq!(fetches(&world.simulator).len(), 1);
    world.advance(Duration::from_secs(30)).await;
    let kinds = 2;
    assert_eq!(fetches(&world.simulator).len(), 1 + kinds);
}

#[tokio::test]
async fn each_tenant_and_kind_of_token_is_fetched_separately() {
    let world = World::new().await;
    world.post(&world.schedule()).await;
    world.post(&world.goals()).await;
    let mut body = world.schedule();
    body.as_object_mut().unwrap().remove("callback");
    let key = [("x-api-key", courier_testkit::world::FABRIKAM_KEY)];
    assert_eq!(world.post_with(&key, &body).await.status, 202);
    let paths: Vec<_> = fetches(&world.simulator)
        .into_iter()
        .map(|fetch| fetch.path)
        .collect();
    assert_eq!(
        paths,
        ["contoso", "contoso", "fabrikam"].map(|name| format!("/{name}.example/oauth2/v2.0/token"))
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    for seconds in [3_599, 60] {
        let world = World::with(|setup| {
            setup.simulator.durations.access_token_seconds = seconds;
            setup.simulator.durations.export_seconds = 200_000.0;
            setup.simulator.durations.goals_seconds = 80_000.0;
        })
        .await;
        let export = world.post(&world.export("dsar")).await.id();
        let goals = world.post(&world.goals()).await.id();
        assert_eq!(world.closed(&export).await["status"], "succeeded");
        assert_eq!(world.closed(&goals).await["status"], "succeeded");
        let refused = world.simulator.journal();
        assert!(refused.iter().all(|call| call.status != Some(401)));
        assert!(fetches(&world.simulator).len() > 10);
    }
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once_even_if_a_refusal_comes_late() {
    let world = World::new().await;
    let mut messages = Vec::new();
    for team in 1..3 {
        let mut body = world.schedule();
        let team_id = format!("871dbd5c-3a6a-4392-bfe1-{team:012}");
        body["parameters"]["teamId"] = team_id.into();
        let id = OperationId::parse(&world.post(&body).await.id()).unwrap();
        let record = world.app.store.load(&id).await.unwrap().unwrap();
        messages.push(Message::poll(&record, 1));
        let late = Fault::new(
            "schedule.poll",
            Action::Delay {
                ms: 250 * (team - 1),
            },
        );
        world
            .simulator
            .script(late.path_contains(&format!("{team:012}")));
    }
    world.simulator.revoke_access_tokens();
    world.clock.advance(Duration::from_secs(15));
    let (prompt, late) = (&messages[0], &messages[1]);
    tokio::join!(
        step(&world.app, prompt, 1, jiff::Timestamp::MAX),
        step(&world.app, late, 1, jiff::Timestamp::MAX)
    );
    assert_eq!(world.simulator.calls("schedule.poll").len(), 4);
    assert_eq!(fetches(&world.simulator).len(), 2);
}

#[tokio::test]
async fn a_wrong_client_secret_delays_the_start_and_claims_it_only_once() {
    for operation in OPERATIONS {
        let world = World::new().await;
        world.simulator.set_client_secret(Some("rotated"));
        let answer = world.post(&body(&world, operation)).await;
        assert_accepted(&answer, Some("authorization_lost"), operation);
        world.advance(Duration::from_secs(1_800)).await;
        let now = world.operation(&answer.id()).await;
        assert_eq!(
            (&now["status"], &now["reason"]),
            (&"accepted".into(), &"authorization_lost".into())
        );
        let refused = fetches(&world.simulator).len();
        assert!((2..200).contains(&refused), "{refused}");
        world.simulator.set_client_secret(Some(GRAPH_SECRET));
        let closed = world.closed(&answer.id()).await;
        assert_eq!(
            (&closed["status"], &closed["reason"]),
            (&"succeeded".into(), &Value::Null)
        );
        let starts = world.simulator.calls(&format!("{operation}.start"));
        assert_eq!(starts.len(), 1, "{operation}");
        let history = world.history(&answer.id()).await;
        let claims = history.iter().filter(|event| *event == "startClaimed");
        assert_eq!(claims.count(), 1, "{operation}: {history:?}");
    }
}

#[tokio::test]
async fn operations_that_wait_for_a_refused_token_request_it_once_a_minute() {
    let world = World::new().await;
    world.simulator.set_client_secret(Some("rotated"));
    for index in 0..20 {
        let mut body = world.export(&format!("dsar-{index}"));
        body["reference"] = format!("RITM-{index}").into();
        world.post(&body).await;
    }
    assert_eq!(fetches(&world.simulator).len(), 1);
    world.advance(Duration::from_secs(59)).await;
    assert_eq!(fetches(&world.simulator).len(), 1);
    world.advance(Duration::from_secs(10)).await;
    assert_eq!(fetches(&world.simulator).len(), 2);
}

#[tokio::test]
async fn a_failing_token_endpoint_delays_a_start_but_is_no_lost_authorization() {
    let json = |status, body: &str| {
        Action::Status(Box::new(StatusAction {
            status,
            body: Some(body.to_owned()),
            ..StatusAction::default()
        }))
    };
    for action in [
        Action::throttled(429, Some("120")),
        Action::status_only(500),
        Action::status_only(503),
        Action::Hang { processed: false },
        Action::LostBefore,
        Action::LostAfter,
        Action::ResetAfter,
        Action::HalfBody,
        Action::BigBody { bytes: 300_000 },
        json(503, "<html>"),
        json(400, r#"{"error":"temporarily_unavailable"}"#),
    ] {
        let name = format!("{action:?}");
        let world = World::with(|setup| setup.timeouts.token = Duration::from_millis(250)).await;
        world.simulator.script(Fault::new("token", action));
        let answer = world.post(&world.export("dsar")).await;
        assert_accepted(&answer, NO_ANSWER, &name);
        if name.contains("120") {
            world.advance(Duration::from_secs(119)).await;
            assert_eq!(fetches(&world.simulator).len(), 1, "{name}");
        }
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{name}");
        assert_eq!(world.simulator.calls("export.start").len(), 1, "{name}");
    }
}

#[tokio::test]
async fn an_answer_of_200_without_a_token_is_shown_as_lost_authorization_until_there_is_one() {
    let body = |body: &str, html: bool| {
        Action::Status(Box::new(StatusAction {
            status: 200,
            body: (!html).then(|| body.to_owned()),
            html,
            ..StatusAction::default()
        }))
    };
    for action in [body("{}", false), body("not json", false), body("", true)] {
        let name = format!("{action:?}");
        let world = World::new().await;
        world.simulator.script(Fault::new("token", action));
        let answer = world.post(&world.export("dsar")).await;
        assert_accepted(&answer, Some("authorization_lost"), &name);
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{name}");
        assert_eq!(closed["reason"], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn a_redirect_of_the_token_endpoint_is_not_followed() {
    for status in [302, 307, 308] {
        let world = World::new().await;
        let location = world.receiver.url("/contoso.example/oauth2/v2.0/token");
        let redirect = Action::Redirect { status, location };
        world.simulator.script(Fault::new("token", redirect));
        let answer = world.post(&world.schedule()).await;
        assert_eq!(answer.body["status"], "accepted", "{status}");
        assert!(
            world.receiver.journal().is_empty(),
            "the redirect was followed"
        );
        assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_running_operation_survives_a_failing_token_endpoint() {
    for operation in OPERATIONS {
        let world = World::with(|setup| setup.simulator.durations.schedule_seconds = 300.0).await;
        let id = world.post(&body(&world, operation)).await.id();
        world.simulator.revoke_access_tokens();
        world
            .simulator
            .script(Fault::new("token", Action::status_only(503)));
        world.jump().await;
        let now = world.operation(&id).await;
        assert_eq!(
            (&now["status"], &now["reason"]),
            (&"running".into(), &Value::from(NO_ANSWER)),
            "{operation}"
        );
        world.simulator.set_client_secret(Some("rotated"));
        world.jump().await;
        let now = world.operation(&id).await;
        assert_eq!(
            (&now["status"], &now["reason"]),
            (&"running".into(), &"authorization_lost".into()),
            "{operation}"
        );
        world.simulator.set_client_secret(Some(GRAPH_SECRET));
        let closed = world.closed(&id).await;
        assert_eq!(
            (&closed["status"], &closed["reason"]),
            (&"succeeded".into(), &Value::Null),
            "{operation}"
        );
    }
}
