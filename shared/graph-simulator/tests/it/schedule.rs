//! The course of a team's schedule over time.

use graph_simulator::{Casing, NotProvisioned, Outcome};
use serde_json::Value;

use crate::world::*;

#[tokio::test]
async fn schedule_is_provisioned_in_the_background() {
    let world = World::with(|options| options.durations.not_started_seconds = 5.0).await;
    let token = world.application().await;
    assert_eq!(
        world
            .get(&schedule_path(), &token)
            .await
            .string("/provisionStatus"),
        "NotStarted"
    );
    let put = world.put_schedule(&token).await;
    assert_eq!(
        (put.status, put.string("/provisionStatus").as_str()),
        (200, "NotStarted")
    );
    assert_eq!(put.string("/id"), TEAM);
    for (seconds, status) in [(5, "Running"), (25, "Completed")] {
        world.advance(seconds);
        let reply = world.get(&schedule_path(), &token).await;
        assert_eq!(reply.string("/provisionStatus"), status);
        assert_eq!(reply.json()["provisionStatusCode"], Value::Null);
        assert_eq!(reply.string("/timeZone"), "America/Chicago");
    }
}

#[tokio::test]
async fn second_put_replaces_and_starts_nothing() {
    let world = World::new().await;
    let token = world.application().await;
    world.put_schedule(&token).await;
    let body = SCHEDULE.replace("Chicago", "Denver");
    assert_eq!(
        world
            .put(&schedule_path(), &token, &body)
            .await
            .string("/provisionStatus"),
        "Running"
    );
    world.advance(30);
    let replaced = world.put(&schedule_path(), &token, &body).await;
    assert_eq!(replaced.string("/provisionStatus"), "Completed");
    assert_eq!(replaced.string("/timeZone"), "America/Denver");
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn failed_provisioning_has_a_code_and_is_cured_by_another_put() {
    let world = World::with(|options| {
        options.behaviour.schedule.outcome = Outcome::Failed;
        options.behaviour.schedule.provision_status_code = "NoLicence".to_owned();
    })
    .await;
    let token = world.application().await;
    world.put_schedule(&token).await;
    world.advance(30);
    let failed = world.get(&schedule_path(), &token).await;
    assert_eq!(failed.string("/provisionStatus"), "Failed");
    assert_eq!(failed.string("/provisionStatusCode"), "NoLicence");
    world
        .simulator
        .set_behaviour(|behaviour| behaviour.schedule.outcome = Outcome::Succeeded);
    assert_eq!(
        world.put_schedule(&token).await.string("/provisionStatus"),
        "Running"
    );
    world.advance(30);
    assert_eq!(
        world
            .get(&schedule_path(), &token)
            .await
            .string("/provisionStatus"),
        "Completed"
    );
    assert_eq!(world.simulator.jobs().len(), 2);
}

#[tokio::test]
async fn provision_status_takes_each_casing() {
    let world = World::new().await;
    let token = world.application().await;
    for (casing, expected) in [
        (Casing::Pascal, "NotStarted"),
        (Casing::Camel, "notStarted"),
        (Casing::Lower, "notstarted"),
    ] {
        world
            .simulator
            .set_behaviour(|behaviour| behaviour.schedule.casing = casing);
        assert_eq!(
            world
                .get(&schedule_path(), &token)
                .await
                .string("/provisionStatus"),
            expected
        );
    }
}

#[tokio::test]
async fn completed_schedule_can_be_enabled_later() {
    let world = World::with(|options| options.durations.enabled_lag_seconds = 20.0).await;
    let token = world.application().await;
    world.put_schedule(&token).await;
    for (seconds, status, enabled) in [
        (30, "Completed", false),
        (19, "Completed", false),
        (1, "Completed", true),
    ] {
        world.advance(seconds);
        let reply = world.get(&schedule_path(), &token).await;
        assert_eq!(reply.string("/provisionStatus"), status);
        assert_eq!(reply.json()["enabled"], enabled);
    }
}

#[tokio::test]
async fn team_without_schedule_can_be_not_found_with_json_in_the_message() {
    let world = World::with(|options| {
        options.behaviour.schedule.not_provisioned = NotProvisioned::NotFound;
    })
    .await;
    let token = world.application().await;
    let reply = world.get(&schedule_path(), &token).await;
    assert_eq!(reply.status, 404);
    let nested: Value = serde_json::from_str(&reply.string("/error/message")).unwrap();
    assert_eq!(nested["error"]["code"], "NotFound");
    assert_eq!(world.put_schedule(&token).await.status, 200);
    assert_eq!(world.get(&schedule_path(), &token).await.status, 200);
}

#[tokio::test]
async fn application_must_say_for_whom_it_acts_where_older_pages_hold() {
    let world = World::with(|options| options.behaviour.schedule.require_acts_as = true).await;
    let (application, delegated) = (world.application().await, world.delegated().await);
    let ask = async |token: &str, acts_as: &str| {
        let url = format!("{}{}", world.simulator.base_url(), schedule_path());
        let request = world
            .client
            .get(url)
            .header("authorization", format!("Bearer {token}"));
        request
            .header("ms-app-acts-as", acts_as)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(world.get(&schedule_path(), &application).await.status, 403);
    assert_eq!(ask(&application, "somebody").await, 403);
    assert_eq!(ask(&application, USER).await, 200);
    assert_eq!(world.get(&schedule_path(), &delegated).await.status, 200);
    let acts_as: Vec<_> = world
        .simulator
        .calls("schedule.poll")
        .into_iter()
        .map(|entry| entry.acts_as)
        .collect();
    assert_eq!(
        acts_as,
        [
            None,
            Some("somebody".to_owned()),
            Some(USER.to_owned()),
            None
        ]
    );
}

#[tokio::test]
async fn put_without_a_required_property_is_refused() {
    let world = World::new().await;
    let token = world.application().await;
    for body in [
        r#"{"enabled":true}"#,
        r#"{"timeZone":"Etc/UTC"}"#,
        "[]",
        "{",
    ] {
        assert_eq!(
            world.put(&schedule_path(), &token, body).await.status,
            400,
            "{body}"
        );
    }
    assert!(world.simulator.jobs().is_empty());
}
