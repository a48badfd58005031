//! What an operator must see in the log without asking for more: each line says who has which trouble, and what follows.
//!
//! Lines about one receiver or tenant are written once a minute at most; `left_out` counts the others.

use crate::callback::host_of;
use crate::engine::app::App;
use crate::lifecycle::Event;
use crate::operation::{DeliveryOutcome, HistoryEntry, Outcome, Reason, Record};

/// Logs what a change of a record means for people, after it was written.
pub(super) fn warn(app: &App, event: &Event, old: &Record, new: &Record) {
    if let Event::Called { reply, .. } = event
        && !reply.taken
    {
        delivery_failed(app, reply.detail.as_deref(), new);
    }
    let news = new.reason.filter(|_| old.reason != new.reason);
    if news == Some(Reason::StartRejected) {
        start_refused(new);
    }
    if old.state.outcome().is_none() && new.state.outcome() == Some(Outcome::Unknown) {
        ended_unknown(new);
    }
    if news == Some(Reason::AuthorizationLost) && new.ended_at.is_none() {
        authorization_lost(app, new);
    } else if let Some(line) = told(new)
        && told(old) != Some(line)
        && TROUBLES.contains(&line.event.as_str())
    {
        nothing_usable(app, new, line);
    }
}

/// Returns the newest line of the history that a step has written about itself. What is said of the legal clock is behind it.
fn told(record: &Record) -> Option<&HistoryEntry> {
    let mut newest = record.history.iter().rev();
    newest.find(|line| !["deadlineAtRisk", "deadlinePassed"].contains(&line.event.as_str()))
}

/// The lines of the history that tell what came instead of a usable answer.
const TROUBLES: [&str; 8] = [
    "startPostponed",
    "startNotSent",
    "startThrottled",
    "startUnauthorized",
    "startAnswerLost",
    "monitorMissing",
    "noUsableAnswer",
    "throttled",
];

fn delivery_failed(app: &App, detail: Option<&str>, record: &Record) {
    let (now, client) = (app.now(), record.client.as_str());
    let origin = record.callback.as_ref().map(|target| &target.origin);
    let origin = origin.map_or("", String::as_str);
    let (host, whom) = (host_of(origin), format!("{client} {origin}"));
    let (attempt, status) = (record.delivery.attempts, record.delivery.last_status);
    let given_up = record.callback_outcome() == Some(DeliveryOutcome::Undeliverable);
    let kind = if given_up { "undeliverable" } else { "failed" };
    let Some(left_out) = app.callbacks.notices.take(kind, &whom, now) else {
        return;
    };
    if given_up {
        tracing::warn!(operation.id = %record.id, client, host, attempt, status, detail, left_out, "the completion is undeliverable: no attempt follows until somebody asks for one");
        return;
    }
    let next = record.delivery.next_attempt_at.map(tracing::field::display);
    tracing::warn!(operation.id = %record.id, client, host, attempt, status, detail, next, left_out, "the receiver did not take the completion; another attempt follows");
}

/// Logs Graph's own word, by which Microsoft's support finds the request.
fn start_refused(record: &Record) {
    let error = record.error.as_ref();
    let code = error.map(|error| error.code.as_str());
    let status = error.and_then(|error| error.http_status);
    let request_id = record.graph.request_id.as_deref();
    tracing::warn!(operation.id = %record.id, client = record.client, operation = record.operation, code, status, request_id, "Graph refused the start; no job exists");
}

fn ended_unknown(record: &Record) {
    let reason = record.reason.map(Reason::as_str);
    let code = record.error.as_ref().map(|error| error.code.as_str());
    let request_id = record.graph.request_id.as_deref();
    tracing::warn!(operation.id = %record.id, client = record.client, operation = record.operation, reason, code, request_id, "the operation ended as unknown: a job may or may not run at Graph, so a person must look");
}

fn authorization_lost(app: &App, record: &Record) {
    let tenant = record.tenant.as_str();
    let notices = &app.callbacks.notices;
    let detail = record
        .history
        .last()
        .and_then(|line| line.detail.as_deref());
    if let Some(left_out) = notices.take("authorization_lost", tenant, app.now()) {
        tracing::warn!(operation.id = %record.id, tenant, operation = record.operation, detail, left_out, "the operation waits: there is no usable token or no permission for its tenant");
    }
}

/// Logs what came instead of a usable answer, for each kind of it and status once a minute.
fn nothing_usable(app: &App, record: &Record, line: &HistoryEntry) {
    let (tenant, event) = (record.tenant.as_str(), line.event.as_str());
    let whom = format!("{tenant} {event} {}", line.http_status.unwrap_or_default());
    let notices = &app.callbacks.notices;
    let Some(left_out) = notices.take("nothing_usable", &whom, app.now()) else {
        return;
    };
    let reason = record.reason.map(Reason::as_str);
    let (detail, status) = (line.detail.as_deref(), line.http_status);
    let request_id = line.request_id.as_deref();
    let client_request_id = line.client_request_id.as_deref();
    tracing::warn!(operation.id = %record.id, tenant, operation = record.operation, event, reason, detail, status, request_id, client_request_id, left_out, "Graph or its token endpoint gave no usable answer");
}
