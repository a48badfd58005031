//! `/beta/employeeExperience/goals/exportJobs`: one pending export per organization and view.

use std::collections::HashMap;

use bytes::Bytes;
use http::StatusCode;
use http::header::LOCATION;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Call, Content, Failure, location};
use crate::backend::Backend;
use crate::behaviour::Timestamps;
use crate::instant;
use crate::jobs::Start;

/// The goals exports that were started, oldest first.
#[derive(Default)]
pub(crate) struct Goals {
    started: Vec<GoalsExport>,
    by_key: HashMap<String, usize>,
    latest: HashMap<(String, String), usize>,
}

struct GoalsExport {
    run: usize,
    /// The `id` of the body, which differs from the key in the Location.
    id: String,
    organization: String,
    view: String,
    expires_at: Timestamp,
}

pub(crate) fn start(
    backend: &mut Backend,
    goals: &mut Goals,
    call: &Call<'_>,
) -> Result<Answer, Failure> {
    let members = call.payload.object()?;
    let Some(organization) = guid(members, "goalsOrganizationId") else {
        return Err(Failure::bad_request(
            "badRequest",
            "'GoalsOrganizationId' must be specified in 'Export Job', and it should be a valid GUID.",
        )
        .inner("invalidGoalsOrganizationId"));
    };
    let Some(view) = guid(members, "explorerViewId") else {
        return Err(Failure::bad_request(
            "badRequest",
            "'ExplorerViewId' must be specified in 'Export Job', and it should be a valid GUID.",
        )
        .inner("invalidExplorerViewId"));
    };
    let behaviour = &backend.behaviour.goals;
    let unknown = &behaviour.unknown_organizations;
    if unknown
        .iter()
        .any(|id| id.eq_ignore_ascii_case(&organization))
    {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "notFound",
            "Goals organization not found",
        )
        .inner("goalsOrganizationIdNotFound"));
    }
    let pair = (organization, view);
    if let Some(index) = goals.latest.get(&pair) {
        let run = backend.jobs.run(goals.started[*index].run);
        if !run.phase(call.now).ended() {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                "notAllowed",
                "Another export job is still active or waiting to be executed",
            )
            .inner("exportJobAlreadyExists")
            .pending(&run.id, monitor(backend, call, &run.id)));
        }
    }
    Ok(create(backend, goals, call, pair))
}

fn create(
    backend: &mut Backend,
    goals: &mut Goals,
    call: &Call<'_>,
    (organization, view): (String, String),
) -> Answer {
    let behaviour = &backend.behaviour.goals;
    let key = key();
    let start = Start {
        operation: "goals.exportJob",
        id: key.clone(),
        key: format!("{organization}/{view}"),
        outcome: behaviour.outcome,
        seconds: backend.durations.goals_seconds,
        now: call.now,
        client_request_id: call.client_request_id,
    };
    let run = backend
        .jobs
        .start(start, &backend.durations, &backend.behaviour);
    let id = Uuid::new_v4().to_string();
    let body = json!({
        "@odata.type": "#microsoft.graph.goalsExportJob",
        "id": id,
        "createdDateTime": timestamp(behaviour.timestamps, call.now),
        "status": "notStarted",
    });
    let index = goals.started.len();
    goals.by_key.insert(key.clone(), index);
    goals
        .latest
        .insert((organization.clone(), view.clone()), index);
    goals.started.push(GoalsExport {
        run,
        id,
        organization,
        view,
        expires_at: instant::after(call.now, backend.durations.goals_kept_seconds),
    });
    let mut answer = Answer::json(StatusCode::CREATED, body).job(&key);
    answer.set(LOCATION, &monitor(backend, call, &key));
    answer.set_retry_after(backend.behaviour.goals.retry_after_start.as_deref());
    answer
}

pub(crate) fn poll(
    backend: &Backend,
    goals: &Goals,
    call: &Call<'_>,
    key: &str,
) -> Result<Answer, Failure> {
    let export = find(goals, call.now, key)?;
    let behaviour = &backend.behaviour.goals;
    let entity = entity(backend, call, export);
    let body = if behaviour.envelope {
        json!({ "value": entity })
    } else {
        entity
    };
    let mut answer = Answer::json(StatusCode::OK, body).job(key);
    if !backend.jobs.run(export.run).phase(call.now).ended() {
        answer.set_retry_after(behaviour.retry_after_poll.as_deref());
    }
    Ok(answer)
}

