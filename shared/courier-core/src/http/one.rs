//! The calls about one operation: read it, tell its history, cancel, erase or acknowledge it.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::body::{self, POST_TYPES};
use super::prefer::{Preferences, Times, await_end};
use super::session::Session;
use super::{conditional, insert, json_response};
use crate::catalogue::schema::Violation;
use crate::http::problem::Problem;
use crate::lifecycle::Event;
use crate::operation::{Outcome, Record};
use crate::strict_json;

/// Longest note of an acknowledgement, in characters.
const MAX_NOTE_CHARS: usize = 1_000;

/// Answers `GET /v1/operations/{id}`, with `Prefer: wait` when the operation has ended or the wait is over.
pub(super) async fn read(
    session: Session<'_>,
    record: Record,
    request: &Request<Bytes>,
    times: Times,
) -> Result<Response<Bytes>, Problem> {
    let preferences = Preferences {
        respond_async: false,
        ..Preferences::read(request.headers())
    };
    let record = match preferences.wait {
        Some(wait) => await_end(session.app, record, wait, times).await,
        None => record,
    };
    let mut response = session.state(&record);
    let etag = conditional::etag(response.body());
    insert(response.headers_mut(), "etag", &etag);
    if let Some(applied) = preferences.applied() {
        insert(response.headers_mut(), "preference-applied", &applied);
    }
    Ok(conditional::answer(request, response))
}

pub(super) fn history(record: &Record) -> Response<Bytes> {
    json_response(StatusCode::OK, json!({ "history": record.history }))
}

pub(super) async fn cancel(
    session: Session<'_>,
    record: Record,
) -> Result<Response<Bytes>, Problem> {
    let record = session.change(record, Event::Cancelled).await?;
    if record.state.outcome() != Some(Outcome::Cancelled) {
        return Err(Problem::Conflict {
            rule: "the operation has already ended",
        });
    }
    Ok(session.state(&record))
}

/// Erases what a closed operation says about people; a repeat of its request is still known.
pub(super) async fn erase(
    session: Session<'_>,
    record: Record,
) -> Result<Response<Bytes>, Problem> {
    let record = session.change(record, Event::Erased).await?;
    if record.erased_at.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation is open, or its completion is still being delivered: cancel it, or wait",
        });
    }
    Ok(session.state(&record))
}

/// Answers `POST /v1/operations/{id}/acknowledge`: a person has looked into an `unknown` outcome.
pub(super) async fn acknowledge(
    session: Session<'_>,
    record: Record,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    body::check(request, POST_TYPES)?;
    let note = note(strict_json::parse(request.body()).map_err(Problem::BadJson)?)?;
    if record.state.outcome() != Some(Outcome::Unknown) || record.erased_at.is_some() {
        return Err(Problem::Conflict {
            rule: "only an operation that ended as unknown is acknowledged",
        });
    }
    let by = session.who.label();
    let event = Event::Acknowledged { by, note };
    let record = session.change(record, event).await?;
    Ok(session.state(&record))
}

/// Reads the one field of an acknowledgement.
fn note(body: Value) -> Result<String, Problem> {
    let invalid = |pointer: &str, rule: &str| {
        Problem::InvalidRequest(vec![Violation::new(pointer.to_owned(), rule)])
    };
    let Value::Object(fields) = body else {
        return Err(invalid("", "must be an object"));
    };
    if let Some(name) = fields.keys().find(|name| *name != "note") {
        return Err(invalid(
            &strict_json::child("", name),
            "is not a known field",
        ));
    }
    let note = fields.get("note").and_then(Value::as_str);
    let note = note.ok_or_else(|| invalid("/note", "is required, as a string: what was found"))?;
    let length = note.trim().chars().count();
    let is_plain = !note
        .chars()
        .any(|letter| letter.is_control() && letter != '\n');
    if length == 0 || length > MAX_NOTE_CHARS || !is_plain {
        let rule = "must have 1 to 1000 characters, none of them a control but line feeds";
        return Err(invalid("/note", rule));
    }
    Ok(note.trim().to_owned())
}
