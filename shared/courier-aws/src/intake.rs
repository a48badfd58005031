//! One batch of an intake queue: each message is a client's request, and is deleted once it has been answered for good.
//!
//! Lambda deletes every message that the answer does not name, so the answer names all that are not certainly done.

use std::collections::BTreeMap;
use std::time::Duration;

use courier_core::engine::app::App;
use courier_core::error_chain::chain;
use courier_core::http::intake::{self, Taken};
use courier_core::time::later;
use futures_util::future::join_all;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tracing::Instrument;

use crate::queue::{SqsQueue, Waiting, name_of};

/// A message of an intake queue as the event source mapping passes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The message id, which is reported back when the message must stay.
    pub id: String,
    pub receipt: String,
    /// The queue that it comes from, which stands for the client's credentials.
    pub queue_arn: String,
    pub body: String,
    /// Number of receives, this one included.
    pub receives: u32,
}

/// Times reserved for hiding messages, and for the answer.
const RESERVED_FOR_HIDING: SignedDuration = SignedDuration::from_millis(2500);
const RESERVED_FOR_ANSWER: SignedDuration = SignedDuration::from_millis(500);
/// Pause before a message is tried again whose request was cut off.
const CUT_OFF_PAUSE: Duration = Duration::from_secs(60);
/// Number of receives, and the pause between them, before a message that is no event goes to the dead-letter queue.
///
/// Its queue may become a client's meanwhile, and a newer version may be able to read it.
const UNREADABLE_MAX_RECEIVES: u32 = 5;
const UNREADABLE_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause of a message that cannot be answered now, so that 1,000 receives last for ten days.
const MAX_PAUSE: Duration = Duration::from_secs(900);

/// Takes all messages at the same time, and returns before `ends_at` what has become of each.
pub(crate) async fn take(app: &App, arrivals: &[&Arrival], ends_at: Timestamp) -> Vec<Taken> {
    let each = arrivals.iter().map(|arrival| {
        let span = tracing::info_span!("message", message.id = arrival.id);
        let queue = name_of(&arrival.queue_arn);
        let taken = intake::take(app, queue, &arrival.body, ends_at);
        let taken = timeout(left(app, ends_at, RESERVED_FOR_HIDING), taken);
        // What was cut off is on disk or not; the next receive finds out.
        async { taken.await.unwrap_or(Taken::Later(CUT_OFF_PAUSE)) }.instrument(span)
    });
    join_all(each).await
}

/// Reports whether a newer configuration could have another answer.
pub(crate) fn depends_on_configuration(taken: &Taken) -> bool {
    match taken {
        Taken::Refused(refusal) => refusal.status == StatusCode::FORBIDDEN,
        Taken::Unreadable(_) => true,
        Taken::Accepted | Taken::Later(_) => false,
    }
}

/// Announces what was refused, hides what comes again, and returns the ids of the messages that stay in their queue.
pub(crate) async fn settle(
    app: &App,
    queue: &SqsQueue,
    taken: Vec<(&Arrival, Taken)>,
    ends_at: Timestamp,
) -> Vec<String> {
    let mut staying = Vec::new();
    let mut waiting: BTreeMap<&str, Vec<Waiting>> = BTreeMap::new();
    for (arrival, taken) in taken {
        let pause = match taken {
            Taken::Accepted => None,
            Taken::Refused(refusal) => {
                intake::refused(app, &refusal);
                None
            }
            Taken::Later(pause) => {
                let growing = Duration::from_secs(u64::from(arrival.receives) * 10);
                Some(pause.max(growing).min(MAX_PAUSE))
            }
            Taken::Unreadable(rule) => unreadable(app, queue, arrival, rule, ends_at).await,
        };
        if let Some(pause) = pause {
            staying.push(arrival.id.clone());
            let hidden = waiting.entry(&arrival.queue_arn).or_default();
            hidden.push(Waiting {
                receipt: arrival.receipt.clone(),
                until: later((app.clock)(), pause),
            });
        }
    }
    for (arn, waiting) in waiting {
        let hiding = async {
            match queue.of_arn(arn).await {
                Ok(queue) => queue.hide(&waiting).await,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the intake queue is not found; its messages are visible again after its visibility timeout")
                }
            }
        };
        let hidden = timeout(left(app, ends_at, RESERVED_FOR_ANSWER), hiding).await;
        if hidden.is_err() {
            tracing::warn!(
                "messages were not hidden in time; they are visible again after the queue's visibility timeout"
            );
        }
    }
    staying
}

/// Keeps a message that is no event for a while, then moves it to the dead-letter queue, which has an alarm.
///
/// Returns the pause after which it is received again; `None` if it has been moved.
async fn unreadable(
    app: &App,
    queue: &SqsQueue,
    arrival: &Arrival,
    rule: &str,
    ends_at: Timestamp,
) -> Option<Duration> {
    let id = &arrival.id;
    if arrival.receives < UNREADABLE_MAX_RECEIVES {
        tracing::warn!(
            message.id = id,
            rule,
            "a message is no request; trying again later"
        );
        return Some(UNREADABLE_PAUSE);
    }
    let moving = async {
        let queue = queue.of_arn(&arrival.queue_arn).await?;
        queue.dead_letter(&arrival.body).await
    };
    match timeout(left(app, ends_at, RESERVED_FOR_ANSWER), moving).await {
        Ok(Ok(())) => {
            tracing::error!(
                message.id = id,
                rule,
                "a message that is no request was moved to the dead-letter queue"
            );
            None
        }
        Ok(Err(error)) => {
            tracing::error!(message.id = id, error = %chain(&error), "moving a message to the dead-letter queue failed; trying again later");
            Some(UNREADABLE_PAUSE)
        }
        Err(_) => Some(UNREADABLE_PAUSE),
    }
}

/// Returns the time left before `ends_at` when `reserved` of it is set aside.
fn left(app: &App, ends_at: Timestamp, reserved: SignedDuration) -> Duration {
    let left = ends_at.duration_since((app.clock)());
    Duration::try_from(left.saturating_sub(reserved)).unwrap_or_default()
}
