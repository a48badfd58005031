//! The request half: record → message → (token → claim → Graph → result) → answer, in this order.
//!
//! If everything that the start needs is in memory, the record is stored with its start claimed, in one write, and no
//! message is queued before the start has an answer. Should this process die meanwhile, the sweeper finds the record.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::app::App;
use crate::engine::step::{self, StepError};
use crate::engine::{restoring, start_line};
use crate::error_chain::chain;
use crate::graph::client::StartRequest;
use crate::http::problem::Problem;
use crate::http::request::{FIRST_REVISION, NewOperation};
use crate::lifecycle::{Event, Next, decide};
use crate::operation::message::{Disposition, Message};
use crate::operation::{OperationId, Outcome, Reason, Record, State};
use crate::ports::Write;
use crate::time::{elapsed, later};

/// Longest time to load the current record for the answer after a failed start.
const LAST_LOAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Time by which the record of a deferred request is due after its message.
const DEFERRED_WATCH: Duration = Duration::from_secs(5);
/// Time for which the same request is a replay of one that Graph has refused.
const COPY_WINDOW: Duration = Duration::from_secs(5);
/// Revision of a record that was stored with its start claimed.
const CLAIMED_REVISION: u64 = FIRST_REVISION + 1;
/// An operation with less time than this before its deadline cannot wait for the sweeper.
const SWEEPER_IS_IN_TIME: Duration = Duration::from_secs(3600);
/// Largest number of operations that one idempotency key may begin, all but the last of them refused.
const MAX_GENERATIONS: u32 = 200;

/// An operation that is on disk; `replayed` if an earlier request put it there.
pub(crate) struct Begun {
    pub(crate) record: Record,
    pub(crate) replayed: bool,
}

/// Gives the operation of an idempotency key the id that it has in this deployment.
pub(crate) async fn identify(app: &App, new: &mut NewOperation<'_>) -> Result<(), Problem> {
    if new.is_derived {
        let deployment = app.deployment().await.map_err(|error| {
            tracing::error!(error = %chain(&error), "the deployment is not known; the request is answered with 503");
            Problem::Unavailable
        })?;
        let id = deployment.operation_id(&*app.store, &new.id).await;
        new.id = id.map_err(|error| super::store(&error))?;
    }
    Ok(())
}

/// Records the request and, unless `deferred`, starts the operation.
///
/// Once the record is durable, with its start claimed or its watchdog queued, the operation is accepted whatever goes
/// wrong afterwards: the watchdog or the sweeper goes on with it.
pub(crate) async fn begin(
    app: &App,
    mut new: NewOperation<'_>,
    deferred: bool,
    ends_at: Timestamp,
) -> Result<Begun, Problem> {
    let now = app.now();
    let fingerprints = [new.fingerprint.clone(), new.former_fingerprint.clone()];
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
        // A repeat of an earlier request is answered although a new one would be refused.
        return match latest(app, &new.id).await? {
            Some(current) if is_free(&current) && !fingerprints.contains(&current.fingerprint) => {
                Err(refusal)
            }
            Some(current) => replay(app, current, &fingerprints).await,
            None => Err(refusal),
        };
    }
    // A deferred record is due a little later than its message: a store that queues the message with the record would
    // otherwise have it received twice.
    let (watch, due) = if deferred {
        (later(now, DEFERRED_WATCH), now)
    } else {
        let watch = later(now, app.timing.first_watch);
        (watch, watch)
    };
    let may_claim = !deferred && app.has_time_for(app.timeouts.graph, ends_at);
    let (record, claimed) = match insert(app, &mut new, watch, now, may_claim).await? {
        Inserted::New(record, claimed) => {
            app.open.add(client);
            (*record, claimed)
        }
        Inserted::Existing(current) => return replay(app, *current, &fingerprints).await,
    };
    tracing::info!(operation.id = %record.id, operation = record.operation, client = record.client, "operation accepted");
    app.tell_inserted(&record);
    let record = match claimed {
        Some(claimed) => start_claimed(app, record, *claimed, ends_at).await,
        None if deferred => {
            join_line(app, &record).await;
            send(app, &watchdog(&record), due).await?;
            record
        }
        None => {
            join_line(app, &record).await;
            send(app, &watchdog(&record), due).await?;
            let advanced = step::advance(app, record.clone(), &watchdog(&record), 1, ends_at).await;
            settle(app, record, advanced).await
        }
    };
    Ok(Begun {
        record,
        replayed: false,
    })
}

fn watchdog(record: &Record) -> Message {
    Message::WatchdogV1 {
        operation_id: record.id.clone(),
    }
}

async fn join_line(app: &App, record: &Record) {
    if let Some(operation) = app.catalogue.find(&record.operation)
        && let Err(error) = start_line::turn(app, record, operation).await
    {
        tracing::warn!(operation.id = %record.id, error = %chain(&error), "could not join the line of starts; the operation joins it when it starts");
    }
}

/// Starts an operation whose record was stored with its start claimed.
async fn start_claimed(
    app: &App,
    record: Record,
    (next, request): Claimed,
    ends_at: Timestamp,
) -> Record {
    let watchdog = watchdog(&record);
    let lease_ends = record.due_at.unwrap_or(record.created_at);
    if elapsed(record.created_at, record.deadline) < SWEEPER_IS_IN_TIME {
        queue_again(app, &watchdog, lease_ends).await;
    }
    let next = (next, Some(request));
    let advanced = step::advance_from(app, record.clone(), next, &watchdog, 1, ends_at).await;
    if advanced.is_err() {
        queue_again(app, &watchdog, lease_ends).await;
    }
    settle(app, record, advanced).await
}

