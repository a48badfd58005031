//! The three operations, from request to verified callback. The World verifies every signature when it is dropped.

use std::time::Duration;

use courier_testkit::world::{World, delivery};
use serde_json::{Value, json};

/// Sends the request, checks the 202, lets time pass, and returns the operation and the callback's body.
async fn follow(world: &World, body: &Value) -> (Value, Value) {
    let answer = world
        .post_with(&[("idempotency-key", "\"k-1\"")], body)
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/operations/{}", answer.id()).as_str())
    );
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.body["status"], "running");
    assert_eq!(
        delivery(&answer.body),
        json!({ "status": "pending", "attempts": 0, "lastStatus": null })
    );
    let operation = world.closed(&answer.id()).await;
    let callbacks = world.receiver.journal();
    assert_eq!(callbacks.len(), 1);
    let callback = &callbacks[0];
    assert_eq!(callback.method, "POST");
    let bare = answer.id().replace("op_", "");
    assert_eq!(
        callback.header("webhook-id"),
        Some(format!("msg_{bare}_succeeded").as_str())
    );
    assert_eq!(callback.header("ce-type"), Some("operation.succeeded"));
    assert_eq!(callback.header("ce-subject"), Some(answer.id().as_str()));
    assert_eq!(callback.header("content-type"), Some("application/json"));
    (operation, serde_json::from_slice(&callback.body).unwrap())
}

#[tokio::test]
async fn an_export_is_started_once_polled_and_called_back() {
    let world = World::new().await;
    let (operation, event) = follow(&world, &world.export("dsar-1")).await;
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(operation["reason"], Value::Null);
    assert_eq!(operation["reference"], "RITM-dsar-1");
    assert_eq!(operation["graph"]["status"], "complete");
    let container = "https://contoso.blob.core.windows.net/dsar-1";
    assert_eq!(operation["result"]["storageLocation"], container);
    assert_eq!(
        delivery(&operation),
        json!({ "status": "delivered", "attempts": 1, "lastStatus": 204 })
    );
    assert_eq!(event["type"], "operation.succeeded");
    assert_eq!(event["data"]["id"], operation["id"]);
    assert_eq!(event["data"]["result"], operation["result"]);
    assert_eq!(event["timestamp"], operation["endedAt"]);
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn a_goals_export_is_polled_at_its_quoted_location_with_a_delegated_token() {
    let world = World::new().await;
    let (operation, _) = follow(&world, &world.goals()).await;
    assert_eq!(operation["status"], "succeeded");
    let location = operation["result"]["resourceLocation"].as_str().unwrap();
    assert!(location.ends_with("/content"), "{location}");
    assert!(operation["result"]["expiresAt"].is_string());
    for call in world.simulator.calls("goals.poll") {
        assert!(
            call.authorization
                .as_deref()
                .unwrap()
                .starts_with("delegated:"),
            "{call:?}"
        );
        assert!(
            call.path
                .contains("/employeeexperience/goals/exportJobs/j!"),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn a_schedule_is_polled_at_its_own_url_until_completed_and_enabled() {
    let world = World::with(|setup| setup.simulator.durations.enabled_lag_seconds = 25.0).await;
    let mut body = world.schedule();
    let user = "cc5f4f0a-3a6a-4392-bfe1-042452793a51";
    body["parameters"]["actsAs"] = user.into();
    let (operation, _) = follow(&world, &body).await;
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(operation["result"]["enabled"], true);
    assert_eq!(operation["result"]["timeZone"], "America/Chicago");
    let journal = world.simulator.journal();
    let calls: Vec<_> = journal
        .iter()
        .filter(|call| call.call.starts_with("schedule."))
        .collect();
    assert!(calls.len() >= 3, "{calls:?}");
    for call in calls {
        assert_eq!(
            call.acts_as.as_deref(),
            Some(user),
            "MS-APP-ACTS-AS on PUT and GET"
        );
        assert_eq!(
            call.path,
            "/v1.0/teams/871dbd5c-3a6a-4392-bfe1-042452793a50/schedule"
        );
    }
}

#[tokio::test]
async fn a_month_long_export_is_polled_at_growing_intervals_until_it_ends() {
    let world =
        World::with(|setup| setup.simulator.durations.export_seconds = 29.0 * 86_400.0).await;
    let (operation, _) = follow(&world, &world.export("dsar-long")).await;
    assert_eq!(operation["status"], "succeeded");
    let polls = world.simulator.calls("export.poll").len();
    assert!((100..250).contains(&polls), "{polls} polls in 29 days");
}

#[tokio::test]
async fn an_operation_without_callback_closes_when_it_ends() {
    let world = World::new().await;
    let mut body = world.schedule();
    body.as_object_mut().unwrap().remove("callback");
    let answer = world.post(&body).await;
    let operation = world.ended(&answer.id()).await;
    assert_eq!(
        delivery(&operation),
        json!({ "status": "none", "attempts": 0, "lastStatus": null })
    );
    assert!(world.receiver.journal().is_empty());
    assert!(!world.jump().await, "nothing waits any more");
}

#[tokio::test]
async fn an_unchanged_poll_writes_nothing_to_the_store() {
    let world = World::with(|setup| setup.simulator.durations.goals_seconds = 80_000.0).await;
    let id = world.post(&world.goals()).await.id();
    // The first poll writes that polling has begun, and the status that Graph reports.
    world.jump().await;
    let operation_id = courier_core::operation::OperationId::parse(&id).unwrap();
    let revision = async || {
        let record = world.app.store.load(&operation_id).await.unwrap();
        record.unwrap().revision
    };
    let before = revision().await;
    world.jump().await;
    world.jump().await;
    assert_eq!(revision().await, before);
    assert_eq!(world.simulator.calls("goals.poll").len(), 3);
    // A sweep before the operation is overdue does not resend its message.
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(
        courier_core::engine::sweep::sweep(&world.app, jiff::Timestamp::MAX)
            .await
            .unwrap(),
        0
    );
}
