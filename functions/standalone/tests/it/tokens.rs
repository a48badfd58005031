//! Access tokens and the refresh token behind the delegated ones: fetched once, renewed early, rotated, never burnt.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use courier_testkit::world::{Answer, GRAPH_SECRET, REFRESH_TOKEN, Setup, World};
use graph_simulator::{Action, Entry, Fault, Simulator, StatusAction};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::starts::{OPERATIONS, body};

fn fetches(simulator: &Simulator) -> Vec<Entry> {
    simulator.calls("token")
}

/// The refresh token each call to the token endpoint came with.
fn refresh_tokens(simulator: &Simulator) -> Vec<String> {
    let form = |entry: &Entry| {
        let text = entry.body.as_ref().unwrap().as_str().unwrap().to_owned();
        let field = text.split('&').find_map(|f| f.strip_prefix("refresh_token="));
        field.unwrap().to_owned()
    };
    fetches(simulator).iter().map(form).collect()
}

/// Makes `simulator` the Graph of a later World.
fn follow(setup: &mut Setup, simulator: &Simulator) {
    setup.config = setup.config.replace("{graph}", &simulator.base_url());
}

/// A goals export of another view, so that it is a job of its own.
fn goals(world: &World, view: u32) -> Value {
    let mut body = world.goals();
    let id = format!("e5e7a3c1-8cdf-409d-9ce9-{view:012}");
    body["parameters"]["explorerViewId"] = id.into();
    body
}

fn assert_accepted(answer: &Answer, reason: Option<&str>, name: &str) {
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"accepted".into()),
        "{name}"
    );
    assert_eq!(answer.body["reason"], Value::from(reason), "{name}");
}

#[tokio::test]
async fn a_token_is_fetched_once_however_many_operations_wait_for_it() {
    let world = Arc::new(World::new().await);
    world
        .simulator
        .script(Fault::new("token", Action::Delay { ms: 100 }));
    let mut requests = JoinSet::new();
    for team in 0..24 {
        let world = Arc::clone(&world);
        requests.spawn(async move {
            let mut body = world.schedule();
            let id = format!("871dbd5c-3a6a-4392-bfe1-{team:012}");
            body["parameters"]["teamId"] = id.into();
            world.post(&body).await.body["status"].clone()
        });
    }
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), "running");
    }
    assert_eq!(fetches(&world.simulator).len(), 1);
}

