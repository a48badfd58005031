//! `POST /v1/operations/{id}/resume`: goes on following a job whose operation ended before it did.

use bytes::Bytes;
use http::Response;

use super::session::Session;
use super::{insert, path, store};
use crate::crypto::seal::{SealError, Sealer};
use crate::engine::app::App;
use crate::graph::foreign;
use crate::http::problem::Problem;
use crate::http::request::FIRST_REVISION;
use crate::lifecycle::Event;
use crate::operation::message::Message;
use crate::operation::{
    CallbackTarget, Delivery, GraphView, HistoryEntry, OperationId, Outcome, Reason, Record,
    SealedField, State,
};
use crate::ports::Write;
use crate::time::later;

/// Begins an operation that follows the job of `ended`, or returns the one that an earlier request began.
///
/// The ended operation keeps its outcome and its completion, and names the new one, which gets its own.
pub(super) async fn resume(
    session: Session<'_>,
    ended: Record,
) -> Result<Response<Bytes>, Problem> {
    let app = session.app;
    let mut record = resumed(app, ended.clone())?;
    if let Some(line) = record.history.last_mut() {
        line.by = Some(session.who.label());
    }
    record.writer = (app.ids)().simple().to_string();
    record.begin_chain();
    let written = app.store.insert(&record).await;
    let (record, is_replay) = match written.map_err(|error| store(&error))? {
        Write::Applied => (record, false),
        Write::Refused(current) => (*current, true),
    };
    if !is_replay {
        tracing::info!(operation.id = %record.id, resumed.from = ?record.resumed_from, "operation resumed");
        let message = Message::poll(&record, 1);
        // The sweeper queues the message of a record that has none.
        let due = record.due_at.unwrap_or(record.created_at);
        if let Err(error) = app.queue.send(&message, due).await {
            tracing::error!(operation.id = %record.id, %error, "could not queue the first poll of a resumed operation; the sweeper queues it");
        }
    }
    if let Err(problem) = session.change(ended, Event::Resumed).await {
        tracing::warn!(operation.id = %record.id, problem = problem.as_str(), "the ended operation does not name the one that goes on with its job; resuming it once more notes it");
    }
    let mut response = session.state(&record);
    insert(response.headers_mut(), "location", &path(&record));
    if is_replay {
        insert(response.headers_mut(), "idempotency-replayed", "true");
    }
    Ok(response)
}

fn resumed(app: &App, ended: Record) -> Result<Record, Problem> {
    let conflict = |rule| Problem::Conflict { rule };
    let may_go_on = matches!(ended.state.outcome(), Some(Outcome::Expired))
        || ended.reason == Some(Reason::MonitorGone);
    if !may_go_on {
        return Err(conflict(
            "only an operation that ended as expired, or because its monitor was gone, can be resumed",
        ));
    }
    let monitor = ended
        .last_monitor
        .as_deref()
        .ok_or_else(|| conflict("no job of this operation is known that could be followed"))?;
    let operation = app.catalogue.find(&ended.operation);
    let operation = operation.ok_or(Problem::Internal)?;
    let id = ended.id.resumed();
    let sealer = &app.config.sealer;
    let monitor = foreign::resealed(monitor, (&ended.id, &id), sealer)
        .map_err(|_| conflict("its monitor cannot be opened with the configured key"))?;
    let callback = ended.callback.as_ref();
    let callback = callback.map(|target| resealed(target, &ended.id, &id, sealer));
    let callback = callback.transpose().map_err(|_| {
        conflict("its callback cannot be opened with the configured key: give it a new one first")
    })?;
    let now = app.now();
    let detail = format!("follows the job of {}", ended.id);
    let deadline = later(now, operation.default_deadline());
    let allowed = ended.graph.next_poll_at.unwrap_or(now);
    let first_poll = allowed.clamp(now, deadline.max(now));
    Ok(Record {
        resumed_from: Some(ended.id.clone()),
        resumed_as: None,
        revision: FIRST_REVISION,
        callback,
        created_at: now,
        deadline,
        due_at: Some(first_poll),
        state: State::Running { monitor },
        last_monitor: None,
        epoch: 0,
        step_crashes: 0,
        ended_at: None,
        reason: None,
        graph: GraphView {
            next_poll_at: Some(first_poll),
            missing: 0,
            missing_since: None,
            unanswered: 0,
            ..ended.graph
        },
        result: None,
        sealed_result: None,
        error: None,
        acknowledged: None,
        event: None,
        delivery: Delivery::default(),
        announcement: None,
        history: vec![HistoryEntry::new(now, "running", "resumed", Some(detail))],
        chain: None,
        id,
        ..ended
    })
}

/// Seals the callback for another operation, as what is sealed is bound to the id of its operation.
fn resealed(
    target: &CallbackTarget,
    old: &OperationId,
    new: &OperationId,
    sealer: &Sealer,
) -> Result<CallbackTarget, SealError> {
    let reseal = |field: SealedField, sealed| {
        let opened = sealer.open(&field.seal_context(old), sealed)?;
        Ok(sealer.seal(&field.seal_context(new), &opened))
    };
    let token = target.token.as_ref();
    Ok(CallbackTarget {
        url: reseal(SealedField::CallbackUrl, &target.url)?,
        token: token
            .map(|token| reseal(SealedField::TaskToken, token))
            .transpose()?,
        version: 0,
        ..target.clone()
    })
}
