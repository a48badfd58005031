//! Faults that change the answer, as a client sees them.

use graph_simulator::{Action, Fault, StatusAction};
use reqwest::Method;
use serde_json::Value;

use crate::world::*;

/// A world, a token, and the monitor of a running export.
pub(crate) async fn running() -> (World, String, String) {
    let world = World::new().await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "running").await.location();
    (world, token, monitor)
}

pub(crate) async fn start(world: &World, token: &str) -> Result<Reply, reqwest::Error> {
    world
        .send(Method::POST, &export_path(), token, Some(&storage("c")))
        .await
}

fn status(action: StatusAction) -> Action {
    Action::Status(Box::new(action))
}

#[tokio::test]
async fn throttling_is_worded_as_graph_words_it_and_hits_as_often_as_scripted() {
    let (world, token, monitor) = running().await;
    let throttled = Fault::new("export.*", Action::throttled(429, Some("2.128")));
    world.simulator.script(throttled.skip(1).times(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let reply = world.get(&monitor, &token).await;
        statuses.push(reply.status);
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), Some("2.128"));
            assert_eq!(reply.string("/error/code"), "TooManyRequests");
            assert_eq!(reply.string("/error/innerError/code"), "429");
        }
    }
    assert_eq!(statuses, [200, 429, 429, 200]);
    assert_eq!(world.simulator.unused_faults(), []);
}

#[tokio::test]
async fn throttled_export_carries_no_retry_after_unless_scripted() {
    let (world, token, monitor) = running().await;
    world
        .simulator
        .script(Fault::new("export.poll", Action::status_only(429)));
    assert_eq!(
        world.get(&monitor, &token).await.header("retry-after"),
        None
    );
}

#[tokio::test]
async fn status_can_have_any_body() {
    let (world, token, monitor) = running().await;
    let base = StatusAction {
        status: 502,
        ..StatusAction::default()
    };
    for (action, media_type, text) in [
        (
            StatusAction {
                html: true,
                ..base.clone()
            },
            Some("text/html; charset=utf-8"),
            "<!DOCTYPE html>",
        ),
        (
            StatusAction {
                empty: true,
                ..base.clone()
            },
            None,
            "",
        ),
        (
            StatusAction {
                body: Some("{\"error\":".to_owned()),
                ..base.clone()
            },
            Some("application/json"),
            "{\"error\":",
        ),
    ] {
        world
            .simulator
            .script(Fault::new("export.poll", status(action)));
        let reply = world.get(&monitor, &token).await;
        assert_eq!(reply.status, 502);
        assert_eq!(
            reply.header("content-type").filter(|_| !text.is_empty()),
            media_type
        );
        assert!(reply.text.starts_with(text) && reply.text.is_empty() == text.is_empty());
    }
    let worded = StatusAction {
        code: Some("PartnerError".to_owned()),
        message: Some("partner".to_owned()),
        inner_code: Some("deep".to_owned()),
        ..base
    };
    world
        .simulator
        .script(Fault::new("export.poll", status(worded)));
    let reply = world.get(&monitor, &token).await;
    assert_eq!(reply.string("/error/code"), "PartnerError");
    assert_eq!(reply.string("/error/message"), "partner");
    assert_eq!(reply.string("/error/innerError/code"), "deep");
}

#[tokio::test]
async fn gateway_error_can_hide_a_job_that_was_started() {
    for (processed, jobs) in [(false, 0), (true, 1)] {
        let world = World::new().await;
        let token = world.application().await;
        let action = StatusAction {
            status: 504,
            processed,
            ..StatusAction::default()
        };
        world
            .simulator
            .script(Fault::new("export.start", status(action)));
        assert_eq!(start(&world, &token).await.unwrap().status, 504);
        assert_eq!(world.simulator.jobs().len(), jobs);
        assert_eq!(
            world.simulator.calls("export.start")[0].job.is_some(),
            processed
        );
    }
}

#[tokio::test]
async fn token_endpoint_fails_in_entras_words() {
    let world = World::new().await;
    world
        .simulator
        .script(Fault::new("token", Action::throttled(503, Some("3"))));
    world
        .simulator
        .script(Fault::new("token", Action::status_only(400)));
    let form = "grant_type=client_credentials";
    assert_eq!(
        world.grant(form).await.string("/error"),
        "temporarily_unavailable"
    );
    assert_eq!(world.grant(form).await.string("/error"), "invalid_grant");
}

