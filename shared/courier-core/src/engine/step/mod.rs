//! One step of work: a message in, decisions carried out until it waits or is done. The loop is the platform's.

use std::time::Duration;

use jiff::Timestamp;

use crate::catalogue::Operation;
use crate::engine::app::App;
use crate::engine::start_line;
use crate::error_chain::chain;
use crate::graph::client::StartRequest;
use crate::graph::verdict::GraphReply;
use crate::lifecycle::{Event, Next, decide};
use crate::operation::message::{Disposition, Message};
use crate::operation::{DeliveryOutcome, OperationId, Reason, Record, State};
use crate::ports::{QueueError, StoreError, Write};
use crate::time::{elapsed, later};

mod calls;

/// Decisions one step may take; a correct one needs about ten.
const MAX_ROUNDS: usize = 64;
/// Pause of a message whose record is missing, or whose store cannot be used.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Pause of a message whose record cannot be read: a newer version may have written it.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Pause after a stumble that could not be written down.
const STEP_CRASH_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Pauses between repeats of a write that must not be lost: what it says happened outside cannot be asked for again.
const WRITE_RETRY_PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Handles one delivery of `message`, its `receives`-th. Begins nothing that could not be written down before the host
/// ends this process at `ends_at`.
pub async fn step(app: &App, message: &Message, receives: u32, ends_at: Timestamp) -> Disposition {
    match load(app, message.operation_id(), receives).await {
        Ok(record) => step_on(app, record, message, receives, ends_at).await,
        Err(disposition) => disposition,
    }
}

/// The same on a record that has just been loaded.
pub async fn step_on(
    app: &App,
    record: Record,
    message: &Message,
    receives: u32,
    ends_at: Timestamp,
) -> Disposition {
    let id = message.operation_id();
    match advance(app, record, message, receives, ends_at).await {
        Ok((_, disposition)) => disposition,
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "the step was not finished");
            let again = later(app.now(), RETRY_PAUSE);
            Disposition::WaitUntil(
                error
                    .not_before()
                    .map_or(again, |retry_after| retry_after.max(again)),
            )
        }
    }
}

/// Writes down that the step for this operation panicked or hung, and says when to try again.
pub async fn step_crashed(app: &App, id: &OperationId) -> Disposition {
    app.metrics.counts().step_crashes += 1;
    let record = match load(app, id, 1).await {
        Ok(record) => record,
        Err(disposition) => return disposition,
    };
    let again = Disposition::WaitUntil(later(app.now(), STEP_CRASH_PAUSE));
    let Some(operation) = app.catalogue.find(&record.operation) else {
        return again;
    };
    match commit(app, record, operation, &Event::StepCrashed).await {
        Ok((record, Next::Wait(until))) => {
            tracing::error!(operation.id = %id, step_crashes = record.step_crashes, "a step stumbled");
            Disposition::WaitUntil(until)
        }
        Ok(_) => again,
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "a stumble was not written down");
            again
        }
    }
}

async fn load(app: &App, id: &OperationId, receives: u32) -> Result<Record, Disposition> {
    let pause = match app.store.load(id).await {
        Ok(Some(record)) => return Ok(record),
        Ok(None) => {
            tracing::warn!(operation.id = %id, "a message without a record waits");
            Duration::from_secs(60 * u64::from(receives.min(60)))
        }
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "the record was not read");
            match error {
                StoreError::Corrupt(..) => UNREADABLE_PAUSE,
                StoreError::Unavailable(_) | StoreError::Missing(_) | StoreError::BadCursor => {
                    RETRY_PAUSE
                }
            }
        }
    };
    Err(Disposition::WaitUntil(later(app.now(), pause)))
}

#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Graph has answered a poll, what follows could not be written, and Graph may not be asked again before `until`.
    #[error("a poll was not written down")]
    Unwritten {
        until: Timestamp,
        source: StoreError,
    },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the operation {0} is not in the catalogue")]
    UnknownOperation(String),
    #[error("the rules did not come to rest")]
    TooManyRounds,
}

