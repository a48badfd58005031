//! Every answer against the slice of Graph's OpenAPI, which was made from Microsoft's metadata.

use graph_simulator::{Action, Casing, Fault, InnerError, Progress};
use serde_json::{Value, json};

use crate::slice::{Given, Slice};
use crate::world::*;

fn complaints(slice: &Slice, method: &str, path: &str, reply: &Reply) -> Vec<String> {
    let path = path
        .split_once("://")
        .map_or(path, |(_, rest)| &rest[rest.find('/').unwrap()..]);
    slice.complaints(&Given {
        method,
        path,
        status: reply.status,
        headers: &reply.headers,
        body: reply.text.as_bytes(),
    })
}

#[track_caller]
fn check(method: &str, path: &str, status: u16, reply: &Reply) {
    assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
    let complaints = complaints(&Slice::load(), method, path, reply);
    assert!(
        complaints.is_empty(),
        "{method} {path}: {complaints:?}\n{}",
        reply.text
    );
}

#[tokio::test]
async fn export_answers_as_documented_in_both_versions() {
    let world = World::new().await;
    let token = world.application().await;
    for version in ["v1.0", "beta"] {
        let path = format!("/{version}/users/{USER}/exportPersonalData");
        let body = storage(version.trim_end_matches(".0"));
        let slice = Slice::load();
        assert!(
            slice
                .request_complaints("post", &path, body.as_bytes())
                .is_empty()
        );
        let started = world.post(&path, &token, &body).await;
        check("post", &path, 202, &started);
        assert!(
            started
                .location()
                .contains(&format!("/{version}/dataPolicyOperations/"))
        );
        let list = format!("/{version}/dataPolicyOperations");
        for seconds in [0, 50, 50] {
            world.advance(seconds);
            let monitor = started.location();
            check("get", &monitor, 200, &world.get(&monitor, &token).await);
            check("get", &list, 200, &world.get(&list, &token).await);
        }
    }
}

#[tokio::test]
async fn goals_export_answers_as_documented() {
    let world = World::new().await;
    let token = world.delegated().await;
    let slice = Slice::load();
    assert!(
        slice
            .request_complaints("post", GOALS, goals_body().as_bytes())
            .is_empty()
    );
    let started = world.start_goals(&token).await;
    check("post", GOALS, 201, &started);
    check("post", GOALS, 409, &world.start_goals(&token).await);
    let monitor = started.location();
    for seconds in [0, 60, 60] {
        world.advance(seconds);
        check("get", &monitor, 200, &world.get(&monitor, &token).await);
        check("get", GOALS, 200, &world.get(GOALS, &token).await);
    }
    let content = world
        .get(&monitor, &token)
        .await
        .string("/value/resourceLocation");
    check("get", &content, 200, &world.get(&content, &token).await);
    world
        .simulator
        .set_behaviour(|behaviour| behaviour.goals.envelope = false);
    check("get", &monitor, 200, &world.get(&monitor, &token).await);
}

#[tokio::test]
async fn schedule_answers_as_documented_in_both_versions() {
    let world = World::new().await;
    let token = world.application().await;
    for version in ["v1.0", "beta"] {
        let path = format!("/{version}/teams/{TEAM}/schedule");
        check("get", &path, 200, &world.get(&path, &token).await);
        assert!(
            Slice::load()
                .request_complaints("put", &path, SCHEDULE.as_bytes())
                .is_empty()
        );
        check("put", &path, 200, &world.put(&path, &token, SCHEDULE).await);
        world.advance(30);
        check("get", &path, 200, &world.get(&path, &token).await);
    }
}

