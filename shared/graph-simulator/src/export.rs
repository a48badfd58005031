//! `POST /users/{id}/exportPersonalData` and the resulting dataPolicyOperations.

use std::collections::HashMap;

use http::StatusCode;
use http::header::{HeaderName, LOCATION};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Call, Content, Failure, OPERATION_LOCATION, location};
use crate::backend::Backend;
use crate::behaviour::Progress;
use crate::blobs::Blobs;
use crate::instant::iso;
use crate::jobs::{Phase, Run, Start};
use crate::storage_location::Containers;

/// The exports that were accepted, oldest first.
#[derive(Default)]
pub(crate) struct Exports {
    containers: Containers,
    accepted: Vec<Export>,
    by_id: HashMap<String, usize>,
}

struct Export {
    run: usize,
    user: String,
    storage_location: String,
}

pub(crate) fn start(
    backend: &mut Backend,
    exports: &mut Exports,
    blobs: &Blobs,
    (call, user): (&Call<'_>, &str),
) -> Result<Answer, Failure> {
    if Uuid::try_parse(user).is_err() {
        return Err(Failure::bad_request(
            "InvalidInput",
            format!("The specified object-id: {user} in the request uri is an invalid Guid."),
        ));
    }
    let storage_location = call
        .payload
        .object()?
        .get("storageLocation")
        .and_then(Value::as_str);
    let behaviour = &backend.behaviour.export;
    exports.containers.claim(
        storage_location,
        &behaviour.premium_accounts,
        blobs,
        call.now,
    )?;

    let id = Uuid::new_v4().to_string();
    let start = Start {
        operation: "user.exportPersonalData",
        id: id.clone(),
        key: user.to_owned(),
        outcome: behaviour.outcome,
        seconds: backend.durations.export_seconds,
        now: call.now,
        client_request_id: call.client_request_id,
    };
    let run = backend
        .jobs
        .start(start, &backend.durations, &backend.behaviour);
    exports.by_id.insert(id.clone(), exports.accepted.len());
    exports.accepted.push(Export {
        run,
        user: user.to_owned(),
        storage_location: storage_location.unwrap_or_default().to_owned(),
    });

    let path = format!("/dataPolicyOperations/{id}");
    let url = location(call, &backend.behaviour, &path, behaviour.location_quoted);
    let mut answer = Answer::new(StatusCode::ACCEPTED, Content::Empty).job(&id);
    answer.set(LOCATION, &url);
    answer.set(OPERATION_LOCATION, &url);
    answer.set_retry_after(behaviour.retry_after_start.as_deref());
    if behaviour.operation_id_as_request_id {
        answer.set(HeaderName::from_static("request-id"), &id);
    }
    Ok(answer)
}

/// Answers a poll; an unknown id gets 400, not 404.
pub(crate) fn poll(
    backend: &Backend,
    exports: &Exports,
    call: &Call<'_>,
    id: &str,
) -> Result<Answer, Failure> {
    let Ok(guid) = Uuid::try_parse(id) else {
        return Err(Failure::bad_request(
            "InvalidObjectIdFormat",
            "The format of the object id is invalid.",
        ));
    };
    let index = exports.by_id.get(&guid.to_string());
    let Some(export) = index.map(|index| &exports.accepted[*index]) else {
        return Err(Failure::bad_request(
            "OperationNotFound",
            "Cannot find any operations with the input Id.",
        ));
    };
    let run = backend.jobs.run(export.run);
    let mut body = entity(backend, export, call.now);
    body["@odata.context"] = format!(
        "{}/{}/$metadata#dataPolicyOperations/$entity",
        call.origin,
        call.version.segment()
    )
    .into();
    let mut answer = Answer::json(StatusCode::OK, body).job(&run.id);
    if !run.phase(call.now).ended() {
        answer.set_retry_after(backend.behaviour.export.retry_after_poll.as_deref());
    }
    Ok(answer)
}

pub(crate) fn list(backend: &Backend, exports: &Exports, call: &Call<'_>) -> Answer {
    let exports = exports.accepted.iter();
    let value: Vec<Value> = exports
        .map(|export| entity(backend, export, call.now))
        .collect();
    Answer::json(StatusCode::OK, json!({ "value": value }))
}

fn entity(backend: &Backend, export: &Export, now: Timestamp) -> Value {
    let behaviour = &backend.behaviour.export;
    let run = backend.jobs.run(export.run);
    let phase = run.phase(now);
    json!({
        "id": run.id,
        "completedDateTime": phase.ended().then(|| iso(run.ends_at)),
        "progress": progress(behaviour.progress, run, now),
        "status": status(&phase),
        "storageLocation": (!behaviour.null_storage_location).then_some(&export.storage_location),
        "submittedDateTime": iso(run.created_at),
        "userId": if behaviour.empty_user_id { "" } else { &export.user },
    })
}

/// Returns the status in this resource's enum, which has `complete` where the other operations have `succeeded`.
fn status(phase: &Phase) -> &str {
    match phase {
        Phase::Succeeded => "complete",
        Phase::NotStarted | Phase::Running | Phase::Failed | Phase::Said(_) => phase.as_str(),
    }
}

fn progress(progress: Progress, run: &Run, now: Timestamp) -> Value {
    let fraction = (run.fraction(now) * 100.0).floor() / 100.0;
    let percent = (run.fraction(now) * 100.0).floor();
    match progress {
        Progress::Percent => percent.into(),
        Progress::Fraction => fraction.into(),
        Progress::PercentText => percent.to_string().into(),
        Progress::FractionText => fraction.to_string().into(),
    }
}
