//! Asks Graph about a job: polls its monitor, looks for it, or looks for what it has made.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::calls::{
    charge, check_throttling, is_forbidden, is_unauthorized, note_reply, take_turn, tenant,
};
use crate::catalogue::places::unwrapped;
use crate::catalogue::{Operation, pointer};
use crate::crypto::secret::Secret;
use crate::engine::app::App;
use crate::graph::client::Unsendable;
use crate::graph::foreign;
use crate::graph::results::{SEALED, SHOWN, without_query};
use crate::graph::unavailable::{Cause, NotReady};
use crate::graph::verdict::{GraphReply, Subject};
use crate::lifecycle::{Asked, Event, schedule};
use crate::operation::{Record, SealedField, State};

/// Asks once, and once more with a new token when Graph refuses the first one.
pub(super) async fn poll(
    app: &App,
    record: &Record,
    operation: &Operation,
    (epoch, receives): (u32, u32),
    ends_at: Timestamp,
) -> Event {
    let kind = app.token_kind(record, operation);
    let asked = Asked::of(record, app.now());
    let polled = match try_poll(app, record, operation).await {
        // The token may have been revoked before it expired, so the poll is repeated with a new one if there is time.
        Ok((id, reply, Some(token))) if is_unauthorized(&reply) => match tenant(app, record) {
            Ok(tenant) => {
                app.tokens.forget(tenant, kind, &token);
                if app.has_time_for(app.timeouts.token + app.timeouts.graph, ends_at) {
                    try_poll(app, record, operation).await
                } else {
                    Ok((id, reply, Some(token)))
                }
            }
            Err(not_ready) => Err(not_ready),
        },
        Ok((id, reply, Some(token))) if is_forbidden(&reply) => {
            if let Ok(tenant) = tenant(app, record) {
                app.tokens.forget_old(tenant, kind, &token);
            }
            Ok((id, reply, Some(token)))
        }
        other => other,
    };
    if let Ok((_, reply, _)) = &polled {
        note_reply(app, record, "poll", reply);
        if matches!(reply, GraphReply::Answer(answer) if answer.status < 300) {
            app.metrics.counts().polls += 1;
        }
    }
    let (client_request_id, reply) = match polled {
        Ok((id, mut reply, _)) => {
            seal_secrets(app, record, operation, &mut reply, Source::Job);
            (id, Ok(reply))
        }
        Err(not_ready) => (String::new(), Err(not_ready)),
    };
    Event::Polled {
        epoch,
        receives,
        asked,
        client_request_id,
        reply,
    }
}

/// Asks once and returns the `client-request-id`, the answer, and the token that was sent, if one was.
async fn try_poll(
    app: &App,
    record: &Record,
    operation: &Operation,
) -> Result<(String, GraphReply, Option<Secret>), NotReady> {
    if !schedule::is_last_poll_due(record, app.now()) {
        check_throttling(app, record)?;
    }
    let subject = Subject {
        operation,
        record,
        graph: app.graph.base(),
    };
    let find = operation.find.as_ref();
    let (location, at) = match &record.state {
        State::Running { monitor } if foreign::is_foreign(monitor) => {
            let opened = foreign::opened(monitor, &record.id, &app.config.sealer);
            let url = opened.map_err(|_| unreadable())?;
            let polled = app.graph.poll_foreign(subject, &url).await;
            let (id, reply) = polled.map_err(|error| unsendable(record, &error))?;
            return Ok((id, reply, None));
        }
        State::Running { monitor } => {
            let is_job = record.follow_up.is_none();
            let items = operation.poll.items.as_ref().filter(|_| is_job);
            (monitor.clone(), items.map(|items| items.at.as_str()))
        }
        State::Locating { .. } => {
            let url = find.and_then(|find| subject.places().url(&find.path).ok());
            let items = find.and_then(|find| find.items.as_ref());
            (
                url.ok_or_else(trouble)?,
                items.map(|items| items.at.as_str()),
            )
        }
        State::Accepted { .. }
        | State::Starting { .. }
        | State::StartUnknown { .. }
        | State::Ended { .. }
        | State::Closed { .. } => return Err(trouble()),
    };
    let tenant = tenant(app, record)?;
    let kind = tenant.token_kind(operation);
    let token = app.tokens.get(tenant, kind, &app.config.sealer).await?;
    take_turn(app, record, operation)?;
    let pay = || charge(app, record, operation);
    let polled = app.graph.poll(subject, &location, (at, &pay), &token);
    let polled = polled.await;
    let (id, reply) = polled.map_err(|error| unsendable(record, &error))?;
    Ok((id, reply, Some(token)))
}

fn trouble() -> NotReady {
    NotReady {
        reason: None,
        detail: None,
        retry_after: None,
        cause: Cause::Trouble,
    }
}

fn unreadable() -> NotReady {
    NotReady {
        reason: Some(crate::operation::Reason::SealedDataUnreadable),
        detail: Some("the monitor cannot be opened".to_owned()),
        ..trouble()
    }
}

fn unsendable(record: &Record, error: &Unsendable) -> NotReady {
    tracing::error!(operation.id = %record.id, %error, "could not build the poll request; trying again at the next poll");
    NotReady {
        detail: Some(error.to_string()),
        ..trouble()
    }
}

/// The answer that a secret of the result is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Start,
    Job,
}

/// Seals what the catalogue calls secret in an answer, before anything else reads it.
///
/// In place of a text stands an object with the sealed text and, for a URL, what may be shown of it.
pub(super) fn seal_secrets(
    app: &App,
    record: &Record,
    operation: &Operation,
    reply: &mut GraphReply,
    source: Source,
) {
    let GraphReply::Answer(answer) = reply else {
        return;
    };
    let Some(body) = &mut answer.body else {
        return;
    };
    for spec in operation
        .result
        .values()
        .filter(|spec| spec.is_secret() || spec.start.is_some())
    {
        let place = match source {
            Source::Start => &spec.start,
            Source::Job => &spec.at,
        };
        let Some(place) = place else { continue };
        let inner = format!("/value{place}");
        let place = if pointer::first(unwrapped(body), place) == body.pointer(place) {
            place
        } else {
            &inner
        };
        let Some(value) = body.pointer_mut(place) else {
            continue;
        };
        *value = match value.as_str().filter(|text| !text.is_empty()) {
            Some(text) => {
                let context = SealedField::Result.seal_context(&record.id);
                let secret = Secret::new(text.to_owned());
                let sealed = app.config.sealer.seal(&context, &secret);
                json!({ SEALED: sealed, SHOWN: without_query(text) })
            }
            None => Value::Null,
        };
    }
}