#[tokio::test]
async fn beta_example_of_the_documentation_is_taken_and_given_back() {
    let world = World::new().await;
    let token = world.application().await;
    let path = format!("/beta/teams/{TEAM}/schedule");
    let body = json!({
        "enabled": true, "timeZone": "America/Chicago", "provisionStatus": "Completed",
        "provisionStatusCode": null, "openShiftsEnabled": true, "startDayOfWeek": "tuesday",
        "activitiesIncludedWhenCopyingShiftsEnabled": true, "isCrossLocationShiftsEnabled": true,
        "isCrossLocationShiftRequestApprovalRequired": true, "timeClockEnabled": true,
        "timeClockSettings": { "approvedLocation":
            { "altitude": 1024.13, "latitude": 26.13246, "longitude": 24.34616 } },
    });
    let reply = world.put(&path, &token, &body.to_string()).await;
    check("put", &path, 200, &reply);
    assert_eq!(reply.json()["timeClockSettings"], body["timeClockSettings"]);
    assert_eq!(
        reply.json()["provisionStatus"],
        "Running",
        "the status is not ours to set"
    );
}

#[tokio::test]
async fn both_sides_of_a_documented_conflict_can_be_had() {
    let world = World::new().await;
    let token = world.application().await;
    let monitor = world.start_export(&token, "c").await.location();
    world.put_schedule(&token).await;
    world.simulator.set_behaviour(|behaviour| {
        behaviour.export.progress = Progress::PercentText;
        behaviour.schedule.casing = Casing::Camel;
        behaviour.schedule.day_casing = Casing::Pascal;
    });
    for (path, complaint) in [
        (monitor, "/progress"),
        (schedule_path(), "/provisionStatus"),
    ] {
        let reply = world.get(&path, &token).await;
        let strict = complaints(&Slice::load(), "get", &path, &reply);
        assert!(
            strict.iter().any(|text| text.contains(complaint)),
            "{path}: {strict:?}"
        );
        let relaxed = Slice::with_documented_conflicts();
        assert_eq!(
            complaints(&relaxed, "get", &path, &reply),
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn storage_location_is_refused_in_the_documented_words() {
    let world = World::with(|options| {
        options.behaviour.export.premium_accounts = vec!["premium.example".to_owned()];
    })
    .await;
    let token = world.application().await;
    world.start_export(&token, "used").await;
    let examples = Slice::load().examples("post", &export_path(), 400);
    let locations = [
        ("StorageLocationInvalid", "nowhere"),
        ("SharedAccessSignatureTokenInvalid", "https://a.example/c"),
        (
            "StorageLocationNotServiceSAS",
            "https://a.example/c?ss=b&sig=x",
        ),
        ("StorageLocationNotAzureBlob", "https://a.example/c/d?sig=x"),
        (
            "StorageLocationShouldNotAllowListAccess",
            "https://a.example/c?sp=wal&sig=x",
        ),
        (
            "StorageLocationAlreadyUsed",
            "https://contoso.blob.core.windows.net/used?sp=wa&sig=x",
        ),
        (
            "StorageLocationNeedsWriteAddPermissions",
            "https://a.example/c?sp=w&sig=x",
        ),
        (
            "StorageLocationShouldSupportAppendBlobs",
            "https://premium.example/c?sp=wa&sig=x",
        ),
        (
            "StorageLocationShouldNotAllowReadAccess",
            "https://a.example/c?sp=rwa&sig=x",
        ),
    ];
    assert_eq!(
        examples.len(),
        locations.len(),
        "an example of the slice is not tried"
    );
    for (name, location) in locations {
        let body = json!({ "storageLocation": location }).to_string();
        let reply = world.post(&export_path(), &token, &body).await;
        check("post", &export_path(), 400, &reply);
        same_error(&examples[name]["value"], &reply);
    }
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn goals_refusals_have_the_documented_words() {
    let world = World::with(|options| {
        options.behaviour.goals.unknown_organizations = vec![USER.to_owned()];
    })
    .await;
    let token = world.delegated().await;
    let slice = Slice::load();
    let unknown = format!(r#"{{"goalsOrganizationId":"{USER}","explorerViewId":"{VIEW}"}}"#);
    world.start_goals(&token).await;
    for (body, status, name) in [
        ("{}", 400, "invalid"),
        (r#"{"goalsOrganizationId":"contoso"}"#, 400, "invalid"),
        (unknown.as_str(), 404, "missing"),
        (goals_body().as_str(), 409, "pending"),
    ] {
        let reply = world.post(GOALS, &token, body).await;
        check("post", GOALS, status, &reply);
        same_error(
            &slice.examples("post", GOALS, status)[name]["value"],
            &reply,
        );
    }
    let filter = format!("{GOALS}?$filter=explorerViewId%20eq%20'{VIEW}'");
    let strange = format!("{GOALS}/j!neverIssued");
    let malformed = format!("{GOALS}/{VIEW}");
    for (path, status, name) in [
        (filter.as_str(), 400, "filter"),
        (strange.as_str(), 404, "missing"),
        (malformed.as_str(), 400, "key"),
    ] {
        let reply = world.get(path, &token).await;
        check("get", path, status, &reply);
        same_error(&slice.examples("get", path, status)[name]["value"], &reply);
    }
}

#[tokio::test]
async fn every_other_refusal_is_an_odata_error() {
    let world = World::with(|options| {
        options.behaviour.schedule.unknown_teams = vec![USER.to_owned()];
        options.faults = [429, 503, 504].map(throttled).to_vec();
    })
    .await;
    let token = world.application().await;
    let unknown = "/v1.0/dataPolicyOperations/00000000-0000-0000-0000-000000000000";
    let missing = Slice::load().examples("get", unknown, 400);
    let reply = world.get(unknown, &token).await;
    same_error(&missing["unknown"]["value"], &reply);
    let missing_team = format!("/v1.0/teams/{USER}/schedule");
    for (path, token, status) in [
        (unknown, token.as_str(), 400),
        (unknown, "", 401),
        (unknown, "forged", 401),
        ("/v1.0/dataPolicyOperations/not-a-guid", token.as_str(), 400),
        (missing_team.as_str(), token.as_str(), 404),
        ("/v1.0/teams/sales/schedule", token.as_str(), 400),
        (GOALS, token.as_str(), 403),
    ] {
        check("get", path, status, &world.get(path, token).await);
    }
    for status in [429, 503, 504] {
        let reply = world.start_export(&token, "c").await;
        check("post", &export_path(), status, &reply);
    }
    assert_eq!(world.simulator.unused_faults(), []);
}

#[tokio::test]
async fn inner_error_has_the_spelling_that_was_chosen() {
    for (spelling, camel, lower) in [
        (InnerError::Documented, false, true),
        (InnerError::Camel, true, false),
        (InnerError::Lower, false, true),
        (InnerError::Both, true, true),
    ] {
        let world = World::with(|options| options.behaviour.inner_error = spelling).await;
        let token = world.delegated().await;
        world.start_goals(&token).await;
        let error = world.start_goals(&token).await.json()["error"].clone();
        assert_eq!(error["innerError"].is_object(), camel, "{spelling:?}");
        assert_eq!(error["innererror"].is_object(), lower, "{spelling:?}");
    }
}

#[test]
fn oracle_complains_about_what_is_not_documented() {
    let slice = Slice::load();
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    for (status, body, complaint) in [
        (200, json!({ "status": "completed" }), "completed"),
        (200, json!({ "progress": "1" }), "number"),
        (200, json!({ "progress": 1, "state": "x" }), "state"),
        (404, json!({ "error": { "code": "x" } }), "message"),
        (302, json!({}), "never answers 302"),
    ] {
        let body = body.to_string();
        let complaints = slice.complaints(&Given {
            method: "get",
            path: "/v1.0/dataPolicyOperations/1",
            status,
            headers: &headers,
            body: body.as_bytes(),
        });
        let hit = complaints.iter().any(|text| text.contains(complaint));
        assert!(hit, "{body}: {complaints:?}");
    }
}

fn throttled(status: u16) -> Fault {
    Fault::new("export.start", Action::status_only(status))
}

/// The same code, message and inner code; dates and ids differ.
#[track_caller]
fn same_error(documented: &Value, reply: &Reply) {
    let given = reply.json();
    let inner = |error: &Value| {
        let spelled = ["innerError", "innererror"];
        let found = spelled
            .iter()
            .find(|name| error["error"][**name].is_object());
        found.map(|name| ((*name).to_owned(), error["error"][*name]["code"].clone()))
    };
    for key in ["code", "message"] {
        assert_eq!(given["error"][key], documented["error"][key]);
    }
    if let Some(expected) = inner(documented) {
        assert_eq!(inner(&given), Some(expected));
    }
}
