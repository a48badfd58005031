//! What declared operations refuse, what they make of a second start, and what a search for them shows.

use graph_simulator::{Action, Fault};
use serde_json::Value;

use crate::declared::operation;
use crate::variants::Case;
use crate::world::*;

const GROUP: &str = "71392b2f-1765-406e-86af-5907d9bdb2ab";
const DEVICE: &str = "/v1.0/deviceManagement/managedDevices/c37c9b61-7762-4fff-a156-afc0005847a0";

#[tokio::test]
async fn group_becomes_a_team_once() {
    let case = Case::new("team.fromGroup", "ordinary").await;
    let started = case.request().await;
    assert_eq!(
        started.header("content-location"),
        Some(format!("/teams('{GROUP}')").as_str())
    );
    let again = case.request().await;
    assert_eq!(
        (again.status, again.string("/error/code").as_str()),
        (409, "Conflict")
    );
    assert_eq!(case.world.simulator.jobs().len(), 1);
    let starts = case.world.simulator.calls("team.fromGroup.start");
    assert_eq!(starts.len(), 2, "both share the path of team.create");
    assert!(
        starts[0]
            .authorization
            .as_deref()
            .unwrap()
            .starts_with("app:")
    );
}

#[tokio::test]
async fn young_group_is_refused_for_a_while_and_perhaps_wrongly() {
    let case = Case::new("team.fromGroup", "early").await;
    assert_eq!(case.request().await.status, 404);
    case.world.advance(59);
    assert_eq!(case.request().await.status, 404);
    case.world.advance(1);
    assert_eq!(case.request().await.status, 202);

    let case = Case::new("team.fromGroup", "early-processed").await;
    assert_eq!(case.request().await.status, 404);
    assert_eq!(case.request().await.status, 409);
    assert_eq!(case.world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn second_start_is_new_the_same_or_refused() {
    let case = Case::new("backup.restore", "ordinary").await;
    assert_eq!(case.request().await.string("/status"), "activating");
    case.world.advance(15);
    assert_eq!(case.request().await.string("/status"), "active");
    assert_eq!(case.world.simulator.jobs().len(), 1);

    let case = Case::new("role.assign", "ordinary").await;
    assert_eq!(case.request().await.status, 201);
    let again = case.request().await;
    assert_eq!(again.status, 400);
    assert_eq!(again.string("/error/code"), "RoleAssignmentExists");

    let case = Case::new("audit.query", "ordinary").await;
    let ids = [
        case.request().await.string("/id"),
        case.request().await.string("/id"),
    ];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(case.world.simulator.jobs().len(), 2);
}

#[tokio::test]
async fn what_failed_may_be_started_again() {
    let case = Case::new("role.assign", "failed").await;
    assert_eq!(case.request().await.status, 201);
    case.world.advance(20);
    assert_eq!(case.request().await.status, 201);
}

#[tokio::test]
async fn request_is_checked_as_graph_checks_it() {
    let world = World::new().await;
    let (application, delegated) = (world.application().await, world.delegated().await);
    for (name, token, body, status) in [
        ("team.create", &application, r#"{"displayName":"x"}"#, 400),
        (
            "team.archive",
            &application,
            r#"{"shouldSetSpoSiteReadOnlyForMembers":true}"#,
            400,
        ),
        (
            "team.archive",
            &delegated,
            r#"{"shouldSetSpoSiteReadOnlyForMembers":true}"#,
            202,
        ),
        (
            "drive.copyItem",
            &application,
            r#"{"name":"x","childrenOnly":true}"#,
            400,
        ),
        ("user.resetPassword", &application, "{}", 403),
        ("subjectRights.request", &application, "{}", 403),
        // It is neither SCIM nor said to be.
        ("provisioning.bulkUpload", &application, "{}", 400),
    ] {
        let (_, path, _) = operation(name).declared.example();
        let reply = world.post(&path, token, body).await;
        assert_eq!(reply.status, status, "{name}: {reply:?}");
    }
    let (_, path, _) = operation("device.wipe").declared.example();
    assert_eq!(world.post(&path, "", "{}").await.status, 401);
    assert_eq!(world.get(&path, &application).await.status, 400);
}

#[tokio::test]
async fn device_shows_its_past_then_the_command_then_nothing() {
    let case = Case::new("device.wipe", "ordinary").await;
    let find = format!("{DEVICE}?$select=id,deviceActionResults");
    let poll = format!("{DEVICE}?$select=id,deviceName,managementState,deviceActionResults");
    // The answer to the first start is lost before it has begun.
    let fault = Fault::new("device.wipe.start", Action::status_only(503));
    case.world.simulator.script(fault);
    assert_eq!(case.request().await.status, 503);
    let before = case.look(&find).await.json();
    assert_eq!(before["deviceActionResults"].as_array().unwrap().len(), 1);
    assert_eq!(before.get("managementState"), None, "it was not selected");
    assert_eq!(case.request().await.status, 204);
    case.world.advance(10);
    for url in [&find, &poll] {
        let seen = case.look(url).await.json();
        let actions = seen["deviceActionResults"].as_array().unwrap();
        assert_eq!(actions.last().unwrap()["actionState"], "pending");
    }
    case.world.advance(140);
    assert_eq!(case.look(&poll).await.status, 404);
    assert_eq!(case.world.simulator.calls("device.wipe.find").len(), 2);
    assert_eq!(case.world.simulator.calls("device.wipe.poll").len(), 2);
}

#[tokio::test]
async fn search_shows_the_jobs_of_others_too() {
    let case = Case::new("ediscovery.exportResult", "ordinary").await;
    let purge = operation("ediscovery.purge");
    case.request().await;
    purge.start(&case.world, &case.token).await;
    let list =
        "/v1.0/security/cases/ediscoveryCases/c37c9b61-7762-4fff-a156-afc0005847a0/operations";
    let found = case.look(list).await.json();
    let actions: Vec<&str> = found["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions.len(),
        7,
        "five of others and both of ours: {actions:?}"
    );
    assert_eq!(
        actions
            .iter()
            .filter(|action| **action == "purgeData")
            .count(),
        2
    );
    let elsewhere = list.replace("c37c9b61", "d37c9b61");
    let found = case.look(&elsewhere).await.json();
    assert_eq!(found["value"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn newer_words_are_hidden_from_clients_that_do_not_ask_for_them() {
    let case = Case::new("ediscovery.purge", "ordinary").await;
    let monitor = case.started().await;
    let plain = case.world.get(&monitor, &case.token).await;
    assert_eq!(plain.string("/action"), "unknownFutureValue");
    let asked = case.look(&monitor).await;
    assert_eq!(asked.string("/action"), "purgeData");
    assert_eq!(
        asked.header("preference-applied"),
        Some("include-unknown-enum-members")
    );
}

#[tokio::test]
async fn list_refuses_a_filter_that_it_does_not_have() {
    let world = World::new().await;
    let token = world.delegated().await;
    for (path, status) in [
        ("/security/subjectRightsRequests", 200),
        (
            "/security/subjectRightsRequests?$filter=externalId%20eq%20'x'",
            400,
        ),
        (
            "/roleManagement/directory/roleAssignmentScheduleRequests?$filter=principalId%20eq%20'x'%20and%20roleDefinitionId%20eq%20'y'",
            200,
        ),
        (
            "/roleManagement/directory/roleAssignmentScheduleRequests?$filter=justification%20eq%20'x'",
            400,
        ),
    ] {
        let reply = world.get(&format!("/v1.0{path}"), &token).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn errors_of_a_snapshot_come_only_when_they_are_selected() {
    let case = Case::new("tenant.snapshot", "partial").await;
    let started = case.request().await;
    case.world.advance(60);
    let monitor = format!(
        "/v1.0/admin/configurationManagement/configurationSnapshotJobs/{}",
        started.string("/id")
    );
    let whole = case.look(&monitor).await.json();
    assert_eq!(
        (whole.get("errorDetails"), &whole["status"]),
        (None, &Value::from("partiallySuccessful"))
    );
    let selected = case
        .look(&format!("{monitor}?$select=id,errorDetails"))
        .await
        .json();
    assert_eq!(selected["errorDetails"].as_array().unwrap().len(), 1);
    assert_eq!(selected.get("status"), None);
}

#[tokio::test]
async fn generated_password_is_said_once_and_the_query_routes_the_poll() {
    let case = Case::new("user.resetPassword", "ordinary").await;
    let (_, path, _) = case.files.declared.example();
    let started = case.world.post(&path, &case.token, "{}").await;
    assert_eq!(started.string("/newPassword"), "Vuyo9873");
    let monitor = started.location();
    assert_eq!(case.look(&monitor).await.string("/status"), "notStarted");
    let routeless = monitor.split_once('?').unwrap().0;
    assert_eq!(case.look(routeless).await.status, 404);
    let given = case.request().await;
    assert_eq!((given.status, given.text.as_str()), (202, ""));
}

#[tokio::test]
async fn log_has_the_rows_of_every_upload() {
    let case = Case::new("provisioning.bulkUpload", "ordinary").await;
    case.files.start(&case.world, &case.token).await;
    let monitor = case.started().await;
    case.world.advance(120);
    let rows = case.look(&monitor).await.json()["value"]
        .as_array()
        .unwrap()
        .clone();
    let ours = rows
        .iter()
        .filter(|row| row["provisioningStatusInfo"]["status"] == "success");
    assert_eq!(ours.count(), 4, "two people, twice");
    let other = monitor.replace("API2AAD", "API3AAD");
    assert_eq!(case.look(&other).await.status, 404);
}

#[tokio::test]
async fn documented_limit_is_shared_and_enforced_if_asked_for() {
    let case = Case::new("ediscovery.purge", "ordinary").await;
    let estimate = operation("ediscovery.estimate");
    case.world
        .simulator
        .set_behaviour(|behaviour| behaviour.limits = true);
    let monitor = case.started().await;
    estimate.start(&case.world, &case.token).await;
    case.world.advance(30);
    for expected in [200, 200, 200, 429] {
        assert_eq!(case.look(&monitor).await.status, expected);
    }
    let refused = case.look(&monitor).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.string("/error/innerError/code"), "429");
    case.world.advance(60);
    assert_eq!(case.look(&monitor).await.status, 200);
}
