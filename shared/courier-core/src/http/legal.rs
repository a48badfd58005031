//! `POST /v1/operations/{id}/legal/extend`, `pause` and `resume`: what people do to the legal clock of an operation.

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::body::{self, POST_TYPES};
use super::request::rfc3339;
use super::session::Session;
use crate::catalogue::schema::Violation;
use crate::http::problem::Problem;
use crate::legal::{Act, ActError, Extension, Span};
use crate::lifecycle::{Event, LegalChange};
use crate::operation::Record;
use crate::strict_json;

/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;

/// Notes that the person was told of an extension.
pub(super) async fn extend(
    session: Session<'_>,
    record: Record,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let mut errors = Vec::new();
    let fields = fields(
        request,
        &["reason", "toldAt", "months", "days"],
        &mut errors,
    )?;
    let reason = reason(&fields, &mut errors);
    let told_at = time(&fields, "toldAt", &mut errors);
    if !fields.contains_key("toldAt") {
        errors.push(Violation::new(
            "/toldAt",
            "is required: when the person was told",
        ));
    }
    let by = span(&fields, &mut errors);
    let told_at = told_at.unwrap_or_default();
    let act = Act::Extend(Extension {
        reason,
        told_at,
        by,
    });
    change(session, record, act, errors).await
}

/// Stops the clock.
pub(super) async fn pause(
    session: Session<'_>,
    record: Record,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let mut errors = Vec::new();
    let fields = fields(request, &["reason", "at"], &mut errors)?;
    let reason = reason(&fields, &mut errors);
    let at = time(&fields, "at", &mut errors).unwrap_or_else(|| session.app.now());
    change(session, record, Act::Pause { reason, at }, errors).await
}

/// Lets the clock go on. The body may be left out.
pub(super) async fn resume(
    session: Session<'_>,
    record: Record,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let mut errors = Vec::new();
    let fields = match request.body().is_empty() {
        true => Map::new(),
        false => fields(request, &["at"], &mut errors)?,
    };
    let at = time(&fields, "at", &mut errors).unwrap_or_else(|| session.app.now());
    change(session, record, Act::Resume { at }, errors).await
}

/// Does an act to the clock of an operation without an outcome, unless the request has mistakes.
async fn change(
    session: Session<'_>,
    record: Record,
    act: Act,
    errors: Vec<Violation>,
) -> Result<Response<Bytes>, Problem> {
    if !errors.is_empty() {
        return Err(Problem::InvalidRequest(errors));
    }
    let conflict = |rule| Problem::Conflict { rule };
    let clock = record
        .legal
        .as_ref()
        .ok_or_else(|| conflict("the operation has no legal clock"))?;
    if record.ended_at.is_some() {
        return Err(conflict(
            "the operation has ended, and its legal clock stands still",
        ));
    }
    let app = session.app;
    let changed = act.on(clock, &app.config.calendars, app.now());
    let (clock, detail) = changed.map_err(|error| match error {
        ActError::Invalid { field, rule } => {
            Problem::InvalidRequest(vec![Violation::new(strict_json::child("", field), rule)])
        }
        ActError::Conflict(rule) => conflict(rule),
    })?;
    let event = Event::LegalClockChanged(Box::new(LegalChange {
        clock: clock.clone(),
        act: act.event(),
        detail,
    }));
    let record = session.change(record, event).await?;
    let is_done = record.legal.as_ref().is_some_and(|now| {
        (now.version, now.due_at, now.paused_at) == (clock.version, clock.due_at, clock.paused_at)
    });
    if !is_done {
        return Err(conflict(
            "the operation has ended, or its clock was changed, meanwhile: read it, and try again",
        ));
    }
    Ok(session.state(&record))
}

/// Reads the body, an object of these fields.
fn fields(
    request: &Request<Bytes>,
    known: &[&str],
    errors: &mut Vec<Violation>,
) -> Result<Map<String, Value>, Problem> {
    body::check(request, POST_TYPES)?;
    let Value::Object(fields) = strict_json::parse(request.body()).map_err(Problem::BadJson)?
    else {
        let violation = Violation::new("", "must be an object");
        return Err(Problem::InvalidRequest(vec![violation]));
    };
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let pointer = strict_json::child("", name);
        errors.push(Violation::new(pointer, "is not a known field"));
    }
    Ok(fields)
}

fn reason(fields: &Map<String, Value>, errors: &mut Vec<Violation>) -> String {
    let Some(reason) = fields.get("reason").and_then(Value::as_str).map(str::trim) else {
        errors.push(Violation::new("/reason", "is required, as a string"));
        return String::new();
    };
    let length = reason.chars().count();
    let is_plain = !reason
        .chars()
        .any(|letter| letter.is_control() && letter != '\n');
    if length == 0 || length > MAX_REASON_CHARS || !is_plain {
        let rule = "must have 1 to 1000 characters, none of them a control but line feeds";
        errors.push(Violation::new("/reason", rule));
    }
    reason.to_owned()
}

fn time(fields: &Map<String, Value>, name: &str, errors: &mut Vec<Violation>) -> Option<Timestamp> {
    let value = fields.get(name)?;
    let time = value.as_str().and_then(rfc3339);
    if time.is_none() {
        let rule = "must be an RFC 3339 time such as 2026-02-20T09:12:00+01:00";
        errors.push(Violation::new(strict_json::child("", name), rule));
    }
    time
}

/// Reads by how much the period is extended, if the body says so.
fn span(fields: &Map<String, Value>, errors: &mut Vec<Violation>) -> Option<Span> {
    let mut number = |name: &str| {
        let value = fields.get(name)?;
        let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
        if number.is_none() {
            let pointer = strict_json::child("", name);
            errors.push(Violation::new(pointer, "must be a whole number"));
        }
        number
    };
    match (number("months"), number("days")) {
        (Some(_), Some(_)) => {
            errors.push(Violation::new("/days", "must not stand beside months"));
            None
        }
        (Some(months), None) => Some(Span::Months(months)),
        (None, Some(days)) => Some(Span::Days(days)),
        (None, None) => None,
    }
}
