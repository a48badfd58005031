//! One step of work: takes a message and carries out decisions until it waits or is done. The platform runs the loop.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::Instrument;

use crate::catalogue::{Catalogue, Operation};
use crate::engine::app::App;
use crate::engine::durations;
use crate::engine::start_line;
use crate::error_chain::chain;
use crate::graph::client::StartRequest;
use crate::graph::verdict::GraphReply;
use crate::lifecycle::{Event, Next, decide};
use crate::operation::message::{Disposition, Message};
use crate::operation::trace_context;
use crate::operation::{OperationId, Reason, Record, State};
use crate::ports::{QueueError, StoreError, Write};
use crate::time::{elapsed, later};

mod announcing;
mod asking;
mod calls;
mod containers;
mod report;
mod warnings;

pub(crate) use calls::{pause_of_calls, prepare_at_once};

/// Most decisions in one step; a correct step needs about ten.
const MAX_DECISIONS: usize = 64;
/// Pause of a message whose step failed, for example because the store is unavailable.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Pause of a message whose operation is not in the catalogue.
const PARKED_PAUSE: Duration = Duration::from_secs(3600);
/// Pause of a message whose record cannot be read: a newer version may have written it.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Pause after a crashed step that could not be recorded.
const STEP_CRASH_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Pauses between repeats of a write that must not be lost: the outcome of an outgoing call cannot be obtained again.
const WRITE_RETRY_PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Handles the `receives`-th delivery of `message`.
///
/// Begins no call whose result could not be recorded before the host ends this process at `ends_at`.
pub async fn step(app: &App, message: &Message, receives: u32, ends_at: Timestamp) -> Disposition {
    match load(app, message.operation_id(), receives).await {
        Ok(record) => step_on(app, record, message, receives, ends_at).await,
        Err(disposition) => disposition,
    }
}

/// Handles a delivery as [`step`] does, with a record that has just been loaded.
pub async fn step_on(
    app: &App,
    record: Record,
    message: &Message,
    receives: u32,
    ends_at: Timestamp,
) -> Disposition {
    let id = message.operation_id();
    let span = trace_context::span(&record);
    let advanced = advance(app, record, message, receives, ends_at);
    match advanced.instrument(span.clone()).await {
        Ok((record, disposition)) => {
            durations::merge_due(app, &record).await;
            disposition
        }
        Err(error) => {
            let _entered = span.enter();
            tracing::error!(operation.id = %id, error = %chain(&error), "a step failed; the queue delivers its message again");
            let retry_at = later(app.now(), error.pause());
            Disposition::WaitUntil(
                error
                    .not_before()
                    .map_or(retry_at, |not_before| not_before.max(retry_at)),
            )
        }
    }
}

/// Handles a delivery as [`step`] does, and records a step that panics or has not ended by `ends_at`.
///
/// A host loads `record` beforehand if it can do so for several messages at once.
pub async fn guarded_step(
    app: &App,
    record: Option<Record>,
    message: &Message,
    receives: u32,
    ends_at: Timestamp,
) -> Disposition {
    // In a box, because the host moves what this returns several times before it runs.
    let work = AssertUnwindSafe(async {
        match record {
            Some(record) => Box::pin(step_on(app, record, message, receives, ends_at)).await,
            None => Box::pin(step(app, message, receives, ends_at)).await,
        }
    });
    let worked = timeout(elapsed(app.now(), ends_at), work.catch_unwind()).await;
    match worked {
        Ok(Ok(disposition)) => disposition,
        Ok(Err(_)) | Err(_) => step_crashed(app, message.operation_id()).await,
    }
}

/// Records that a step of this operation panicked or hung, and returns when to try again.
async fn step_crashed(app: &App, id: &OperationId) -> Disposition {
    app.metrics.counts().step_crashes += 1;
    let record = match load(app, id, 1).await {
        Ok(record) => record,
        Err(disposition) => return disposition,
    };
    let retry = Disposition::WaitUntil(later(app.now(), STEP_CRASH_PAUSE));
    let Some(operation) = app.catalogue.find(&record.operation) else {
        return retry;
    };
    match commit(app, record, operation, &Event::StepCrashed).await {
        Ok((record, Next::Wait(until))) => {
            tracing::error!(operation.id = %id, step_crashes = record.step_crashes, "a step panicked or hung; it is tried again after a pause");
            Disposition::WaitUntil(until)
        }
        Ok(_) => retry,
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "could not record that a step panicked or hung; it is tried again after a pause");
            retry
        }
    }
}

