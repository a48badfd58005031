//! One batch of the queue: every message on its own, with its own time and its own panics.
//!
//! The answer names every message that is not certainly done, because the platform deletes those that it does not name.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use courier_core::crash_point;
use courier_core::engine::app::App;
use courier_core::engine::step::{step, step_crashed, step_on};
use courier_core::error_chain::chain;
use courier_core::operation::message::{Disposition, Message};
use courier_core::operation::{OperationId, Record};
use courier_core::ports::Queue;
use courier_core::time::later;
use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use crate::queue::{SqsQueue, Waiting};

/// A message as the event source mapping hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Reported back when it is to stay.
    pub id: String,
    pub receipt: String,
    pub body: String,
    /// The number of times that it has been received, this time included.
    pub receives: u32,
    pub sent_at: Timestamp,
}

/// Kept back for what follows a step: a crashed step written down, a message renewed; then messages hidden; then the answer.
const AFTERWARDS: SignedDuration = SignedDuration::from_secs(5);
const HIDING: SignedDuration = SignedDuration::from_millis(2500);
const ANSWERING: SignedDuration = SignedDuration::from_millis(500);
/// The time that a batch spends on reading its records at once.
const READING: Duration = Duration::from_secs(4);
/// Pause of a message that even this time was too short for.
const CUT_OFF: Duration = Duration::from_secs(120);
/// A message is renewed before the queue forgets it (10 days) or takes it for poison (1,000 receives).
pub const OLD: SignedDuration = SignedDuration::from_hours(7 * 24);
pub const MOST_RECEIVES: u32 = 500;
/// An unreadable message gets this many tries, this far apart, before it goes to the dead-letter queue: a newer version may read it.
const UNREADABLE_TRIES: u32 = 5;
const UNREADABLE_PAUSE: Duration = Duration::from_secs(60);

/// Takes one step for each message, side by side, and is done before `ends_at`.
///
/// Returns the ids of the messages that stay in the queue; the others are to be deleted.
pub async fn handle(
    app: &App,
    queue: &SqsQueue,
    deliveries: &[Delivery],
    ends_at: Timestamp,
) -> Vec<String> {
    let messages: Vec<Option<Message>> = deliveries
        .iter()
        .map(|delivery| serde_json::from_str(&delivery.body).ok())
        .collect();
    let records = records(app, &messages).await;
    let steps = deliveries.iter().zip(&messages).map(|(delivery, message)| {
        let record = message
            .as_ref()
            .and_then(|message| records.get(message.operation_id()).cloned());
        async move {
            let cut_off = later((app.clock)(), CUT_OFF);
            let work = one(app, queue, delivery, message.as_ref(), record, ends_at);
            let fate = timeout(left(app, ends_at, HIDING), work).await;
            fate.unwrap_or(Disposition::WaitUntil(cut_off))
        }
    });
    crash_point!("message.receive", "after");
    let fates = join_all(steps).await;
    let mut staying = Vec::new();
    let mut waiting = Vec::new();
    for (delivery, fate) in deliveries.iter().zip(fates) {
        if let Disposition::WaitUntil(until) = fate {
            staying.push(delivery.id.clone());
            waiting.push(Waiting {
                receipt: delivery.receipt.clone(),
                until,
            });
        }
    }
    crash_point!("message.settle", "before");
    let hidden = timeout(left(app, ends_at, ANSWERING), queue.hide(&waiting)).await;
    crash_point!("message.settle", "after");
    if hidden.is_err() {
        tracing::warn!("messages were not hidden in time");
    }
    staying
}

/// Returns the time that is left before `ends_at` if `kept` of it is kept back.
fn left(app: &App, ends_at: Timestamp, kept: SignedDuration) -> Duration {
    let left = ends_at.duration_since((app.clock)()).saturating_sub(kept);
    Duration::try_from(left).unwrap_or_default()
}

/// The records of a batch, read at once; one that is not here is read by its own step.
async fn records(app: &App, messages: &[Option<Message>]) -> HashMap<OperationId, Record> {
    let ids: Vec<OperationId> = messages
        .iter()
        .flatten()
        .map(|message| message.operation_id().clone())
        .collect();
    if ids.len() < 2 {
        return HashMap::new();
    }
    let loaded = timeout(READING, app.store.load_many(&ids)).await;
    let records = loaded.ok().and_then(Result::ok).unwrap_or_default();
    let by_id = records
        .into_iter()
        .map(|record| (record.id.clone(), record));
    by_id.collect()
}

async fn one(
    app: &App,
    queue: &SqsQueue,
    delivery: &Delivery,
    message: Option<&Message>,
    record: Option<Record>,
    ends_at: Timestamp,
) -> Disposition {
    let Some(message) = message else {
        return unreadable(app, queue, delivery).await;
    };
    let receives = delivery.receives;
    let steps_end = ends_at.saturating_sub(AFTERWARDS).unwrap_or(ends_at);
    let work = AssertUnwindSafe(async {
        match record {
            Some(record) => step_on(app, record, message, receives, steps_end).await,
            None => step(app, message, receives, steps_end).await,
        }
    });
    let fate = match timeout(left(app, ends_at, AFTERWARDS), work.catch_unwind()).await {
        Ok(Ok(fate)) => fate,
        Ok(Err(_)) | Err(_) => step_crashed(app, message.operation_id()).await,
    };
    match fate {
        Disposition::WaitUntil(until) if needs_renewal(delivery, (app.clock)()) => {
            renew(queue, message, receives, until).await
        }
        fate @ (Disposition::WaitUntil(_) | Disposition::Delete) => fate,
    }
}

fn needs_renewal(delivery: &Delivery, now: Timestamp) -> bool {
    delivery.receives >= MOST_RECEIVES || now.duration_since(delivery.sent_at) >= OLD
}

/// Sends a fresh message and only then lets the old one go.
async fn renew(
    queue: &SqsQueue,
    message: &Message,
    receives: u32,
    until: Timestamp,
) -> Disposition {
    crash_point!("renewal.send", "before");
    let sent = queue.send(&message.renewed(receives), until).await;
    crash_point!("renewal.send", "after");
    match sent {
        Ok(()) => Disposition::Delete,
        Err(error) => {
            let id = message.operation_id();
            tracing::warn!(operation.id = %id, error = %chain(&error), "a message was not renewed");
            Disposition::WaitUntil(until)
        }
    }
}

/// Not one of ours, or of a version to come: kept for a while, then moved aside where an alarm watches.
async fn unreadable(app: &App, queue: &SqsQueue, delivery: &Delivery) -> Disposition {
    let again = Disposition::WaitUntil(later((app.clock)(), UNREADABLE_PAUSE));
    if delivery.receives < UNREADABLE_TRIES {
        tracing::warn!(message.id = delivery.id, "a message cannot be read");
        return again;
    }
    match queue.dead_letter(&delivery.body).await {
        Ok(()) => {
            tracing::error!(
                message.id = delivery.id,
                "an unreadable message was moved to the dead-letter queue"
            );
            Disposition::Delete
        }
        Err(error) => {
            let error = chain(&error);
            tracing::error!(message.id = delivery.id, %error, "an unreadable message was not moved to the dead-letter queue");
            again
        }
    }
}
