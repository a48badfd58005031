//! `PUT` and `GET /teams/{id}/schedule`: a resource that is provisioned in the background.

use std::collections::HashMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Call, Failure};
use crate::backend::Backend;
use crate::behaviour::NotProvisioned;
use crate::instant;
use crate::jobs::{Phase, Start};
use crate::tokens::Kind;

/// The schedule of each team that ever had one.
#[derive(Default)]
pub(crate) struct Schedules {
    by_team: HashMap<String, Schedule>,
}

struct Schedule {
    run: usize,
    settings: Map<String, Value>,
}

/// Replaces a schedule, or starts provisioning one; a PUT while provisioning is in progress starts nothing new.
pub(crate) fn start(
    backend: &mut Backend,
    schedules: &mut Schedules,
    call: &Call<'_>,
    token: Kind,
    team: &str,
) -> Result<Answer, Failure> {
    let team = admit(backend, call, token, team)?;
    let settings = settings(call)?;
    let known = schedules.by_team.get_mut(&team);
    let current = known.filter(|schedule| {
        // A new PUT is the documented remedy for a failed provisioning.
        let phase = backend.jobs.run(schedule.run).phase(call.now);
        !phase.ended() || phase.succeeded()
    });
    match current {
        Some(schedule) => schedule.settings = settings,
        None => {
            let start = Start {
                operation: "team.schedule",
                id: Uuid::new_v4().to_string(),
                key: team.clone(),
                outcome: backend.behaviour.schedule.outcome,
                seconds: backend.durations.schedule_seconds,
                now: call.now,
                client_request_id: call.client_request_id,
            };
            let run = backend
                .jobs
                .start(start, &backend.durations, &backend.behaviour);
            schedules
                .by_team
                .insert(team.clone(), Schedule { run, settings });
        }
    }
    let mut answer = found(backend, call.now, &team, &schedules.by_team[&team]);
    answer.set_retry_after(backend.behaviour.schedule.retry_after_start.as_deref());
    Ok(answer)
}

pub(crate) fn poll(
    backend: &Backend,
    schedules: &Schedules,
    call: &Call<'_>,
    token: Kind,
    team: &str,
) -> Result<Answer, Failure> {
    let team = admit(backend, call, token, team)?;
    if let Some(schedule) = schedules.by_team.get(&team) {
        return Ok(found(backend, call.now, &team, schedule));
    }
    match backend.behaviour.schedule.not_provisioned {
        NotProvisioned::NotFound => Err(not_found()),
        NotProvisioned::NotStarted => {
            let word = backend.behaviour.schedule.casing.spell("NotStarted");
            let body = json!({
                "id": team, "enabled": false, "provisionStatus": word, "provisionStatusCode": null,
            });
            Ok(Answer::json(StatusCode::OK, body))
        }
    }
}

/// Checks the team and whom the application acts for; returns the team's id in its usual form.
fn admit(backend: &Backend, call: &Call<'_>, token: Kind, team: &str) -> Result<String, Failure> {
    let acts_as = call
        .headers
        .get("ms-app-acts-as")
        .and_then(|value| value.to_str().ok());
    let person = acts_as.is_some_and(|text| Uuid::try_parse(text).is_ok());
    if backend.behaviour.schedule.require_acts_as && token == Kind::Application && !person {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "MS-APP-ACTS-AS header needs to be set for application context requests.",
        ));
    }
    let Ok(team) = Uuid::try_parse(team) else {
        return Err(Failure::bad_request(
            "BadRequest",
            "teamId needs to be a valid GUID.",
        ));
    };
    let team = team.to_string();
    let unknown = &backend.behaviour.schedule.unknown_teams;
    if unknown.iter().any(|id| id.eq_ignore_ascii_case(&team)) {
        return Err(not_found());
    }
    Ok(team)
}

fn settings(call: &Call<'_>) -> Result<Map<String, Value>, Failure> {
    let members = call.payload.object()?;
    let enabled = members.get("enabled").is_some_and(Value::is_boolean);
    let time_zone = members.get("timeZone").is_some_and(Value::is_string);
    if !enabled || !time_zone {
        let missing = if enabled { "timeZone" } else { "enabled" };
        return Err(Failure::bad_request(
            "BadRequest",
            format!("The property '{missing}' is required."),
        ));
    }
    let mut settings = members.clone();
    settings.retain(|name, _| !name.starts_with("provisionStatus") && name != "id");
    Ok(settings)
}

fn found(backend: &Backend, now: Timestamp, team: &str, schedule: &Schedule) -> Answer {
    let behaviour = &backend.behaviour.schedule;
    let run = backend.jobs.run(schedule.run);
    let phase = run.phase(now);
    let word = match &phase {
        Phase::NotStarted => behaviour.casing.spell("NotStarted"),
        Phase::Running => behaviour.casing.spell("Running"),
        Phase::Succeeded => behaviour.casing.spell("Completed"),
        Phase::Failed => behaviour.casing.spell("Failed"),
        Phase::Said(word) => word.clone(),
    };
    let failed = phase.ended() && !phase.succeeded();
    let mut body = json!({
        "id": team,
        "timeClockEnabled": false,
        "openShiftsEnabled": true,
        "swapShiftsRequestsEnabled": true,
        "offerShiftRequestsEnabled": true,
        "timeOffRequestsEnabled": true,
        "startDayOfWeek": behaviour.day_casing.spell("Sunday"),
        "workforceIntegrationIds": [],
    });
    for (name, value) in &schedule.settings {
        body[name] = value.clone();
    }
    body["provisionStatus"] = word.into();
    body["provisionStatusCode"] = failed
        .then_some(behaviour.provision_status_code.as_str())
        .into();
    let lag = backend.durations.enabled_lag_seconds;
    if lag > 0.0 && now < instant::after(run.ends_at, lag) {
        body["enabled"] = false.into();
    }
    let mut answer = Answer::json(StatusCode::OK, body).job(&run.id);
    if !phase.ended() {
        answer.set_retry_after(behaviour.retry_after_poll.as_deref());
    }
    answer
}

/// Returns the 404 of a missing schedule: the service behind Graph puts its own error, as text, into Graph's message.
fn not_found() -> Failure {
    let nested = json!({ "error": {
        "code": "NotFound",
        "message": "Sorry, the team was not found, or you may not have access to it.",
        "details": [],
        "innererror": { "code": "TeamNotFound" },
    }});
    Failure::new(StatusCode::NOT_FOUND, "NotFound", nested.to_string())
}