/// Loads the record of a message, or returns how long the message waits.
async fn load(app: &App, id: &OperationId, receives: u32) -> Result<Record, Disposition> {
    let pause = match app.store.load(id).await {
        Ok(Some(record)) => return Ok(record),
        Ok(None) => {
            tracing::warn!(operation.id = %id, "a message has no record; it waits and is tried again");
            Duration::from_secs(60 * u64::from(receives.min(60)))
        }
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "could not read the record; its message waits and is tried again");
            match error {
                StoreError::Corrupt(..) => UNREADABLE_PAUSE,
                StoreError::Unavailable(_) | StoreError::Missing(_) => RETRY_PAUSE,
            }
        }
    };
    Err(Disposition::WaitUntil(later(app.now(), pause)))
}

/// An error that ended a step before its message waits or is done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Graph answered a poll, the result could not be written, and Graph must not be polled again before `until`.
    #[error("could not write the result of a poll")]
    Unwritten {
        until: Timestamp,
        source: StoreError,
    },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the operation {0} is not in the catalogue")]
    UnknownOperation(String),
    #[error("the step took more decisions than a correct one needs")]
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

    /// Returns how long the message waits. What the catalogue lacks, a new configuration or version may have.
    fn pause(&self) -> Duration {
        match self {
            Self::UnknownOperation(_) => PARKED_PAUSE,
            Self::Store(_) | Self::Unwritten { .. } | Self::Queue(_) | Self::TooManyRounds => {
                RETRY_PAUSE
            }
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
    record: Record,
    message: &Message,
    receives: u32,
    ends_at: Timestamp,
) -> Result<(Record, Disposition), StepError> {
    let operation = operation_of(app, &record)?;
    let event = Event::Arrived(message.clone());
    let (record, next) = commit(app, record, operation, &event).await?;
    advance_from(app, record, (next, None), message, receives, ends_at).await
}

/// Returns the operation of a record. One that has left the catalogue still has its completion delivered.
fn operation_of(app: &App, record: &Record) -> Result<&'static Operation, StepError> {
    match app.catalogue.find(&record.operation) {
        Some(operation) => Ok(operation),
        None if record.state.outcome().is_some() => Ok(Catalogue::stand_in()),
        None => {
            app.metrics.counts().unusable += 1;
            Err(StepError::UnknownOperation(record.operation.clone()))
        }
    }
}