/// Returns the export itself, which exists only if the job succeeded.
pub(crate) fn content(
    backend: &Backend,
    goals: &Goals,
    call: &Call<'_>,
    key: &str,
) -> Result<Answer, Failure> {
    let export = find(goals, call.now, key)?;
    if !backend.jobs.run(export.run).phase(call.now).succeeded() {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "notFound",
            "The content of the specified export job is not available",
        )
        .inner("unknown"));
    }
    let text = "Title,Owner,Status,Progress\r\nAnswer every request,Ada,On track,80\r\n";
    let content = Content::Text {
        media_type: "text/csv",
        text: Bytes::from_static(text.as_bytes()),
    };
    Ok(Answer::new(StatusCode::OK, content).job(key))
}

/// Lists the collection; only `goalsOrganizationId` can be filtered on.
pub(crate) fn list(backend: &Backend, goals: &Goals, call: &Call<'_>) -> Result<Answer, Failure> {
    let mut parameters = url::form_urlencoded::parse(call.query.as_bytes());
    let filter = parameters.find_map(|(name, value)| (name == "$filter").then_some(value));
    let comparisons: Vec<(&str, &str)> = filter.iter().flat_map(|text| comparisons(text)).collect();
    let invalid: Vec<&str> = comparisons
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| *key != "goalsOrganizationId")
        .collect();
    if !invalid.is_empty() {
        let message = format!("Invalid filter keys found: {}", invalid.join(", "));
        return Err(Failure::bad_request("badRequest", message).inner("unknown"));
    }
    let wanted = |export: &&GoalsExport| {
        let mut values = comparisons.iter().map(|(_, value)| value);
        values.all(|value| export.organization.eq_ignore_ascii_case(value))
    };
    let exports = goals.started.iter().filter(wanted);
    let value: Vec<Value> = exports
        .map(|export| entity(backend, call, export))
        .collect();
    Ok(Answer::json(StatusCode::OK, json!({ "value": value })))
}

fn find<'a>(goals: &'a Goals, now: Timestamp, key: &str) -> Result<&'a GoalsExport, Failure> {
    if !key.starts_with("j!") {
        return Err(
            Failure::bad_request("badRequest", "Invalid JobKey specified").inner("unknown"),
        );
    }
    let export = goals.by_key.get(key).map(|index| &goals.started[*index]);
    export
        .filter(|export| now < export.expires_at)
        .ok_or_else(|| {
            Failure::new(
                StatusCode::NOT_FOUND,
                "notFound",
                "Specified export job not found",
            )
            .inner("exportJobNotFound")
        })
}

fn entity(backend: &Backend, call: &Call<'_>, export: &GoalsExport) -> Value {
    let spelling = backend.behaviour.goals.timestamps;
    let run = backend.jobs.run(export.run);
    let phase = run.phase(call.now);
    let last_action = if phase.ended() { run.ends_at } else { call.now };
    let mut entity = json!({
        "@odata.type": "#microsoft.graph.goalsExportJob",
        "id": export.id,
        "createdDateTime": timestamp(spelling, run.created_at),
        "lastActionDateTime": timestamp(spelling, last_action),
        "status": phase.as_str(),
        "goalsOrganizationId": export.organization,
        "explorerViewId": export.view,
        "expirationDateTime": timestamp(spelling, export.expires_at),
    });
    if phase.succeeded() {
        let content = format!("{}/content", path(&run.id));
        entity["resourceLocation"] = location(call, &backend.behaviour, &content, false).into();
    }
    entity
}

fn monitor(backend: &Backend, call: &Call<'_>, key: &str) -> String {
    let quoted = backend.behaviour.goals.location_quoted;
    location(call, &backend.behaviour, &path(key), quoted)
}

/// Returns the path in lower case, as in every documented Location and unlike the path that a client calls.
fn path(key: &str) -> String {
    format!("/employeeexperience/goals/exportJobs/{key}")
}

/// Returns a new key: `j!` and 43 characters, on average one in sixteen of them a dash or an underscore.
fn key() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    let bytes = random.iter().flat_map(Uuid::as_bytes).take(43);
    let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
    "j!".chars().chain(letters).collect()
}

fn timestamp(spelling: Timestamps, at: Timestamp) -> String {
    match spelling {
        Timestamps::Malformed => instant::hyphenated(at),
        Timestamps::Iso => instant::iso(at),
    }
}

fn guid(members: &Map<String, Value>, name: &str) -> Option<String> {
    let guid = Uuid::try_parse(members.get(name)?.as_str()?).ok()?;
    Some(guid.to_string())
}

/// Yields the `key eq 'value'` parts of a filter.
fn comparisons(filter: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = filter.split(" and ");
    parts.map(|part| match part.trim().split_once(' ') {
        Some((key, rest)) => {
            let value = rest.trim().strip_prefix("eq").unwrap_or(rest);
            (key, value.trim().trim_matches('\''))
        }
        None => (part.trim(), ""),
    })
}
