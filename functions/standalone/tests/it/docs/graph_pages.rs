//! The examples of Microsoft Graph's own documentation, word for word: each request is accepted and sent unchanged, each
//! answer ends as the page says. Only placeholders are replaced: by GUIDs where Graph demands one, and by a container.
//!
//! Pages: `goals-post-exportjobs` and `team-put-schedule` (beta, as of September 2026), `user-exportpersonaldata` (v1.0),
//! below <https://learn.microsoft.com/graph/api/>.

use courier_core::catalogue::Catalogue;
use courier_core::graph::error;
use courier_core::graph::verdict::{self, Answer, GraphReply, StartVerdict, Subject};
use courier_core::operation::OperationId;
use courier_testkit::sample::sample_record;
use courier_testkit::world::World;
use graph_simulator::{Action, Fault, StatusAction};
use serde_json::{Value, json};
use url::Url;

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";
const GOALS_LOCATION: &str = "\"https://graph.microsoft.com/beta/employeeexperience/goals/exportJobs/j!uJJZyGd87hGFgvZV8bl-GlCBmj39kL1Cl3clung9SgU\"";
const GOALS_CREATED: &str = r##"{
    "@odata.type": "#microsoft.graph.goalsExportJob",
    "id": "9eb0bfa0-eaa1-b225-1f83-54ae3e711753",
    "createdDateTime": "String (timestamp)",
    "status": "String"
}"##;
const GOALS_CONFLICT: &str = r#"{
    "error":
    {
        "code": "notAllowed",
        "message": "Another export job is still active or waiting to be executed",
        "target": "j!uJJZyGd87hGFgvZV8bl-GlCBmj39kL1Cl3clung9SgU",
        "innererror":
        {
            "code": "exportJobAlreadyExists",
            "date": "String (timestamp)",
            "request-id": "String",
            "client-request-id": "String"
        }
    }
}"#;
const GOALS_NOT_FOUND: &str = r#"{
    "error": {
        "code": "notFound",
        "message": "Goals organization not found",
        "innerError": {
            "code": "goalsOrganizationIdNotFound",
            "date": "String (timestamp)",
            "request-id": "String",
            "client-request-id": "String"
        }
    }
}"#;
const GOALS_INVALID: &str = r#"{
    "error": {
        "code": "badRequest",
        "message": "'GoalsOrganizationId' must be specified in 'Export Job', and it should be a valid GUID.",
        "innerError": {
            "code": "invalidGoalsOrganizationId",
            "date": "String (timestamp)",
            "request-id": "String",
            "client-request-id": "String"
        }
    }
}"#;
const SCHEDULE_1: &str = r#"{
  "enabled": true,
  "timeZone": "America/Chicago"
}"#;
const SCHEDULE_1_ANSWER: &str = r#"{
  "id": "833fc4df-c88b-4398-992f-d8afcfe41df2",
  "enabled": true,
  "timeZone": "America/Chicago",
  "provisionStatus": "Completed",
  "provisionStatusCode": null,
  "timeClockEnabled": true,
  "openShiftsEnabled": true,
  "swapShiftsRequestsEnabled": true,
  "offerShiftRequestsEnabled": true,
  "timeOffRequestsEnabled": true,
  "startDayOfWeek": "Sunday",
  "activitiesIncludedWhenCopyingShiftsEnabled": true,
  "isCrossLocationShiftsEnabled": true,
  "isCrossLocationShiftRequestApprovalRequired": true
}"#;
/// The second example's request; its answer is the same text.
const SCHEDULE_2: &str = r#"{
  "enabled": true,
  "timeZone": "America/Chicago",
  "provisionStatus": "Completed",
  "provisionStatusCode": null,
  "openShiftsEnabled": true,
  "swapShiftsRequestsEnabled": true,
  "offerShiftRequestsEnabled": true,
  "timeOffRequestsEnabled": true,
  "startDayOfWeek": "Tuesday",
  "activitiesIncludedWhenCopyingShiftsEnabled": true,
  "isCrossLocationShiftsEnabled": true,
  "isCrossLocationShiftRequestApprovalRequired": true,
  "timeClockEnabled": true,
  "timeClockSettings": {
    "approvedLocation": {
      "altitude": 1024.13,
      "latitude": 26.13246,
      "longitude": 24.34616
    }
  }
}"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn answer(status: u16, body: &str, processed: bool) -> Action {
    Action::Status(Box::new(StatusAction {
        status,
        body: Some(body.to_owned()),
        processed,
        ..StatusAction::default()
    }))
}

