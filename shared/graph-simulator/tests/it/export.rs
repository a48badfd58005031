//! The course of an export over time.

use graph_simulator::{LocationForm, LocationVersion, Outcome, Progress};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::*;

#[tokio::test]
async fn export_runs_and_is_complete_when_its_time_is_over() {
    let world = World::with(|options| options.durations.not_started_seconds = 10.0).await;
    let token = world.application().await;
    let started = world.start_export(&token, "c").await;
    assert_eq!(started.header("retry-after"), Some("60"));
    assert_eq!(
        started.header("operation-location"),
        started.header("location")
    );
    let id = started.location().rsplit('/').next().unwrap().to_owned();
    assert_eq!(started.header("request-id"), Some(id.as_str()));
    assert_eq!(started.text, "");
    for (seconds, status, progress) in [
        (0, "notStarted", 0),
        (10, "running", 11),
        (79, "running", 98),
        (1, "complete", 100),
    ] {
        world.advance(seconds);
        let reply = world.get(&started.location(), &token).await;
        let operation = reply.json();
        assert_eq!(operation["status"], status);
        assert_eq!(
            operation["progress"].as_f64(),
            Some(f64::from(progress)),
            "{status}"
        );
        assert_eq!(
            operation["completedDateTime"].is_string(),
            status == "complete"
        );
        assert_eq!(operation["userId"], USER);
        assert_eq!(reply.header("retry-after"), None);
    }
}

#[tokio::test]
async fn month_long_export_is_still_running_on_its_last_day() {
    let month = 30 * 86_400;
    let world = World::with(|options| {
        options.durations.export_seconds = f64::from(month);
        options.durations.access_token_seconds = u32::MAX;
    })
    .await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "c").await.location();
    world.advance(i64::from(month) - 1);
    assert_eq!(
        world.get(&monitor, &token).await.string("/status"),
        "running"
    );
    world.advance(1);
    assert_eq!(
        world.get(&monitor, &token).await.string("/status"),
        "complete"
    );
}

