//! One step of work: a message in, decisions carried out until it waits or is done. The loop is the platform's.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use crate::app::App;
use crate::catalogue::Operation;
use crate::config::Tenant;
use crate::decide::{Event, Next, NotReady, decide};
use crate::graph::StartRequest;
use crate::judge::Reply;
use crate::lane;
use crate::message::{Disposition, Message};
use crate::pacing::{elapsed, later};
use crate::ports::{QueueError, StoreError, Write};
use crate::record::{Reason, Record, State};
use crate::request::parameters_place;
use crate::secret::Secret;

/// Decisions one step may take; a correct one needs about ten.
const ROUNDS: usize = 64;
/// Pause of a message whose record is missing, or whose store cannot be used.
const TROUBLE: Duration = Duration::from_secs(5);
/// Pauses between repeats of a write that must not be lost: what it says happened outside cannot be asked for again.
const REPEATS: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Handles one delivery of `message`, its `receives`-th.
pub async fn step(app: &App, message: &Message, receives: u32) -> Disposition {
    let id = message.operation_id();
    let record = match app.store.load(id).await {
        Ok(Some(record)) => record,
        Ok(None) => {
            tracing::warn!(operation.id = %id, "a message without a record waits");
            return Disposition::WaitUntil(later(app.now(), Duration::from_secs(60)));
        }
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "the record was not read");
            return Disposition::WaitUntil(later(app.now(), TROUBLE));
        }
    };
    match advance(app, record, message, receives).await {
        Ok((_, disposition)) => disposition,
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "the step was not finished");
            Disposition::WaitUntil(later(app.now(), TROUBLE))
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the operation {0} is not in the catalogue")]
    UnknownOperation(String),
    #[error("the rules did not come to rest")]
    Restless,
}