/// The verdict on an answer to a start, as it came from Graph itself.
fn verdict_of(operation: &str, status: u16, location: Option<&str>, body: &str) -> StartVerdict {
    let reply = GraphReply::Answer(Box::new(Answer {
        status,
        locations: location.map(str::to_owned).into_iter().collect(),
        body: serde_json::from_str(body).ok(),
        error: error::parse(body.as_bytes()).filter(|_| status >= 400),
        ..Answer::default()
    }));
    let operation = Catalogue::shipped().find(operation).unwrap();
    let graph = Url::parse("https://graph.microsoft.com/").unwrap();
    let url = format!("https://graph.microsoft.com/v1.0/teams/{TEAM}/schedule");
    let record = sample_record(&OperationId::unique(uuid::Uuid::from_u128(1)));
    let subject = Subject {
        operation,
        record: &record,
        graph: &graph,
    };
    verdict::classify_start(&reply, subject, &url, record.created_at)
}

fn schedule(world: &World, text: &str) -> Value {
    json!({
        "operation": "team.schedule",
        "parameters": { "teamId": TEAM, "schedule": parsed(text) },
        "callback": world.callback(),
    })
}

/// Sends the schedule of an example; Graph answers as the example does. Returns the ended operation.
async fn schedule_example(request: &str, response: &str) -> Value {
    let world = World::new().await;
    let action = answer(200, response, true);
    world.simulator.script(Fault::new("schedule.start", action));
    let accepted = world.post(&schedule(&world, request)).await;
    assert!([200, 202].contains(&accepted.status), "{accepted:?}");
    let sent = &world.simulator.calls("schedule.start")[0];
    assert_eq!(sent.method, "PUT");
    assert_eq!(sent.path, format!("/v1.0/teams/{TEAM}/schedule"));
    // The order of the fields too: the text is sent as it was written, but for white space.
    let body = sent.body.as_ref().unwrap().to_string();
    assert_eq!(body, parsed(request).to_string());
    world.closed(&accepted.id()).await
}

#[tokio::test]
async fn schedule_example_1_is_sent_unchanged_and_ends_as_completed() {
    let ended = schedule_example(SCHEDULE_1, SCHEDULE_1_ANSWER).await;
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(ended["graph"]["status"], "Completed");
    assert_eq!(
        ended["result"]["scheduleId"],
        parsed(SCHEDULE_1_ANSWER)["id"]
    );
}

#[tokio::test]
async fn schedule_example_2_is_sent_unchanged_and_ends_as_completed() {
    let ended = schedule_example(SCHEDULE_2, SCHEDULE_2).await;
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(ended["result"]["timeZone"], "America/Chicago");
}