impl StepError {
    fn after(event: &Event, next: &Next, source: StoreError) -> Self {
        match (event, next) {
            (Event::Polled { .. }, Next::Wait(until)) => Self::Unwritten {
                until: *until,
                source,
            },
            _ => Self::Store(source),
        }
    }

    fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::Unwritten { until, .. } => Some(*until),
            Self::Store(_) | Self::Queue(_) | Self::UnknownOperation(_) | Self::TooManyRounds => {
                None
            }
        }
    }
}

/// Carries out decisions about `record` until its message waits or is done.
pub(crate) async fn advance(
    app: &App,
    mut record: Record,
    message: &Message,
    receives: u32,
    ends_at: Timestamp,
) -> Result<(Record, Disposition), StepError> {
    let operation = app
        .catalogue
        .find(&record.operation)
        .ok_or_else(|| StepError::UnknownOperation(record.operation.clone()))?;
    let mut event = Event::Arrived(message.clone());
    let mut prepared: Option<StartRequest> = None;
    let (timeouts, receives) = (&app.timeouts, message.total_receives(receives));
    let mut rounds = 0;
    loop {
        let (current, next) = commit(app, record, operation, &event).await?;
        record = current;
        event = match next {
            Next::Wait(until) => return Ok((record, Disposition::WaitUntil(until))),
            Next::Drop => return Ok((record, Disposition::Delete)),
            Next::Redecide => Event::Arrived(message.clone()),
            // A claim whose call is cut off is a lost answer: better no claim.
            Next::Prepare if !app.has_time_for(timeouts.token + timeouts.graph, ends_at) => break,
            Next::Poll if !app.has_time_for(timeouts.token + timeouts.graph, ends_at) => break,
            Next::Deliver if !app.has_time_for(app.callbacks.longest(), ends_at) => break,
            Next::Prepare => match calls::prepare(app, &record, operation).await {
                Ok(_) if !app.has_time_for(timeouts.graph, ends_at) => break,
                Ok(request) => {
                    prepared = Some(request);
                    Event::Prepared
                }
                Err(trouble) => Event::NotReady(trouble),
            },
            Next::Start { attempt } => match prepared.take() {
                // The claim took too long: nothing has been sent, and after the lease it would surprise others.
                Some(request) if !app.has_time_for(timeouts.graph, ends_at.min(lease(&record))) => {
                    Event::Started {
                        attempt,
                        client_request_id: request.client_request_id,
                        start_url: request.url,
                        reply: GraphReply::NotSent,
                    }
                }
                Some(request) => calls::start(app, &record, operation, request, attempt).await,
                None => Event::Arrived(message.clone()),
            },
            Next::Poll => {
                calls::poll(app, &record, operation, (epoch(message), receives), ends_at).await
            }
            Next::Deliver => calls::deliver(app, &record, epoch(message)).await,
        };
        rounds += 1;
        if rounds > MAX_ROUNDS {
            return Err(StepError::TooManyRounds);
        }
    }
    // The next delivery has the time that this one lacks.
    let now = app.now();
    Ok((record, Disposition::WaitUntil(now)))
}

/// Decides about `event` and makes the decision durable: write, then send. A lost race decides again on the winner.
pub(crate) async fn commit(
    app: &App,
    mut record: Record,
    operation: &Operation,
    event: &Event,
) -> Result<(Record, Next), StepError> {
    loop {
        let decision = decide(&record, event, app.now(), &app.policy(operation));
        if let Some(mut new) = decision.write {
            new.writer = (app.ids)().simple().to_string();
            let written = update(app, &new, records_external_effect(event)).await;
            match written.map_err(|error| StepError::after(event, &decision.next, error))? {
                Write::Applied => {
                    report(app, &record, &new);
                    let started = app.may_start(&record) && !app.may_start(&new);
                    record = *new;
                    if started {
                        start_line::leave(app, &record, operation).await;
                    }
                }
                Write::Refused(current) => {
                    record = *current;
                    continue;
                }
            }
        }
        if let Some((message, due)) = decision.send {
            app.queue.send(&message, due).await?;
        }
        return Ok((record, decision.next));
    }
}

