//! The ends that are particular to some operations.

use courier_testkit::world::World;
use serde_json::{Value, json};

use super::{request, world};

/// Runs an operation in a variant of the simulator.
async fn ended(world: &World, name: &str, variant: &str) -> Value {
    world.simulator.set_variant(name, variant).unwrap();
    let answer = world.post(&request(world, name)).await;
    assert!([200, 202].contains(&answer.status), "{name}: {answer:?}");
    world.closed(&answer.id()).await
}

#[tokio::test]
async fn each_end_of_a_job_is_the_outcome_that_its_page_says() {
    for (name, variant, outcome, reason) in [
        ("team.create", "failed", "failed", Some("operation_failed")),
        ("team.create", "lag=120", "succeeded", None),
        (
            "drive.copyItem",
            "failed",
            "failed",
            Some("operation_failed"),
        ),
        (
            "drive.copyItem",
            "monitor-400",
            "failed",
            Some("operation_failed"),
        ),
        ("drive.copyItem", "redirect", "succeeded", None),
        ("drive.copyItem", "new-document", "succeeded", None),
        ("device.wipe", "vanished", "succeeded", None),
        ("device.wipe", "other-name", "succeeded", None),
        (
            "device.wipe",
            "not-supported",
            "failed",
            Some("operation_failed"),
        ),
        (
            "device.wipe",
            "cancelled",
            "cancelled",
            Some("cancelled_at_graph"),
        ),
        ("phone.assignNumber", "envelope", "succeeded", None),
        ("phone.assignNumber", "bare", "succeeded", None),
    ] {
        let world = world().await;
        let ended = ended(&world, name, variant).await;
        assert_eq!(ended["status"], outcome, "{name} {variant}: {ended}");
        assert_eq!(ended["reason"], json!(reason), "{name} {variant}");
    }
}

#[tokio::test]
async fn a_role_that_is_assigned_in_the_answer_itself_needs_no_poll() {
    let world = world().await;
    let ended = ended(&world, "role.assign", "terminal-at-once").await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert!(world.simulator.calls("role.assign.poll").is_empty());
}

#[tokio::test]
async fn an_upload_of_people_has_a_verdict_for_each_of_them() {
    let world = world().await;
    world
        .simulator
        .set_variant("provisioning.bulkUpload", "partial")
        .unwrap();
    let mut request = request(&world, "provisioning.bulkUpload");
    let people = request["parameters"]["request"]["Operations"]
        .as_array_mut()
        .unwrap();
    let mut second = people[0].clone();
    second["bulkId"] = json!("second");
    second["data"]["externalId"] = json!("701985");
    people.truncate(1);
    people.push(second);
    let answer = world.post(&request).await;
    let ended = world.closed(&answer.id()).await;
    assert_eq!(ended["status"], "partiallySucceeded", "{ended}");
    let people = ended["result"]["people"].as_array().unwrap();
    assert_eq!(people.len(), 2, "{ended}");
    let statuses: Vec<&Value> = people.iter().map(|person| &person["status"]).collect();
    assert!(statuses.contains(&&json!("success")) && statuses.contains(&&json!("failure")));
}

#[tokio::test]
async fn a_team_that_nobody_can_see_in_time_is_a_success_that_is_not_verified() {
    let world = world().await;
    let hidden = graph_simulator::Action::status_only(404);
    world
        .simulator
        .script(graph_simulator::Fault::new("team.create.then", hidden).times(61));
    let answer = world.post(&request(&world, "team.create")).await;
    let ended = world.closed(&answer.id()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["result"]["verified"], false);
    assert!(ended["result"]["teamId"].is_string());
}

#[tokio::test]
async fn operations_of_one_budget_take_turns() {
    let world = world().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        let mut request = request(&world, "ediscovery.exportResult");
        request["reference"] = json!(format!("RITM{number}"));
        let answer = world.post(&request).await;
        ids.push(answer.id());
    }
    for id in &ids {
        assert_eq!(world.closed(id).await["status"], "succeeded");
    }
    let calls = world.simulator.journal();
    let times: Vec<_> = calls
        .iter()
        .filter(|call| call.call.starts_with("ediscovery."))
        .map(|call| call.at)
        .collect();
    assert!(times.len() >= 8, "{times:?}");
    for window in times.windows(7) {
        let minute = window[6].duration_since(window[0]);
        assert!(
            minute.as_secs() >= 60,
            "more than five and one in a minute: {window:?}"
        );
    }
}
