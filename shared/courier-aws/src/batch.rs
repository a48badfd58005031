//! One batch of queue messages: each has its own step, its own time limit, and its own handling of panics.
//!
//! Lambda deletes every message that the answer does not name, so the answer names all that are not certainly done.

use std::collections::HashMap;
use std::time::Duration;

use courier_core::crash_point;
use courier_core::engine::app::App;
use courier_core::engine::step::guarded_step;
use courier_core::error_chain::chain;
use courier_core::operation::message::{Disposition, Message};
use courier_core::operation::{OperationId, Record};
use courier_core::ports::Queue;
use courier_core::time::later;
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use crate::queue::{SqsQueue, Waiting};

/// A message as the event source mapping passes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message id, which is reported back when the message must stay.
    pub id: String,
    pub receipt: String,
    pub body: String,
    /// Number of receives, this one included.
    pub receives: u32,
    pub sent_at: Timestamp,
}

/// Time reserved after a step for recording a crashed step and renewing the message.
/// The two shorter ones are reserved for hiding messages and for the answer.
const RESERVED_AFTER_STEPS: SignedDuration = SignedDuration::from_secs(5);
const RESERVED_FOR_HIDING: SignedDuration = SignedDuration::from_millis(2500);
const RESERVED_FOR_ANSWER: SignedDuration = SignedDuration::from_millis(500);
/// Time after which the messages of finished steps are hidden while other steps of the batch still run.
const HIDING_PAUSE: Duration = Duration::from_secs(2);
/// Time that a batch may spend on reading its records in one call.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause before a message that needed even more than the reserved time is received again.
const CUT_OFF_STEP_PAUSE: Duration = Duration::from_secs(120);
/// Age and number of receives at which a message is renewed.
///
/// SQS forgets a message after 10 days, and moves it to the dead-letter queue after 1,000 receives.
pub const OLD: SignedDuration = SignedDuration::from_hours(7 * 24);
pub const MOST_RECEIVES: u32 = 500;
/// Number of receives, and the pause between them, before an unreadable message goes to the dead-letter queue.
///
/// A newer version of the program may be able to read it meanwhile.
const UNREADABLE_MAX_RECEIVES: u32 = 5;
const UNREADABLE_PAUSE: Duration = Duration::from_secs(60);

/// Runs one step for each message, concurrently, and returns before `ends_at`.
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
    let refreshed = app.overflow.refresh(&*app.store, (app.clock)());
    let (records, ()) = join(records(app, &messages), refreshed).await;
    let steps = deliveries.iter().zip(&messages).map(|(delivery, message)| {
        let record = message
            .as_ref()
            .and_then(|message| records.get(message.operation_id()).cloned());
        async move {
            let cut_off = later((app.clock)(), CUT_OFF_STEP_PAUSE);
            let work = one(app, queue, delivery, message.as_ref(), record, ends_at);
            let disposition = timeout(left(app, ends_at, RESERVED_FOR_HIDING), work).await;
            (
                delivery,
                disposition.unwrap_or(Disposition::WaitUntil(cut_off)),
            )
        }
    });
    crash_point!("message.receive", "after");
    let mut running: FuturesUnordered<_> = steps.collect();
    let mut staying = Vec::new();
    let mut waiting = Vec::new();
    loop {
        let ended = match waiting.is_empty() {
            true => running.next().await,
            // A slow step must not keep the messages of the others hidden longer than they have to wait.
            false => match timeout(HIDING_PAUSE, running.next()).await {
                Ok(ended) => ended,
                Err(_) => {
                    let hidden = hide(app, queue, std::mem::take(&mut waiting), ends_at);
                    join(running.next(), hidden).await.0
                }
            },
        };
        match ended {
            Some((delivery, Disposition::WaitUntil(until))) => {
                staying.push(delivery.id.clone());
                waiting.push(Waiting {
                    receipt: delivery.receipt.clone(),
                    until,
                });
            }
            Some((_, Disposition::Delete)) => {}
            None => {
                hide(app, queue, waiting, ends_at).await;
                // In the order of the batch, not in the order in which the steps ended.
                let ids = deliveries.iter().map(|delivery| delivery.id.clone());
                return ids.filter(|id| staying.contains(id)).collect();
            }
        }
    }
}

/// Hides messages until they are due, if there is time left for it.
async fn hide(app: &App, queue: &SqsQueue, waiting: Vec<Waiting>, ends_at: Timestamp) {
    crash_point!("message.settle", "before");
    let left = left(app, ends_at, RESERVED_FOR_ANSWER);
    let hidden = timeout(left, queue.hide(&waiting)).await;
    crash_point!("message.settle", "after");
    if hidden.is_err() {
        tracing::warn!(
            "messages were not hidden in time; they are visible again after the queue's visibility timeout"
        );
    }
}

/// Returns the time left before `ends_at` when `reserved` of it is set aside.
fn left(app: &App, ends_at: Timestamp, reserved: SignedDuration) -> Duration {
    let left = ends_at
        .duration_since((app.clock)())
        .saturating_sub(reserved);
    Duration::try_from(left).unwrap_or_default()
}

/// Loads the records of a batch in one call; the step of a record that is missing here loads its own.
async fn records(app: &App, messages: &[Option<Message>]) -> HashMap<OperationId, Record> {
    let ids: Vec<OperationId> = messages
        .iter()
        .flatten()
        .map(|message| message.operation_id().clone())
        .collect();
    if ids.len() < 2 {
        return HashMap::new();
    }
    let loaded = timeout(RECORDS_TIMEOUT, app.store.load_many(&ids)).await;
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
    let steps_end = ends_at
        .saturating_sub(RESERVED_AFTER_STEPS)
        .unwrap_or(ends_at);
    let disposition = guarded_step(app, record, message, receives, steps_end).await;
    match disposition {
        Disposition::WaitUntil(until) if needs_renewal(delivery, (app.clock)()) => {
            renew(queue, message, receives, until).await
        }
        disposition @ (Disposition::WaitUntil(_) | Disposition::Delete) => disposition,
    }
}

fn needs_renewal(delivery: &Delivery, now: Timestamp) -> bool {
    delivery.receives >= MOST_RECEIVES || now.duration_since(delivery.sent_at) >= OLD
}

/// Sends a fresh message, and lets the old one be deleted only after that.
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
            tracing::warn!(operation.id = %id, error = %chain(&error), "renewing a message failed; the old one stays in the queue");
            Disposition::WaitUntil(until)
        }
    }
}

/// Keeps a message that cannot be read for a while, then moves it to the dead-letter queue, which has an alarm.
///
/// It may be somebody else's, or of a newer version.
async fn unreadable(app: &App, queue: &SqsQueue, delivery: &Delivery) -> Disposition {
    let again = Disposition::WaitUntil(later((app.clock)(), UNREADABLE_PAUSE));
    if delivery.receives < UNREADABLE_MAX_RECEIVES {
        tracing::warn!(
            message.id = delivery.id,
            "a message cannot be read; trying again later"
        );
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
            tracing::error!(message.id = delivery.id, %error, "moving an unreadable message to the dead-letter queue failed; trying again later");
            again
        }
    }
}