/// Queues a message without which the operation would wait for the sweeper.
async fn queue_again(app: &App, watchdog: &Message, due: Timestamp) {
    if send(app, watchdog, due).await.is_err() {
        tracing::warn!(operation.id = %watchdog.operation_id(), "could not queue a watchdog for the next attempt; an earlier watchdog or the sweeper makes it");
    }
}

/// Returns the record after the step of its request; the watchdog goes on with what is left to do.
async fn settle(
    app: &App,
    record: Record,
    advanced: Result<(Record, Disposition), StepError>,
) -> Record {
    let id = record.id.clone();
    match advanced {
        Ok((record, Disposition::WaitUntil(until))) => {
            // A watchdog that is queued waits for the end of the lease, but this start is due at another time.
            queue_again(app, &watchdog(&record), until).await;
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
    }
}

/// What is to be done next about a record that was stored with its start claimed.
type Claimed = (Next, StartRequest);

enum Inserted {
    New(Box<Record>, Option<Box<Claimed>>),
    /// The record of an earlier request with the same key.
    Existing(Box<Record>),
}

/// Inserts the record of a request, under the id of its key or, while that one's start was refused, the next one's.
///
/// If it may, and nothing has to be waited for, it claims the start by the same write.
async fn insert(
    app: &App,
    new: &mut NewOperation<'_>,
    due: Timestamp,
    now: Timestamp,
    may_claim: bool,
) -> Result<Inserted, Problem> {
    for _ in 0..MAX_GENERATIONS {
        let mut record = new.record(&app.config.sealer, due, now);
        record.writer = (app.ids)().simple().to_string();
        record.begin_chain();
        restoring::hold_start(app, &mut record, now);
        let claimed = may_claim.then(|| claim(app, &record, now)).flatten();
        let (record, claimed) = match claimed {
            Some((record, claimed)) => (record, Some(Box::new(claimed))),
            None => (Box::new(record), None),
        };
        let inserted = app.store.insert(&record).await;
        match inserted.map_err(|error| super::store(&error))? {
            Write::Applied => return Ok(Inserted::New(record, claimed)),
            Write::Refused(current) if may_follow(&current, new, now) => new.follow(&current),
            Write::Refused(current) => return Ok(Inserted::Existing(current)),
        }
    }
    Err(Problem::Conflict {
        rule: "requests with this idempotency key were refused too often: use another key",
    })
}

/// Claims the start of a record that is not stored yet.
fn claim(app: &App, record: &Record, now: Timestamp) -> Option<(Box<Record>, Claimed)> {
    let operation = app.catalogue.find(&record.operation)?;
    let request = step::prepare_at_once(app, record, operation)?;
    let decision = decide(
        record,
        &Event::Prepared { container: None },
        now,
        &app.policy(record, operation),
    );
    Some((decision.write?, (decision.next, request)))
}

/// Returns the newest operation of the key whose first operation has this id.
async fn latest(app: &App, first: &OperationId) -> Result<Option<Record>, Problem> {
    let mut id = first.clone();
    let mut found = None;
    for _ in 0..MAX_GENERATIONS {
        let loaded = app.store.load(&id).await;
        let Some(record) = loaded.map_err(|error| super::store(&error))? else {
            break;
        };
        id = record.id.next_generation();
        let is_last = !is_free(&record);
        found = Some(record);
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// Reports whether it is certain that no job was started, so that the idempotency key may be used again.
fn is_free(record: &Record) -> bool {
    match (record.state.outcome(), record.reason) {
        (Some(Outcome::Failed), Some(Reason::StartRejected)) => true,
        (Some(Outcome::Expired), _) => record.started_at.is_none() && !record.maybe_started,
        _ => false,
    }
}

/// Reports whether the request begins a new operation after the refused one.
///
/// A copy of the refused request, which a proxy or a client may send at the same time, is still a replay of it.
fn may_follow(refused: &Record, new: &NewOperation<'_>, now: Timestamp) -> bool {
    let is_same = [&new.fingerprint, &new.former_fingerprint].contains(&&refused.fingerprint);
    let is_copy = is_same
        && refused
            .ended_at
            .is_some_and(|ended| elapsed(ended, now) < COPY_WINDOW);
    is_free(refused) && !is_copy
}

/// Answers a repeated request with the record of the first one, which has one of the request's `fingerprints`.
async fn replay(app: &App, current: Record, fingerprints: &[String; 2]) -> Result<Begun, Problem> {
    if !fingerprints.contains(&current.fingerprint) {
        return Err(Problem::KeyReused);
    }
    // The process of the first request may have died between record and message; the record is unchanged since.
    let is_as_stored = match current.state {
        State::Accepted { .. } => current.revision == FIRST_REVISION,
        State::Starting { lease_until } => {
            current.revision == CLAIMED_REVISION && lease_until <= app.now()
        }
        State::StartUnknown { .. }
        | State::Locating { .. }
        | State::Running { .. }
        | State::Ended { .. }
        | State::Closed { .. } => false,
    };
    if is_as_stored {
        let due = current.due_at.unwrap_or(current.created_at);
        send(app, &watchdog(&current), due).await?;
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
