//! When there may be news of an operation, and where to look: the headers of a 202.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use jiff::Timestamp;

use super::request::FIRST_REVISION;
use super::session::Session;
use super::{insert, json_response, path};
use crate::engine::app::App;
use crate::engine::step::pause_of_calls;
use crate::http::problem::seconds;
use crate::lifecycle::schedule;
use crate::operation::{Reason, Record, State};
use crate::time::{elapsed, later};

/// `Retry-After` where no time is known at which there is news.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// Bounds of `Retry-After`.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_hours(1);

/// What a gateway has removed from the front of a request's path, as an extension of the request: `/prod/it/graph`.
#[derive(Debug, Clone)]
pub struct RemovedPrefix(pub String);

/// Puts in front of the path in `Location` what a caller must have there: the public URL, or what a gateway removed.
pub(super) fn complete_location(app: &App, request: &Request<Bytes>, headers: &mut HeaderMap) {
    let Some(path) = headers.get(header::LOCATION) else {
        return;
    };
    let removed = request.extensions().get::<RemovedPrefix>();
    let removed = removed.map(|RemovedPrefix(prefix)| prefix.as_str());
    let front = app.config.public_url.as_deref().or(removed);
    let location = format!(
        "{}{}",
        front.unwrap_or_default(),
        path.to_str().unwrap_or_default()
    );
    insert(headers, "location", &location);
}

/// Returns the operation's document: 202 while the operation is open, 200 once it has ended.
pub(super) fn state(session: Session<'_>, record: &Record) -> Response<Bytes> {
    if record.ended_at.is_some() {
        json_response(StatusCode::OK, session.document(record))
    } else {
        pending(session, record)
    }
}

/// Returns the operation's document as 202: `Location` says where to look again, `Retry-After` when there may be news.
pub(super) fn pending(session: Session<'_>, record: &Record) -> Response<Bytes> {
    let app = session.app;
    let now = app.now();
    let pause = elapsed(now, next_look(app, record, now)).clamp(MIN_PAUSE, MAX_PAUSE);
    let mut document = session.document(record);
    if app.catalogue.find(&record.operation).is_none() {
        document["reason"] = Reason::NotInCatalogue.as_str().into();
    }
    let mut response = json_response(StatusCode::ACCEPTED, document);
    let headers = response.headers_mut();
    insert(headers, "location", &path(record));
    headers.insert(header::RETRY_AFTER, seconds(pause));
    response
}

/// Returns when there may be news of the operation: when its next step is due, as far as that is known.
fn next_look(app: &App, record: &Record, now: Timestamp) -> Timestamp {
    let ahead = |at: Timestamp| (at > now).then_some(at);
    let soon = later(now, SOON);
    let due = record.due_at.and_then(ahead);
    let known = match record.state {
        State::Accepted { not_before } => ahead(not_before).or_else(|| {
            // A new record's time is the one at which its watchdog looks after it, not that of its start.
            due.filter(|_| record.revision > FIRST_REVISION)
        }),
        State::Starting { .. } if is_being_started(record) => Some(soon),
        State::Starting { lease_until } => ahead(lease_until).or(due),
        State::StartUnknown { hold_until } => Some(ahead(hold_until).unwrap_or(soon)),
        State::Locating { next_look_at, .. } => Some(ahead(next_look_at).unwrap_or(soon)),
        State::Running { .. } => record.graph.next_poll_at.and_then(ahead),
        State::Ended { .. } | State::Closed { .. } => Some(due.unwrap_or(soon)),
    };
    known.unwrap_or_else(|| expected_look(app, record, now))
}

/// Reports whether a call to Graph may be under way, whose answer can come at any time.
fn is_being_started(record: &Record) -> bool {
    let last = record.history.last();
    last.is_some_and(|entry| entry.event == "startClaimed")
}

/// Returns when the next step is expected where the record does not say it, because waiting is not written down.
///
/// The step comes then or earlier, as it is not known when the pause began.
fn expected_look(app: &App, record: &Record, now: Timestamp) -> Timestamp {
    let held = pause_of_calls(app, record);
    let pause = match app.catalogue.find(&record.operation) {
        Some(operation) if matches!(record.state, State::Running { .. }) => {
            let own = schedule::longest_poll_pause(record, &operation.poll, now);
            own.max(held.unwrap_or_default())
        }
        Some(_) | None => held.unwrap_or_else(|| schedule::start_pause(record, now)),
    };
    later(now, pause).min(record.deadline.max(later(now, SOON)))
}