/// Carries out decisions about `record` until its message waits or is done.
pub(crate) async fn advance(
    app: &App,
    mut record: Record,
    message: &Message,
    receives: u32,
) -> Result<(Record, Disposition), StepError> {
    let operation = app
        .catalogue
        .find(&record.operation)
        .ok_or_else(|| StepError::UnknownOperation(record.operation.clone()))?;
    let mut event = Event::Arrived(message.clone());
    let mut prepared: Option<StartRequest> = None;
    for _ in 0..ROUNDS {
        let (current, next) = commit(app, record, operation, &event).await?;
        record = current;
        event = match next {
            Next::Wait(until) => return Ok((record, Disposition::WaitUntil(until))),
            Next::Drop => return Ok((record, Disposition::Delete)),
            Next::Look => Event::Arrived(message.clone()),
            Next::Prepare => match prepare(app, &record, operation).await {
                Ok(request) => {
                    prepared = Some(request);
                    Event::Prepared
                }
                Err(trouble) => Event::NotReady(trouble),
            },
            Next::Start { attempt } => match prepared.take() {
                Some(request) => start(app, &record, operation, request, attempt).await,
                None => Event::Arrived(message.clone()),
            },
            Next::Poll => poll(app, &record, operation, hop(message), receives).await,
            Next::Deliver => deliver(app, &record, hop(message)).await,
        };
    }
    Err(StepError::Restless)
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
            new.writer = Uuid::new_v4().simple().to_string();
            match update(app, &new, matters(event)).await? {
                Write::Applied => {
                    report(&record, &new);
                    let started = record.state.is_starting() && !new.state.is_starting();
                    record = *new;
                    if started {
                        lane::leave(app, &record, operation).await;
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
fn matters(event: &Event) -> bool {
    match event {
        Event::Started { .. } | Event::Called { .. } => true,
        Event::Arrived(_)
        | Event::Prepared
        | Event::NotReady(_)
        | Event::Polled { .. }
        | Event::Cancelled
        | Event::RedeliveryAsked
        | Event::Overdue => false,
    }
}

async fn update(app: &App, record: &Record, matters: bool) -> Result<Write, StoreError> {
    let mut pauses = REPEATS.iter().filter(|_| matters);
    loop {
        match app.store.update(record).await {
            Err(StoreError::Unavailable(cause)) => match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => {
                    if let State::Running { monitor } = &record.state {
                        // The last resort: the id at the end of the monitor is no secret, and all that is left.
                        let monitor = monitor.split('?').next().unwrap_or_default();
                        let tail = monitor.rsplit('/').next().unwrap_or_default();
                        tracing::error!(operation.id = %record.id, monitor.id = tail, "the monitor could not be stored");
                    }
                    return Err(StoreError::Unavailable(cause));
                }
            },
            result => return result,
        }
    }
}

/// Builds the start before it is claimed: its turn, its secrets, its token.
async fn prepare(
    app: &App,
    record: &Record,
    operation: &Operation,
) -> Result<StartRequest, NotReady> {
    let wait = |reason, seconds| NotReady {
        reason,
        retry_after: Some(Duration::from_secs(seconds)),
    };
    match lane::turn(app, record, operation).await {
        Ok(true) => {}
        Ok(false) => {
            // Whoever leaves the line wakes the next; this is for the case that it died first.
            let age = elapsed(record.created_at, app.now());
            let pause = (age / 10).clamp(Duration::from_secs(2), Duration::from_secs(60));
            return Err(NotReady {
                reason: None,
                retry_after: Some(pause),
            });
        }
        Err(_) => return Err(wait(None, 2)),
    }
    let mut parameters = record.parameters.clone();
    if let Some(sealed) = &record.sealed_parameters {
        let opened = app
            .config
            .sealer
            .open(&parameters_place(&record.id), sealed);
        let opened = opened.map_err(|_| wait(Some(Reason::SealedDataUnreadable), 300))?;
        let secrets = serde_json::from_str(opened.expose());
        let Ok(Value::Object(secrets)) = secrets else {
            return Err(wait(Some(Reason::SealedDataUnreadable), 300));
        };
        parameters.extend(secrets);
    }
    let tenant = tenant(app, record)?;
    let token = app
        .tokens
        .get(tenant, operation.token, &app.config.sealer)
        .await?;
    app.graph
        .start_request(operation, &parameters, &token)
        .map_err(|error| {
            tracing::error!(operation.id = %record.id, %error, "the start cannot be sent");
            wait(None, 300)
        })
}

async fn start(
    app: &App,
    record: &Record,
    operation: &Operation,
    request: StartRequest,
    attempt: u32,
) -> Event {
    let start_url = request.url.clone();
    let client_request_id = request.client_request_id.clone();
    let token = request.token.clone();
    let reply = app.graph.start(request).await;
    if is_unauthorized(&reply)
        && let Ok(tenant) = tenant(app, record)
    {
        app.tokens.forget(tenant, operation.token, &token).await;
    }
    Event::Started {
        attempt,
        client_request_id,
        start_url,
        reply,
    }
}

async fn poll(app: &App, record: &Record, operation: &Operation, hop: u32, receives: u32) -> Event {
    let polled = match try_poll(app, record, operation).await {
        // The token may have been revoked before its time: once more with a new one.
        Ok((_, reply, token)) if is_unauthorized(&reply) => match tenant(app, record) {
            Ok(tenant) => {
                app.tokens.forget(tenant, operation.token, &token).await;
                try_poll(app, record, operation).await
            }
            Err(trouble) => Err(trouble),
        },
        other => other,
    };
    let (client_request_id, reply) = match polled {
        Ok((id, reply, _)) => (id, Ok(reply)),
        Err(trouble) => (String::new(), Err(trouble)),
    };
    Event::Polled {
        hop,
        receives,
        client_request_id,
        reply,
    }
}

/// The `client-request-id`, the answer, and the token it was asked with.
async fn try_poll(
    app: &App,
    record: &Record,
    operation: &Operation,
) -> Result<(String, Reply, Secret), NotReady> {
    let tenant = tenant(app, record)?;
    if let Some(per_hour) = operation.budget_per_hour {
        let taken = app
            .budget
            .take(&tenant.name, &operation.name, per_hour, app.now());
        taken.map_err(|wait| NotReady {
            reason: None,
            retry_after: Some(wait),
        })?;
    }
    let token = app
        .tokens
        .get(tenant, operation.token, &app.config.sealer)
        .await?;
    let State::Running { monitor } = &record.state else {
        return Err(NotReady {
            reason: None,
            retry_after: None,
        });
    };
    app.graph
        .poll(operation, &record.parameters, monitor, &token)
        .await
        .map(|(id, reply)| (id, reply, token))
        .map_err(|error| {
            tracing::error!(operation.id = %record.id, %error, "the monitor cannot be asked");
            NotReady {
                reason: None,
                retry_after: None,
            }
        })
}

async fn deliver(app: &App, record: &Record, hop: u32) -> Event {
    let reply = match app.config.clients.get(&record.client) {
        Some(client) => {
            app.callbacks
                .deliver(record, client, &app.config.sealer)
                .await
        }
        None => crate::decide::CallbackReply {
            status: None,
            retry_after: None,
            detail: Some("the client is no longer configured".to_owned()),
        },
    };
    if !matches!(reply.status, Some(200..=299)) {
        let detail = reply.detail.as_deref().unwrap_or("refused");
        tracing::warn!(operation.id = %record.id, status = reply.status, detail, "callback not taken");
    }
    Event::Called { hop, reply }
}

fn tenant<'a>(app: &'a App, record: &Record) -> Result<&'a Tenant, NotReady> {
    app.config
        .graph
        .tenants
        .get(&record.tenant)
        .ok_or(NotReady {
            reason: Some(Reason::AuthorizationLost),
            retry_after: Some(Duration::from_secs(300)),
        })
}

fn hop(message: &Message) -> u32 {
    match message {
        Message::WatchdogV1 { .. } => 0,
        Message::PollV1 { hop, .. } => *hop,
    }
}

fn is_unauthorized(reply: &Reply) -> bool {
    matches!(reply, Reply::Answer(answer) if answer.status == 401)
}

/// One line at `info` for each change of the public status; nothing for a poll that saw nothing new.
fn report(old: &Record, new: &Record) {
    let (before, after) = (old.state.status(), new.state.status());
    if before != after || old.reason != new.reason {
        let reason = new.reason.map(Reason::word);
        tracing::info!(operation.id = %new.id, operation = new.operation, status = after, reason, "operation changed");
    }
    if let State::Closed { how, .. } = &new.state {
        tracing::info!(operation.id = %new.id, closed = ?how, attempts = new.delivery.attempts, "operation closed");
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