/// The event tells of something outside that happened once.
fn records_external_effect(event: &Event) -> bool {
    match event {
        Event::Started { .. } | Event::Called { .. } => true,
        Event::Arrived(_)
        | Event::Prepared
        | Event::NotReady(_)
        | Event::Polled { .. }
        | Event::Deferred { .. }
        | Event::Retargeted(_)
        | Event::Cancelled
        | Event::RedeliveryRequested
        | Event::Overdue
        | Event::StepCrashed => false,
    }
}

async fn update(app: &App, record: &Record, is_external_effect: bool) -> Result<Write, StoreError> {
    let mut pauses = WRITE_RETRY_PAUSES.iter().filter(|_| is_external_effect);
    let mut told = false;
    loop {
        let cause = match app.store.update(record).await {
            Err(StoreError::Unavailable(cause)) => cause,
            result => return result,
        };
        if let State::Running { monitor } = &record.state
            && is_external_effect
            && !std::mem::replace(&mut told, true)
        {
            // The host may end us before the next try. The id at the end of the monitor is no secret.
            let monitor = monitor.split('?').next().unwrap_or_default();
            let tail = monitor.rsplit('/').next().unwrap_or_default();
            tracing::error!(operation.id = %record.id, monitor.id = tail, "the monitor is not stored yet");
        }
        match pauses.next() {
            Some(pause) => tokio::time::sleep(*pause).await,
            None => return Err(StoreError::Unavailable(cause)),
        }
    }
}

/// Until when a claimed start may be under way.
fn lease(record: &Record) -> Timestamp {
    match record.state {
        State::Starting { lease_until } => lease_until,
        State::Accepted { .. }
        | State::StartUnknown { .. }
        | State::Running { .. }
        | State::Ended { .. }
        | State::Closed { .. } => Timestamp::MAX,
    }
}

fn epoch(message: &Message) -> u32 {
    match message {
        Message::WatchdogV1 { .. } => 0,
        Message::PollV1 { epoch, .. } => *epoch,
    }
}

/// One line at `info` for each change of the public status; nothing for a poll that saw nothing new.
fn report(app: &App, old: &Record, new: &Record) {
    count(app, old, new);
    let (before, after) = (old.state.status(), new.state.status());
    if before != after || old.reason != new.reason {
        let reason = new.reason.map(Reason::as_str);
        tracing::info!(operation.id = %new.id, operation = new.operation, status = after, reason, "operation changed");
    }
    if let State::Closed { how, .. } = &new.state {
        tracing::info!(operation.id = %new.id, closed = ?how, attempts = new.delivery.attempts, "operation closed");
    }
}

fn count(app: &App, old: &Record, new: &Record) {
    let mut counts = app.metrics.counts();
    if old.started_at.is_none() && new.started_at.is_some() {
        counts.started += 1;
    }
    if let (None, Some(outcome)) = (old.state.outcome(), new.state.outcome()) {
        *counts.ended.entry(outcome.as_str()).or_default() += 1;
        counts.start_unknown += u64::from(is_unfollowed(new.reason));
    }
    match (&old.state, &new.state, new.ended_at) {
        (State::Closed { .. }, _, _) => {}
        (_, State::Closed { how, .. }, Some(ended_at)) => match how {
            // The lag of a re-delivery is the caller's.
            DeliveryOutcome::Delivered
                if new.delivery.attempts > new.delivery.scheduled_attempts => {}
            DeliveryOutcome::Delivered => counts.add_lag(elapsed(ended_at, app.now())),
            DeliveryOutcome::Undeliverable => counts.undeliverable += 1,
            DeliveryOutcome::NotRequested => {}
        },
        _ => {}
    }
}

/// A job may run that nobody follows.
fn is_unfollowed(reason: Option<Reason>) -> bool {
    let unfollowed = [
        Reason::StartOutcomeUnknown,
        Reason::StartUntrackable,
        Reason::LocationUntrusted,
    ];
    reason.is_some_and(|reason| unfollowed.contains(&reason))
}
