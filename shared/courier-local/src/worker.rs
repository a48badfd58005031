//! The loop that runs a step for each due message: bounded, woken when one is due, backing off while the file is
//! unusable.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use courier_core::crash_point;
use courier_core::operation::message::{Disposition, Message};
use courier_core::ports::QueueError;
use courier_core::time::Clock;
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::sqlite::{Capacity, Database, Received};

const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
const DRAIN_VISIBILITY: SignedDuration = SignedDuration::from_secs(120);

#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Upper bound of steps that run at once; the work of one client of one kind gets at most a third of them.
    pub concurrency: usize,
    /// Time after which a message whose step has not ended is received again.
    pub visibility: Duration,
    /// Upper bound of a sleep: another process may have sent a message without waking this one.
    pub max_idle: Duration,
    /// Time that steps in flight get to end when the shutdown begins.
    pub drain: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 192,
            visibility: Duration::from_secs(120),
            max_idle: Duration::from_secs(1),
            drain: Duration::from_secs(28),
        }
    }
}

/// Runs steps until `shutdown` becomes true (or its sender is gone), then waits for those in flight.
///
/// There must be one worker per `Database`. A message whose step panics is received again after its visibility timeout.
pub async fn run<S, F>(
    database: Database,
    clock: Clock,
    options: WorkerOptions,
    step: S,
    mut shutdown: watch::Receiver<bool>,
) where
    S: Fn(Message, u32) -> F + Send + Sync + 'static,
    F: Future<Output = Disposition> + Send + 'static,
{
    let step = Arc::new(step);
    let mut steps = JoinSet::new();
    let mut capacity = Capacity::new(options.concurrency);
    let mut back_off = BACK_OFF_FIRST;
    while !stopping(&shutdown) {
        while let Some(ended) = steps.try_join_next() {
            count_ended(&mut capacity, ended);
        }
        let pause = match queue_state(&database, clock(), &capacity, &options).await {
            Ok(QueueState::Due(due)) => {
                back_off = BACK_OFF_FIRST;
                report_lateness(&due, clock());
                for received in due {
                    capacity.begin(&received.flow);
                    steps.spawn(settle(database.clone(), Arc::clone(&step), received));
                }
                continue;
            }
            Ok(QueueState::Idle(pause)) => {
                back_off = BACK_OFF_FIRST;
                pause
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the queue cannot be read; trying again"
                );
                tokio::select! {
                    () = sleep(back_off) => {}
                    _ = shutdown.changed() => {}
                }
                back_off = (back_off * 2).min(BACK_OFF_MAX);
                continue;
            }
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
            "the shutdown time is over; steps that still run are abandoned, and their messages are received again"
        );
    }
}

fn count_ended(capacity: &mut Capacity, ended: Result<String, JoinError>) {
    match ended {
        Ok(flow) => capacity.end(&flow),
        Err(error) => tracing::error!(%error, "a step's task ended without a result"),
    }
}

/// Receives at most `limit` messages due at `now`, runs their steps one after the other, and returns their number.
///
/// It is for tests with a virtual clock: it uses no timers, and a panic of a step is not caught.
pub async fn drain<S, F>(
    database: &Database,
    now: Timestamp,
    limit: usize,
    step: S,
) -> Result<usize, QueueError>
where
    S: Fn(Message, u32) -> F,
    F: Future<Output = Disposition>,
{
    let capacity = Capacity::in_turn(limit);
    let received = database
        .receive(now, &capacity, later(now, DRAIN_VISIBILITY))
        .await?;
    let count = received.len();
    for Received {
        message,
        receipt,
        receives,
        ..
    } in received
    {
        match step(message, receives).await {
            Disposition::Delete => database.delete(&receipt).await?,
            Disposition::WaitUntil(until) => database.postpone(&receipt, until).await?,
        }
    }
    Ok(count)
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
) -> Result<QueueState, QueueError> {
    // From here on every announcement wakes the worker, so one between this query and the sleep is not lost.
    database.asleep_until(None);
    let mut next = database.next_due().await?;
    if next.is_some_and(|next| next <= now) && capacity.free() > 0 {
        let visibility = SignedDuration::try_from(options.visibility).unwrap_or(DRAIN_VISIBILITY);
        crash_point!("message.receive", "before");
        let due = database
            .receive(now, capacity, later(now, visibility))
            .await?;
        crash_point!("message.receive", "after");
        if !due.is_empty() {
            return Ok(QueueState::Due(due));
        }
    }
    if next.is_some_and(|next| next <= now) {
        // What is due belongs to flows that have used up their share: it waits until one of their steps ends.
        next = database.next_due_after(now).await?;
    }
    crash_point!("worker.sleep", "before");
    let pause = next.map_or(options.max_idle, |next| {
        Duration::try_from(next.duration_since(now)).unwrap_or_default()
    });
    database.asleep_until(next);
    Ok(QueueState::Idle(pause.min(options.max_idle)))
}

/// Logs how late the worker is; the first message is the one that is longest due.
fn report_lateness(received: &[Received], now: Timestamp) {
    if let Some(first) = received.first() {
        let late_ms = now.duration_since(first.due).as_millis();
        tracing::debug!(count = received.len(), late_ms, "messages received");
    }
}

/// Runs one step and deletes or postpones its message as the step decides.
///
/// Returns the flow of the message.
async fn settle<S, F>(database: Database, step: Arc<S>, received: Received) -> String
where
    S: Fn(Message, u32) -> F,
    F: Future<Output = Disposition>,
{
    let id = received.message.operation_id().clone();
    let work = AssertUnwindSafe(async { step(received.message, received.receives).await });
    let worked = work.catch_unwind().await;
    crash_point!("message.settle", "before");
    let settled = match worked {
        Ok(Disposition::Delete) => database.delete(&received.receipt).await,
        Ok(Disposition::WaitUntil(until)) => database.postpone(&received.receipt, until).await,
        // The payload of a panic is not logged: it may quote the data of the step.
        Err(_) => {
            tracing::error!(operation.id = %id, "a step panicked; its message is received again after its visibility timeout");
            return received.flow;
        }
    };
    crash_point!("message.settle", "after");
    if let Err(error) = settled {
        tracing::warn!(
            operation.id = %id,
            error = &error as &dyn std::error::Error,
            "a message could not be deleted or postponed; it is received again after its visibility timeout"
        );
    }
    received.flow
}

fn stopping(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