#[tokio::test]
async fn a_schedule_that_is_switched_off_ends_when_graph_says_so() {
    let world = World::new().await;
    let request = r#"{ "enabled": false, "timeZone": "America/Chicago" }"#;
    let accepted = world.post(&schedule(&world, request)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let ended = world.closed(&accepted.id()).await;
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(ended["result"]["enabled"], false);
}

#[tokio::test]
async fn goals_example_1_is_sent_unchanged_and_its_location_is_followed() {
    let world = World::new().await;
    let request = world.goals();
    let accepted = world.post(&request).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let sent = &world.simulator.calls("goals.start")[0];
    assert_eq!(sent.path, "/beta/employeeExperience/goals/exportJobs");
    assert_eq!(sent.status, Some(201));
    assert_eq!(sent.body.as_ref(), Some(&request["parameters"]));
    let ended = world.closed(&accepted.id()).await;
    assert_eq!(ended["status"], "succeeded");

    let verdict = verdict_of("goals.exportJob", 201, Some(GOALS_LOCATION), GOALS_CREATED);
    let StartVerdict::Started(started) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(started.monitor, GOALS_LOCATION.trim_matches('"'));
    assert_eq!((started.adopted, started.note), (false, None));
}

#[tokio::test]
async fn goals_example_2_finds_the_running_job_and_follows_it() {
    let world = World::new().await;
    let first = world.post(&world.goals()).await;
    let mut again = world.goals();
    again["reference"] = json!("again");
    let second = world.post(&again).await;
    assert_eq!(world.simulator.calls("goals.start")[1].status, Some(409));
    let ended = world.closed(&second.id()).await;
    assert_eq!(
        (&ended["status"], &ended["adopted"]),
        (&json!("succeeded"), &json!(true))
    );
    assert_eq!(world.simulator.jobs().len(), 1);
    world.closed(&first.id()).await;

    // The page's answer has the job in its Location, and once more in `error.target`.
    for location in [Some(GOALS_LOCATION), None] {
        let verdict = verdict_of("goals.exportJob", 409, location, GOALS_CONFLICT);
        let StartVerdict::Started(started) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(started.monitor, GOALS_LOCATION.trim_matches('"'));
        assert!(started.adopted);
    }
}

/// A refusal is answered 422 with Graph's words, and the operation ends as `start_rejected`.
async fn refused(status: u16, body: &str, code: &str) {
    let world = World::new().await;
    let action = answer(status, body, false);
    world.simulator.script(Fault::new("goals.start", action));
    let answer = world.post(&world.goals()).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (422, "start-rejected"),
        "{answer:?}"
    );
    assert_eq!(answer.body["graph"]["code"], code);
    assert_eq!(
        answer.body["graph"]["message"],
        parsed(body)["error"]["message"]
    );
    let ended = world.closed(&answer.id()).await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&json!("failed"), &json!("start_rejected"))
    );
    assert_eq!(ended["error"]["httpStatus"], status);
    assert_eq!(world.simulator.jobs().len(), 0);
}

#[tokio::test]
async fn goals_example_3_ends_as_rejected_with_graphs_code() {
    refused(404, GOALS_NOT_FOUND, "goalsOrganizationIdNotFound").await;
}

#[tokio::test]
async fn goals_example_4_ends_as_rejected_with_graphs_code() {
    refused(400, GOALS_INVALID, "invalidGoalsOrganizationId").await;
}

#[tokio::test]
async fn the_exports_example_is_sent_unchanged_and_polled_after_its_retry_after() {
    let world = World::new().await;
    let request = world.export("dsar");
    let accepted = world.post(&request).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let sent = &world.simulator.calls("export.start")[0];
    let user = request["parameters"]["userId"].as_str().unwrap();
    assert_eq!(sent.path, format!("/v1.0/users/{user}/exportPersonalData"));
    let location = &request["parameters"]["storageLocation"];
    assert_eq!(sent.body, Some(json!({ "storageLocation": location })));
    assert_eq!(
        (sent.status, &sent.retry_after),
        (Some(202), &Some("60".to_owned()))
    );
    let ended = world.closed(&accepted.id()).await;
    assert_eq!(ended["status"], "succeeded");

    let location = "https://graph.microsoft.com/beta/dataPolicyOperations/d007e3da-cd9b-4b02-8d66-422403c53e3f";
    let verdict = verdict_of("user.exportPersonalData", 202, Some(location), "");
    let StartVerdict::Started(started) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(started.monitor, location);
}