#[tokio::test]
async fn tenants_and_kinds_of_token_do_not_mix() {
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
async fn a_token_is_renewed_before_it_ends() {
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
async fn a_wrong_client_secret_delays_the_start_and_burns_none() {
    for operation in OPERATIONS {
        let world = World::new().await;
        world.simulator.set_client_secret(Some("rotated"));
        let answer = world.post(&body(&world, operation)).await;
        assert_accepted(&answer, Some("authorization_lost"), operation);
        world.advance(Duration::from_secs(7_200)).await;
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
async fn many_operations_that_wait_for_a_refused_token_ask_once_a_minute() {
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
async fn a_token_endpoint_in_trouble_delays_a_start_and_says_nothing_of_authorization() {
    let json = |status, body: &str| {
        Action::Status(Box::new(StatusAction {
            status,
            body: Some(body.to_owned()),
            ..StatusAction::default()
        }))
    };
    let html = StatusAction {
        status: 200,
        html: true,
        ..StatusAction::default()
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
        Action::Redirect {
            status: 302,
            location: "{origin}/elsewhere".to_owned(),
        },
        Action::Status(Box::new(html)),
        Action::BigBody { bytes: 300_000 },
        json(200, "{}"),
        json(200, "not json"),
        json(200, r#"{"access_token":"canary"}"#),
        json(503, "<html>"),
        json(400, r#"{"error":"temporarily_unavailable"}"#),
    ] {
        let name = format!("{action:?}");
        let world = World::with(|setup| setup.timeouts.token = Duration::from_millis(250)).await;
        world.simulator.script(Fault::new("token", action));
        let answer = world.post(&world.export("dsar")).await;
        let reason = name.contains("Redirect").then_some("authorization_lost");
        assert_accepted(&answer, reason, &name);
        if name.contains("120") {
            world.advance(Duration::from_secs(119)).await;
            assert_eq!(fetches(&world.simulator).len(), 1, "{name}");
        }
        let closed = world.closed(&answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{name}");
        assert_eq!(world.simulator.calls("export.start").len(), 1, "{name}");
        assert!(world.simulator.calls("other").is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_running_operation_outlives_a_token_endpoint_in_trouble() {
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
            (&"running".into(), &Value::Null),
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

#[tokio::test]
async fn each_refresh_token_is_used_once_and_the_newest_survives_a_restart_sealed() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_owned();
    let world = World::with(|setup| {
        setup.simulator.behaviour.revoke_old_refresh = true;
        setup.data = Some(data);
    })
    .await;
    for view in 0..3 {
        let id = world.post(&goals(&world, view)).await.id();
        assert_eq!(world.closed(&id).await["status"], "succeeded");
        world.simulator.revoke_access_tokens();
    }
    assert_nowhere(&path, &["simulated-refresh", "simulated-access", REFRESH_TOKEN]);
    let simulator = world.simulator.clone();
    let (data, clock) = world.stop().await;
    assert_nowhere(&path, &["simulated-refresh", "simulated-access", REFRESH_TOKEN]);
    let world = World::with(|setup| {
        follow(setup, &simulator);
        setup.data = Some(data);
        setup.clock = clock;
    })
    .await;
    let answer = world.post(&goals(&world, 3)).await;
    assert_eq!(answer.body["status"], "running");
    let tokens = refresh_tokens(&simulator);
    assert_eq!(tokens.len(), 4);
    assert_eq!(tokens[0], REFRESH_TOKEN);
    for (index, token) in tokens.iter().enumerate() {
        assert!(!tokens[..index].contains(token), "{tokens:?}");
    }
    assert!(fetches(&simulator).iter().all(|f| f.status == Some(200)));
}

#[tokio::test]
async fn a_refused_refresh_token_holds_the_operation_until_a_new_one_is_configured() {
    let world = World::with(|setup| {
        setup.simulator.refresh_token = None;
        setup.simulator.behaviour.revoke_old_refresh = true;
    })
    .await;
    let id = world.post(&world.goals()).await.id();
    world.simulator.revoke_access_tokens();
    // The user has left; every refresh is refused.
    let refused = Action::status_only(400);
    world.simulator.script(Fault::new("token", refused).times(3));
    for _ in 0..3 {
        world.jump().await;
        let now = world.operation(&id).await;
        assert_eq!(
            (&now["status"], &now["reason"]),
            (&"running".into(), &"authorization_lost".into())
        );
    }
    let simulator = world.simulator.clone();
    let (data, clock) = world.stop().await;
    let world = World::with(|setup| {
        follow(setup, &simulator);
        // Another token, as if somebody had signed in: the only other secret the World knows.
        let other = "refresh_token = \"env:GRAPH_SECRET\"";
        setup.config = setup.config.replace("refresh_token = \"env:REFRESH_TOKEN\"", other);
        setup.data = Some(data);
        setup.clock = clock;
    })
    .await;
    // Its callback went to a receiver that is gone with the first World.
    let ended = world.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&"succeeded".into(), &Value::Null)
    );
    assert_eq!(refresh_tokens(&simulator).last().unwrap(), GRAPH_SECRET);
}

#[tokio::test]
async fn two_processes_on_one_database_refresh_one_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let same = same_place(data.path());
    let one = World::with(|setup| {
        setup.simulator.behaviour.revoke_old_refresh = true;
        setup.data = Some(data);
    })
    .await;
    let two = World::with(|setup| {
        follow(setup, &one.simulator);
        setup.data = Some(same);
        setup.clock = one.clock.clone();
    })
    .await;
    let slow = Fault::new("token", Action::Delay { ms: 400 });
    one.simulator.script(slow);
    let bodies = (goals(&one, 1), goals(&two, 2));
    let first = one.post(&bodies.0);
    let second = async {
        one.simulator.until(|calls| !calls.is_empty()).await;
        two.post(&bodies.1).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.body["status"], "running");
    assert_accepted(&second, None, "another process is refreshing");
    assert_eq!(fetches(&one.simulator).len(), 1);
    two.advance(Duration::from_secs(10)).await;
    assert_eq!(two.operation(&second.id()).await["status"], "running");
    let tokens = refresh_tokens(&one.simulator);
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);
    assert!(fetches(&one.simulator).iter().all(|f| f.status == Some(200)));
    two.ended(&first.id()).await;
    two.ended(&second.id()).await;
}

/// A second name of the same directory, for a second World.
fn same_place(data: &Path) -> TempDir {
    let link = tempfile::tempdir().unwrap();
    std::fs::remove_dir(link.path()).unwrap();
    std::os::unix::fs::symlink(data, link.path()).unwrap();
    link
}

/// Fails if one of the texts stands in a file of the directory.
pub(crate) fn assert_nowhere(directory: &Path, texts: &[&str]) {
    let mut files = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        files += 1;
        for text in texts {
            let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!found, "{text} is in {}", file.display());
        }
    }
    assert!(files > 0, "{} is empty", directory.display());
}
