//! The loop that runs a step for each due message: bounded, and woken when one is due.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use courier_core::crash_point;
use courier_core::error_chain::chain;
use courier_core::operation::message::{Disposition, Message};
use courier_core::operation::{OperationId, Record};
use courier_core::time::Clock;
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::sqlite::Database;
use crate::timetable::{Capacity, Flow, Received};

/// Pause before the next attempt to note in the file that the worker goes on.
const NOTE_RETRY_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const DRAIN_VISIBILITY: SignedDuration = SignedDuration::from_secs(120);

#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Upper bound of steps that run at once; the work of one client of one kind gets at most a third of them.
    pub concurrency: usize,
    /// Time after which a message whose step has not ended is received again.
    pub visibility: Duration,
    /// Upper bound of a sleep, after which the clock is read again: it may have been set ahead.
    pub max_idle: Duration,
    /// Time that steps wait for the records that are loaded for them together; then each loads its own.
    pub load_patience: Duration,
    /// Time that steps in flight get to end when the shutdown begins.
    pub drain: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 192,
            visibility: Duration::from_secs(120),
            max_idle: Duration::from_secs(1),
            load_patience: Duration::from_secs(4),
            drain: Duration::from_secs(28),
        }
    }
}

/// Runs steps until `shutdown` becomes true (or its sender is gone), then waits for those in flight.
///
/// There must be one worker per `Database`. `load` reads the records of messages that are due together; a step whose
/// record it leaves out loads its own. A message whose step panics is received again after its visibility timeout.
pub async fn run<L, R, S, F>(
    database: Database,
    clock: Clock,
    options: WorkerOptions,
    (load, step): (L, S),
    mut shutdown: watch::Receiver<bool>,
) where
    L: Fn(Vec<OperationId>) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<Record>> + Send + 'static,
    S: Fn(Message, u32, Option<Record>) -> F + Send + Sync + 'static,
    F: Future<Output = Disposition> + Send + 'static,
{
    let step = Arc::new(step);
    let mut steps = JoinSet::new();
    let mut capacity = Capacity::new(options.concurrency);
    let mut noted_until = Timestamp::MIN;
    while !stopping(&shutdown) {
        while let Some(ended) = steps.try_join_next() {
            count_ended(&mut capacity, ended);
        }
        let now = clock();
        if now >= noted_until && database.next_due().is_some_and(|next| next <= now) {
            noted_until = note_alive(&database, now).await;
        }
        let pause = match queue_state(&database, clock(), &capacity, &options).await {
            QueueState::Due(due) => {
                report_lateness(&database, &due, clock());
                for (received, loaded) in with_records(due, &load) {
                    capacity.begin(&received.flow);
                    let record = within(loaded, options.load_patience);
                    steps.spawn(settle(
                        database.clone(),
                        Arc::clone(&step),
                        received,
                        record,
                    ));
                }
                continue;
            }
            QueueState::Idle(pause) => pause,
        };
        tokio::select! {
            // A step that ends makes room for a message of its flow that is due.
            Some(ended) = steps.join_next() => count_ended(&mut capacity, ended),
            () = sleep(pause) => {}
            () = database.earlier() => {}
            _ = shutdown.changed() => {}
        }
    }
    let drained = timeout(options.drain, async {
        while steps.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(
            steps = steps.len(),
            "the shutdown time is over; steps that still run are abandoned, and the next process goes on with them"
        );
    }
    if let Err(error) = database.note_end(clock()).await {
        tracing::warn!(error = %chain(&error), "could not note how far the timetable has come; the next process may poll some operations later than planned");
    }
}

/// Returns the record if it is loaded in time.
async fn within(loaded: Loaded, patience: Duration) -> Option<Record> {
    timeout(patience, loaded?).await.ok()?.ok()?
}

/// Notes in the file that messages are handled from now on, and returns when the next such note is needed.
///
/// Without the note the work goes on: a file that cannot be written is no reason not to watch what Graph does.
async fn note_alive(database: &Database, now: Timestamp) -> Timestamp {
    database.note_alive(now).await.unwrap_or_else(|error| {
        tracing::warn!(error = %chain(&error), "could not note how far the timetable has come; trying again");
        later(now, NOTE_RETRY_PAUSE)
    })
}

/// The record of a received message, once it is loaded.
type Loaded = Option<oneshot::Receiver<Option<Record>>>;

/// Loads the records of messages that are received together in one call; a single message loads its own.
fn with_records<L, R>(received: Vec<Received>, load: &L) -> Vec<(Received, Loaded)>
where
    L: Fn(Vec<OperationId>) -> R,
    R: Future<Output = Vec<Record>> + Send + 'static,
{
    if received.len() < 2 {
        return received.into_iter().map(|one| (one, None)).collect();
    }
    let mut wanted = HashMap::with_capacity(received.len());
    let mut all = Vec::with_capacity(received.len());
    for one in received {
        let (send, loaded) = oneshot::channel();
        wanted.insert(one.message.operation_id().clone(), send);
        all.push((one, Some(loaded)));
    }
    let records = load(wanted.keys().cloned().collect());
    tokio::spawn(async move {
        for record in records.await {
            if let Some(send) = wanted.remove(&record.id) {
                drop(send.send(Some(record)));
            }
        }
    });
    all
}

fn count_ended(capacity: &mut Capacity, ended: Result<Flow, JoinError>) {
    match ended {
        Ok(flow) => capacity.end(&flow),
        Err(error) => tracing::error!(%error, "a step's task ended without a result"),
    }
}

/// Receives at most `limit` messages due at `now`, runs their steps one after the other, and returns their number.
///
/// It is for tests with a virtual clock: it uses no timers, and a panic of a step is not caught.
pub async fn drain<S, F>(database: &Database, now: Timestamp, limit: usize, step: S) -> usize
where
    S: Fn(Message, u32) -> F,
    F: Future<Output = Disposition>,
{
    let capacity = Capacity::in_turn(limit);
    let received = database.receive(now, &capacity, later(now, DRAIN_VISIBILITY));
    let count = received.len();
    for Received {
        message,
        receipt,
        receives,
        ..
    } in received
    {
        match step(message, receives).await {
            Disposition::Delete => database.delete(&receipt),
            Disposition::WaitUntil(until) => database.postpone(&receipt, until),
        }
    }
    count
}

/// The state of the queue when the worker checks it.
enum QueueState {
    Due(Vec<Received>),
    /// Nothing is due for this long.
    Idle(Duration),
}

async fn queue_state(
    database: &Database,
    now: Timestamp,
    capacity: &Capacity,
    options: &WorkerOptions,
) -> QueueState {
    // From here on every announcement wakes the worker, so one between this query and the sleep is not lost.
    database.asleep_until(None);
    let mut next = database.next_due();
    if next.is_some_and(|next| next <= now) && capacity.free() > 0 {
        let visibility = SignedDuration::try_from(options.visibility).unwrap_or(DRAIN_VISIBILITY);
        crash_point!("message.receive", "before");
        let due = database.receive(now, capacity, later(now, visibility));
        crash_point!("message.receive", "after");
        if !due.is_empty() {
            return QueueState::Due(due);
        }
    }
    if next.is_some_and(|next| next <= now) {
        // What is due belongs to flows that have used up their share: it waits until one of their steps ends.
        next = database.next_due_after(now);
    }
    crash_point!("worker.sleep", "before");
    let pause = next.map_or(options.max_idle, |next| {
        Duration::try_from(next.duration_since(now)).unwrap_or_default()
    });
    database.asleep_until(next);
    QueueState::Idle(pause.min(options.max_idle))
}

/// Counts and logs how late the worker is; the first message is the one that is longest due.
fn report_lateness(database: &Database, received: &[Received], now: Timestamp) {
    let mut lateness = database.lateness();
    for one in received {
        let late = now.duration_since(one.due);
        lateness.observe(Duration::try_from(late).unwrap_or_default());
    }
    drop(lateness);
    if let Some(first) = received.first() {
        let late_ms = now.duration_since(first.due).as_millis();
        tracing::debug!(count = received.len(), late_ms, "messages received");
    }
}

/// Runs one step and deletes or postpones its message as the step decides.
///
/// Returns the flow of the message.
async fn settle<S, F>(
    database: Database,
    step: Arc<S>,
    received: Received,
    record: impl Future<Output = Option<Record>>,
) -> Flow
where
    S: Fn(Message, u32, Option<Record>) -> F,
    F: Future<Output = Disposition>,
{
    let id = received.message.operation_id().clone();
    let work =
        AssertUnwindSafe(async { step(received.message, received.receives, record.await).await });
    let worked = work.catch_unwind().await;
    crash_point!("message.settle", "before");
    match worked {
        Ok(Disposition::Delete) => database.delete(&received.receipt),
        Ok(Disposition::WaitUntil(until)) => database.postpone(&received.receipt, until),
        // The payload of a panic is not logged: it may quote the data of the step.
        Err(_) => {
            tracing::error!(operation.id = %id, "a step panicked; its message is received again after its visibility timeout");
        }
    }
    crash_point!("message.settle", "after");
    received.flow
}

fn stopping(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