/// Does what is to be done next, with a start request that may be prepared, and carries on as [`advance`] does.
pub(crate) async fn advance_from(
    app: &App,
    mut record: Record,
    (mut next, mut prepared): (Next, Option<StartRequest>),
    message: &Message,
    receives: u32,
    ends_at: Timestamp,
) -> Result<(Record, Disposition), StepError> {
    let operation = operation_of(app, &record)?;
    let (timeouts, receives) = (&app.timeouts, message.total_receives(receives));
    let mut decisions = 0;
    loop {
        let event = match next {
            Next::Wait(until) => {
                let waits_for_authorization = record.reason == Some(Reason::AuthorizationLost);
                app.metrics.counts().authorization_lost += u64::from(waits_for_authorization);
                return Ok((record, Disposition::WaitUntil(until)));
            }
            Next::Drop => return Ok((record, Disposition::Delete)),
            Next::Redecide => Event::Arrived(message.clone()),
            // A claimed start whose call is cut off is a lost answer, so without enough time there is no claim.
            Next::Prepare if !calls::may_start(app, &record, operation, ends_at) => break,
            Next::Poll if !app.has_time_for(timeouts.token + timeouts.graph, ends_at) => break,
            Next::Deliver if !app.has_time_for(app.callbacks.longest(), ends_at) => break,
            Next::Prepare => match calls::prepare(app, &record, operation).await {
                Ok(_) if !app.has_time_for(timeouts.graph, ends_at) => break,
                Ok((request, container)) => {
                    prepared = Some(request);
                    Event::Prepared { container }
                }
                Err(not_ready) => Event::NotReady(not_ready),
            },
            Next::Start { attempt } => match prepared.take() {
                // The claim took too long. Nothing has been sent, and a call that outlasts the lease could follow
                // another process's decision about this start.
                Some(request)
                    if !app.has_time_for(timeouts.graph, ends_at.min(calls::lease(&record))) =>
                {
                    Event::Started {
                        attempt,
                        client_request_id: request.client_request_id,
                        start_url: request.url,
                        reply: GraphReply::NotSent("no time was left to send it".to_owned()),
                        forecast: None,
                    }
                }
                Some(request) => calls::start(app, &record, operation, request, attempt).await,
                None => Event::Arrived(message.clone()),
            },
            Next::Poll => {
                asking::poll(app, &record, operation, (epoch(message), receives), ends_at).await
            }
            Next::Deliver => calls::deliver(app, &record, epoch(message)).await,
            Next::Announce if !app.has_time_for(app.announcer.longest(), ends_at) => break,
            Next::Announce => announcing::announce(app, &record, epoch(message)).await,
        };
        decisions += 1;
        if decisions > MAX_DECISIONS {
            return Err(StepError::TooManyRounds);
        }
        (record, next) = commit(app, record, operation, &event).await?;
    }
    // There is too little time left in this delivery of the message; the next one has more.
    let now = app.now();
    Ok((record, Disposition::WaitUntil(now)))
}

/// Decides about `event` and makes the decision durable: first the write, then the message.
///
/// When another process has written the record first, decides again with the record as it is then.
pub(crate) async fn commit(
    app: &App,
    mut record: Record,
    operation: &Operation,
    event: &Event,
) -> Result<(Record, Next), StepError> {
    loop {
        let decision = decide(&record, event, app.now(), &app.policy(&record, operation));
        if let Some(mut new) = decision.write {
            new.writer = (app.ids)().simple().to_string();
            let written = update(app, &new, records_external_effect(event)).await;
            match written.map_err(|error| StepError::after(event, &decision.next, error))? {
                Write::Applied => {
                    report::report(app, &record, &new);
                    warnings::warn(app, event, &record, &new);
                    durations::note(app, &record, &new);
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

/// Reports whether the event records an outgoing call whose outcome cannot be obtained again.
fn records_external_effect(event: &Event) -> bool {
    match event {
        Event::Started { .. } | Event::Called { .. } | Event::Announced { .. } => true,
        Event::Arrived(_)
        | Event::Prepared { .. }
        | Event::NotReady(_)
        | Event::Polled { .. }
        | Event::Deferred { .. }
        | Event::Retargeted(_)
        | Event::Cancelled
        | Event::RedeliveryRequested
        | Event::Erased
        | Event::Acknowledged { .. }
        | Event::Resumed
        | Event::LegalClockChanged(_)
        | Event::Requested { .. }
        | Event::Overdue
        | Event::StepCrashed
        | Event::Restored { .. } => false,
    }
}

async fn update(app: &App, record: &Record, is_external_effect: bool) -> Result<Write, StoreError> {
    let mut pauses = WRITE_RETRY_PAUSES.iter().filter(|_| is_external_effect);
    let mut logged = false;
    loop {
        let cause = match app.store.update(record).await {
            Err(StoreError::Unavailable(cause)) => cause,
            result => return result,
        };
        if let State::Running { monitor } = &record.state
            && is_external_effect
            && !std::mem::replace(&mut logged, true)
        {
            // If the host ends this process now, the log is the only trace of the job. The URL's last part is no secret.
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

fn epoch(message: &Message) -> u32 {
    match message {
        Message::WatchdogV1 { .. } => 0,
        Message::PollV1 { epoch, .. } => *epoch,
    }
}