#[tokio::test]
async fn location_can_be_missing_foreign_or_doubled() {
    let world = World::new().await;
    let token = world.application().await;
    let location = |value: Option<&str>, twice| {
        let value = value.map(str::to_owned);
        world.simulator.script(Fault::new(
            "export.start",
            Action::Location { value, twice },
        ));
    };
    location(None, false);
    location(Some("\"https://evil.example{path}\""), false);
    location(Some("{origin}.evil.example/?next={location}"), false);
    location(None, true);
    location(Some("https://evil.example/"), true);
    let origin = world.simulator.base_url();
    for (index, expected) in [
        vec![],
        vec!["\"https://evil.example{path}\""],
        vec!["{origin}.evil.example/?next={origin}{path}"],
        vec!["{origin}{path}", "{origin}{path}"],
        vec!["{origin}{path}", "https://evil.example/"],
    ]
    .into_iter()
    .enumerate()
    {
        let reply = world.start_export(&token, &format!("c{index}")).await;
        let path = format!(
            "/v1.0/dataPolicyOperations/{}",
            world.simulator.jobs()[index].id
        );
        let filled = |text: &&str| text.replace("{origin}", &origin).replace("{path}", &path);
        let expected: Vec<String> = expected.iter().map(filled).collect();
        assert_eq!(reply.all("location"), expected);
        assert_eq!(
            reply.header("operation-location").is_some(),
            expected.len() == 1
        );
    }
}

#[tokio::test]
async fn poll_can_say_any_word() {
    let world = World::new().await;
    let (token, delegated) = (world.application().await, world.delegated().await);
    let monitor = world.start_export(&token, "c").await.location();
    let goals = world.start_goals(&delegated).await.location();
    world.put_schedule(&token).await;
    let schedule = schedule_path();
    for (path, token, pointer) in [
        (&monitor, &token, "/status"),
        (&goals, &delegated, "/value/status"),
        (&schedule, &token, "/provisionStatus"),
    ] {
        world.simulator.script(Fault::new(
            "*.poll",
            Action::Word {
                value: "unknownFutureValue".to_owned(),
            },
        ));
        assert_eq!(
            world.get(path, token).await.string(pointer),
            "unknownFutureValue"
        );
        assert_eq!(
            world.get(path, token).await.string(pointer).to_lowercase(),
            "running"
        );
    }
}

#[tokio::test]
async fn redirect_has_the_scripted_location() {
    let (world, token, monitor) = running().await;
    let action = Action::Redirect {
        status: 302,
        location: "https://evil.example{path}".to_owned(),
    };
    world.simulator.script(Fault::new("export.poll", action));
    let reply = world.get(&monitor, &token).await;
    assert_eq!(reply.status, 302);
    let path = monitor.strip_prefix(&world.simulator.base_url()).unwrap();
    assert_eq!(reply.location(), format!("https://evil.example{path}"));
}

#[tokio::test]
async fn retry_after_can_be_anything_or_nothing() {
    for (value, expected) in [
        (Some("-1"), Some("-1")),
        (Some("soon"), Some("soon")),
        (None, None),
    ] {
        let world = World::new().await;
        let token = world.application().await;
        let value = value.map(str::to_owned);
        world
            .simulator
            .script(Fault::new("export.start", Action::RetryAfter { value }));
        let reply = start(&world, &token).await.unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (202, expected));
    }
}

#[tokio::test]
async fn body_can_be_larger_than_anyone_wants() {
    let (world, token, monitor) = running().await;
    world.simulator.script(Fault::new(
        "export.poll",
        Action::BigBody { bytes: 3_000_000 },
    ));
    let reply = world.get(&monitor, &token).await;
    assert!(reply.text.len() > 3_000_000);
    assert_eq!(reply.string("/status"), "running");
}

#[tokio::test]
async fn poll_body_can_lack_its_status_or_have_a_wrong_type() {
    let (world, token, monitor) = running().await;
    for text in ["{}", r#"{"status":7}"#, "[]", "null"] {
        world
            .simulator
            .script(Fault::new("export.poll", Action::body(text)));
        assert_eq!(
            world.get(&monitor, &token).await.json(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }
}

#[tokio::test]
async fn first_scripted_fault_is_used_up_first() {
    let (world, token, monitor) = running().await;
    let (first, second) = (Action::status_only(503), Action::status_only(500));
    world
        .simulator
        .script(Fault::new("export.poll", first).path_contains("dataPolicyOperations/"));
    world
        .simulator
        .script(Fault::new("*", second.clone()).times(2));
    world
        .simulator
        .script(Fault::new("goals.poll", Action::LostAfter));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.get(&monitor, &token).await.status);
    }
    assert_eq!(statuses, [503, 500, 500, 200]);
    assert_eq!(
        world.simulator.unused_faults(),
        [Fault::new("goals.poll", Action::LostAfter)]
    );
}