#[tokio::test]
async fn same_container_serves_one_export_only() {
    let world = World::new().await;
    let token = world.application().await;
    assert_eq!(world.start_export(&token, "one").await.status, 202);
    let again = world.start_export(&token, "one").await;
    assert_eq!(again.status, 400);
    assert_eq!(again.string("/error/code"), "StorageLocationAlreadyUsed");
    assert_eq!(world.start_export(&token, "two").await.status, 202);
    assert_eq!(world.simulator.jobs().len(), 2);
    let list = world.get("/v1.0/dataPolicyOperations", &token).await;
    assert_eq!(list.json()["value"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn user_principal_name_is_no_object_id() {
    let world = World::new().await;
    let token = world.application().await;
    let path = "/v1.0/users/ada@contoso.com/exportPersonalData";
    let reply = world.post(path, &token, &storage("c")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.string("/error/code"), "InvalidInput");
    assert_eq!(
        reply.string("/error/message"),
        "The specified object-id: ada@contoso.com in the request uri is an invalid Guid."
    );
}

#[tokio::test]
async fn error_carries_both_ids_and_a_date_without_zone() {
    let world = World::new().await;
    let request = world
        .client
        .get(format!("{}/v1.0/x", world.simulator.base_url()));
    let reply = request
        .header("client-request-id", "mine")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.headers()["client-request-id"], "mine");
    assert_eq!(reply.headers()["date"], "Thu, 01 Jan 2026 00:00:00 GMT");
    let request_id = reply.headers()["request-id"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    let inner = &body["error"]["innerError"];
    assert_eq!(inner["client-request-id"], "mine");
    assert_eq!(inner["request-id"], request_id);
    assert_eq!(inner["date"], "2026-01-01T00:00:00");
}

#[tokio::test]
async fn job_ends_with_the_scripted_outcome() {
    for (outcome, status) in [
        (Outcome::Succeeded, "complete"),
        (Outcome::Failed, "failed"),
        (Outcome::Endless, "running"),
    ] {
        let world = World::with(|options| options.behaviour.export.outcome = outcome).await;
        let token = world.application().await;
        let monitor = world.start_export(&token, "c").await.location();
        world.advance(1000);
        assert_eq!(world.get(&monitor, &token).await.string("/status"), status);
    }
    let world = World::with(|options| options.behaviour.failing = vec![USER.to_owned()]).await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "c").await.location();
    world.advance(90);
    assert_eq!(
        world.get(&monitor, &token).await.string("/status"),
        "failed"
    );
}

#[tokio::test]
async fn finished_job_says_the_word_it_was_finished_with() {
    let world = World::new().await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "c").await.location();
    let job = world.simulator.jobs().remove(0);
    assert_eq!(
        (job.operation.as_str(), job.key.as_str()),
        ("user.exportPersonalData", USER)
    );
    assert!(world.simulator.finish(&job.id, "complete"));
    assert!(!world.simulator.finish("nobody", "complete"));
    assert_eq!(
        world.get(&monitor, &token).await.string("/status"),
        "complete"
    );
}

#[tokio::test]
async fn location_takes_each_documented_form() {
    for (form, version, quoted, expected) in [
        (
            LocationForm::Absolute,
            LocationVersion::V1,
            false,
            "{origin}/v1.0/dataPolicyOperations/{id}",
        ),
        (
            LocationForm::Absolute,
            LocationVersion::AsCalled,
            true,
            "\"{origin}/beta/dataPolicyOperations/{id}\"",
        ),
        (
            LocationForm::Relative,
            LocationVersion::AsCalled,
            false,
            "/dataPolicyOperations/{id}",
        ),
    ] {
        let world = World::with(|options| {
            options.behaviour.location = form;
            options.behaviour.location_version = version;
            options.behaviour.export.location_quoted = quoted;
        })
        .await;
        let token = world.application().await;
        let path = format!("/beta/users/{USER}/exportPersonalData");
        let reply = world.post(&path, &token, &storage("c")).await;
        let id = &world.simulator.jobs()[0].id;
        let expected = expected.replace("{origin}", &world.simulator.base_url());
        assert_eq!(
            reply.header("location"),
            Some(expected.replace("{id}", id).as_str())
        );
    }
}

#[tokio::test]
async fn progress_takes_each_type_and_scale() {
    let world = World::new().await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "c").await.location();
    world.advance(45);
    for (progress, expected) in [
        (Progress::Percent, json!(50.0)),
        (Progress::Fraction, json!(0.5)),
        (Progress::PercentText, json!("50")),
        (Progress::FractionText, json!("0.5")),
    ] {
        world
            .simulator
            .set_behaviour(|behaviour| behaviour.export.progress = progress);
        assert_eq!(
            world.get(&monitor, &token).await.json()["progress"],
            expected
        );
    }
}

#[tokio::test]
async fn keys_and_case_of_a_path_are_read_as_graph_reads_them() {
    let world = World::new().await;
    let token = world.application().await;
    let id = world.start_export(&token, "c").await.location();
    let id = id.rsplit('/').next().unwrap();
    for path in [
        format!("/v1.0/dataPolicyOperations('{id}')"),
        format!("/v1.0/DATAPOLICYOPERATIONS/{id}"),
        format!("/beta/dataPolicyOperations/{}", id.replace('-', "%2D")),
    ] {
        assert_eq!(world.get(&path, &token).await.status, 200, "{path}");
    }
    let unversioned = world
        .get(&format!("/dataPolicyOperations/{id}"), &token)
        .await;
    assert_eq!(
        unversioned.string("/error/message"),
        "Invalid version: datapolicyoperations"
    );
    let wrong = world
        .send(Method::DELETE, &export_path(), &token, None)
        .await
        .unwrap();
    assert_eq!(wrong.status, 405);
}
