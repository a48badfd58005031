//! The request half: record → message → (token → claim → Graph → result) → answer, in this order.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::app::App;
use crate::engine::start_line;
use crate::engine::step;
use crate::error_chain::chain;
use crate::http::problem::Problem;
use crate::http::request::{FIRST_REVISION, NewOperation};
use crate::operation::message::{Disposition, Message};
use crate::operation::{Record, State};
use crate::ports::Write;
use crate::time::later;

/// Longest time to load the current record for the answer after a failed start.
const LAST_LOAD_TIMEOUT: Duration = Duration::from_secs(1);

/// An operation that is on disk; `replayed` if an earlier request put it there.
pub(crate) struct Begun {
    pub(crate) record: Record,
    pub(crate) replayed: bool,
}

/// Records the request and, unless `deferred`, starts the operation.
///
/// Once the record is durable and its watchdog is queued, the operation is accepted whatever goes wrong afterwards: the
/// watchdog goes on with it.
pub(crate) async fn begin(
    app: &App,
    mut new: NewOperation<'_>,
    deferred: bool,
    ends_at: Timestamp,
) -> Result<Begun, Problem> {
    let now = app.now();
    let fingerprint = new.fingerprint.clone();
    let client = new.client();
    let refusal = if new.late.is_empty() {
        let has_room = app.open.has_room(&*app.store, client, now).await;
        (!has_room).then_some(Problem::TooManyOpenOperations {
            limit: client.max_open_operations,
        })
    } else {
        Some(Problem::InvalidRequest(std::mem::take(&mut new.late)))
    };
    if let Some(refusal) = refusal {
        let first = app.store.load(&new.id).await;
        return match first.map_err(|error| super::store(&error))? {
            Some(current) => replay(app, current, &fingerprint).await,
            None => Err(refusal),
        };
    }
    let watch = if deferred {
        now
    } else {
        later(now, app.timing.first_watch)
    };
    let mut record = new.into_record(&app.config.sealer, watch, now);
    record.writer = (app.ids)().simple().to_string();
    match app
        .store
        .insert(&record)
        .await
        .map_err(|error| super::store(&error))?
    {
        Write::Applied => app.open.add(client),
        Write::Refused(current) => return replay(app, *current, &fingerprint).await,
    }
    tracing::info!(operation.id = %record.id, operation = record.operation, client = record.client, "operation accepted");
    if let Some(operation) = app.catalogue.find(&record.operation)
        && let Err(error) = start_line::turn(app, &record, operation).await
    {
        tracing::warn!(operation.id = %record.id, error = %chain(&error), "could not join the line of starts; the operation joins it when it starts");
    }
    let watchdog = Message::WatchdogV1 {
        operation_id: record.id.clone(),
    };
    send(app, &watchdog, watch).await?;
    if deferred {
        return Ok(Begun {
            record,
            replayed: false,
        });
    }
    let id = record.id.clone();
    let begun = match step::advance(app, record.clone(), &watchdog, 1, ends_at).await {
        Ok((record, Disposition::WaitUntil(until))) => {
            // The watchdog that is queued waits for the end of the lease, but this start is due at another time.
            if send(app, &watchdog, until).await.is_err() {
                tracing::warn!(operation.id = %id, "could not queue a watchdog for the next attempt; the first watchdog makes it");
            }
            record
        }
        Ok((record, Disposition::Delete)) => record,
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "the step of the request failed; the watchdog goes on with the operation");
            let current = tokio::time::timeout(LAST_LOAD_TIMEOUT, app.store.load(&id)).await;
            current
                .ok()
                .and_then(Result::ok)
                .flatten()
                .unwrap_or(record)
        }
    };
    Ok(Begun {
        record: begun,
        replayed: false,
    })
}

/// Answers a repeated request with the record of the first one.
async fn replay(app: &App, current: Record, fingerprint: &str) -> Result<Begun, Problem> {
    if current.fingerprint != fingerprint {
        return Err(Problem::KeyReused);
    }
    // The process of the first request may have died between record and message; the record is unchanged since.
    if matches!(current.state, State::Accepted { .. }) && current.revision == FIRST_REVISION {
        let watchdog = Message::WatchdogV1 {
            operation_id: current.id.clone(),
        };
        send(app, &watchdog, current.due_at.unwrap_or(current.created_at)).await?;
    }
    Ok(Begun {
        record: current,
        replayed: true,
    })
}

async fn send(app: &App, message: &Message, due: Timestamp) -> Result<(), Problem> {
    app.queue.send(message, due).await.map_err(|error| {
        tracing::error!(operation.id = %message.operation_id(), error = %chain(&error), "could not queue a message");
        Problem::Unavailable
    })
}
