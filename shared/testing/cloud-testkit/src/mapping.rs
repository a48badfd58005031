//! An event source mapping: what Lambda runs between an SQS queue and a function, with its rules of what is deleted.
//!
//! It receives and deletes directly at MiniStack. Loops are cut as Lambda does: an invocation carries the deepest lineage
//! `n` of its batch in its trace header, the AWS SDK repeats the header on every call, and the proxy notes n + 1 for each
//! message sent that way. A message deeper than 16 is not handed over and not deleted, so that it ends in the dead-letter
//! queue. Messages from elsewhere have lineage 0.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::REGION;
use crate::function::{Function, Outcome, new_trace};
use crate::ministack::MiniStack;
use crate::proxy::Proxy;
use crate::python::digest;
use crate::queues::Message;

/// The deepest lineage that is still handed over.
const DEEPEST: u32 = 16;
/// The pause of `run` before it looks into an empty queue again.
const TICK: Duration = Duration::from_millis(10);

/// Feeds one queue to one function. Clones share the counts.
#[derive(Clone)]
pub struct Mapping {
    ministack: MiniStack,
    queue: String,
    queue_arn: String,
    function: Function,
    /// Where lineage is noted.
    proxy: Option<Proxy>,
    batch_size: usize,
    partial: bool,
    allowing_loops: bool,
    /// Names the function in a lineage.
    hash: String,
    state: Arc<Mutex<State>>,
}

/// The result of one batch.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The number of messages that were received; 0 when there were none.
    pub received: usize,
    /// `None` when nothing was handed over.
    pub outcome: Option<Outcome>,
    /// The time that the invocation took, with its start if it was a cold one.
    pub took: Duration,
    /// True if it had no usable answer, so that all of it counts as failed.
    pub failed: bool,
    /// Message ids.
    pub deleted: Vec<String>,
    /// Message ids: these appear again after their visibility timeout.
    pub kept: Vec<String>,
    /// Message ids that were not handed over, for they are part of a loop.
    pub refused: Vec<String>,
}

/// Sums over all batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that were handed over.
    pub batches: usize,
    /// The number of these without a usable answer.
    pub failed_batches: usize,
    pub deleted: usize,
    pub kept: usize,
}

#[derive(Default)]
struct State {
    counts: Counts,
    loops: HashSet<String>,
    deepest: u32,
}

impl Mapping {
    /// Batches of at most 10, with `ReportBatchItemFailures`.
    pub async fn start(ministack: &MiniStack, queue: &str, function: &Function) -> Self {
        Self {
            ministack: ministack.clone(),
            queue: queue.to_owned(),
            queue_arn: ministack.queue_arn(queue).await,
            function: function.clone(),
            proxy: None,
            batch_size: 10,
            partial: true,
            allowing_loops: false,
            hash: digest(function.arn().as_bytes())[..8].to_owned(),
            state: Arc::default(),
        }
    }

    /// Detects loops by what this proxy saw; without it every message has lineage 0.
    #[must_use]
    pub fn with_lineage(mut self, proxy: &Proxy) -> Self {
        self.proxy = Some(proxy.clone());
        self
    }

    /// As with `RecursiveLoop: Allow`: lineage is counted, nothing is cut.
    #[must_use]
    pub fn allowing_loops(mut self) -> Self {
        self.allowing_loops = true;
        self
    }

    #[must_use]
    pub fn with_batch_size(mut self, most: usize) -> Self {
        self.batch_size = most;
        self
    }

    /// Without `ReportBatchItemFailures`: whatever the function answers, the batch succeeded.
    #[must_use]
    pub fn with_ordinary_batches(mut self) -> Self {
        self.partial = false;
        self
    }

    /// Receives once, without waiting; invokes; deletes what AWS would.
    pub async fn poll_once(&self) -> Batch {
        let queue = &self.queue;
        let messages = self.ministack.receive_up_to(queue, self.batch_size).await;
        let received = messages.len();
        let lineage = |message: &Message| self.lineage(message);
        let (messages, loops): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .partition(|message| self.allowing_loops || lineage(message) <= DEEPEST);
        let mut batch = Batch {
            received,
            refused: ids(&loops),
            ..Batch::default()
        };
        if !messages.is_empty() {
            let depth = messages.iter().map(lineage).max().unwrap_or(0);
            let trace = new_trace(self.function.now());
            let trace = format!("{trace};Lineage=1:{}:{depth}", self.hash);
            let event = self.event(&messages);
            let began = Instant::now();
            let outcome = self.function.invoke_traced(&event, &trace).await;
            batch.took = began.elapsed();
            self.settle(&mut batch, &messages, outcome).await;
            self.count(&batch, depth);
        }
        let loops = batch.refused.iter().cloned();
        self.state().loops.extend(loops);
        batch
    }

    /// Polls until the queue has nothing visible; the batches.
    pub async fn drain(&self) -> Vec<Batch> {
        let mut batches = Vec::new();
        loop {
            let batch = self.poll_once().await;
            if batch.received == 0 {
                return batches;
            }
            batches.push(batch);
            assert!(batches.len() < 10_000, "the queue is never empty");
        }
    }

    /// Polls until `stop` resolves, and finishes the batch in hand. Several may run at once.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut tick = interval(TICK);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                _ = tick.tick() => {}
            }
            // A batch is never given up halfway.
            let polling = async { while self.poll_once().await.received > 0 {} };
            let mut polling = std::pin::pin!(polling);
            tokio::select! {
                biased;
                () = &mut polling => {}
                () = &mut stop => {
                    polling.await;
                    return;
                }
            }
        }
    }

    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The number of messages that were not handed over, for they are part of a loop.
    pub fn dropped_loops(&self) -> usize {
        self.state().loops.len()
    }

    /// The deepest lineage that was handed over. 0 also means: nobody passes the trace header on.
    pub fn deepest_lineage(&self) -> u32 {
        self.state().deepest
    }

    fn lineage(&self, message: &Message) -> u32 {
        let known = self
            .proxy
            .as_ref()
            .and_then(|proxy| proxy.lineage_of(&message.id));
        match known {
            Some((hash, number)) if hash == self.hash => number,
            _ => 0,
        }
    }

    fn event(&self, messages: &[Message]) -> Value {
        let record = |message: &Message| {
            let attribute = |name: &str| message.attribute(name).to_owned();
            json!({
                "messageId": message.id,
                "receiptHandle": message.receipt_handle,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": attribute("ApproximateReceiveCount"),
                    "SentTimestamp": attribute("SentTimestamp"),
                    "SenderId": attribute("SenderId"),
                    "ApproximateFirstReceiveTimestamp":
                        attribute("ApproximateFirstReceiveTimestamp"),
                },
                "messageAttributes": {},
                "md5OfBody": message.md5,
                "eventSource": "aws:sqs",
                "eventSourceARN": self.queue_arn,
                "awsRegion": REGION,
            })
        };
        let records: Vec<Value> = messages.iter().map(record).collect();
        json!({ "Records": records })
    }

    async fn settle(&self, batch: &mut Batch, messages: &[Message], outcome: Outcome) {
        let failed = match &outcome {
            Outcome::Answer(_) if !self.partial => Some(HashSet::new()),
            Outcome::Answer(answer) => failed_items(answer, &ids(messages)),
            Outcome::NotJson(_) | Outcome::Error { .. } | Outcome::TimedOut | Outcome::Crashed => {
                None
            }
        };
        for message in messages {
            let keep = failed
                .as_ref()
                .is_none_or(|failed| failed.contains(&message.id));
            if keep {
                batch.kept.push(message.id.clone());
            } else {
                // A handle that has grown old deletes nothing, at AWS without a word.
                let handle = &message.receipt_handle;
                self.ministack.delete(&self.queue, handle).await;
                batch.deleted.push(message.id.clone());
            }
        }
        batch.failed = failed.is_none();
        batch.outcome = Some(outcome);
    }

    fn count(&self, batch: &Batch, depth: u32) {
        let mut state = self.state();
        state.deepest = state.deepest.max(depth);
        let counts = &mut state.counts;
        counts.batches += 1;
        counts.failed_batches += usize::from(batch.failed);
        counts.deleted += batch.deleted.len();
        counts.kept += batch.kept.len();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ids(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.id.clone()).collect()
}

/// The items that failed; `None` when AWS would take the whole batch for failed.
///
/// Lambda Developer Guide, "Success and failure conditions": no list, or an empty one, is success of all; an identifier
/// that is no string, empty or unknown is failure of all.
fn failed_items(answer: &Value, sent: &[String]) -> Option<HashSet<String>> {
    if answer.is_null() {
        return Some(HashSet::new());
    }
    let failures = match answer.as_object()?.get("batchItemFailures") {
        None | Some(Value::Null) => return Some(HashSet::new()),
        Some(failures) => failures.as_array()?,
    };
    let identifier = |failure: &Value| {
        let id = failure.as_object()?.get("itemIdentifier")?.as_str()?;
        sent.iter().any(|sent| sent == id).then(|| id.to_owned())
    };
    failures.iter().map(identifier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: Value, expected: Option<&[&str]>) {
        let sent = ["a".to_owned(), "b".to_owned()];
        let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(failed_items(&answer, &sent), expected, "{answer}");
    }

    #[test]
    fn the_answer_says_which_items_failed_and_in_doubt_all_did() {
        let failures = |items: Value| json!({ "batchItemFailures": items });
        let item =
            |id: Value| failures(json!([{ "itemIdentifier": "a" }, { "itemIdentifier": id }]));
        check(Value::Null, Some(&[]));
        check(json!({}), Some(&[]));
        check(json!({ "statusCode": 200 }), Some(&[]));
        check(failures(Value::Null), Some(&[]));
        check(failures(json!([])), Some(&[]));
        check(failures(json!([{ "itemIdentifier": "b" }])), Some(&["b"]));
        check(item(json!("b")), Some(&["a", "b"]));
        check(item(json!("a")), Some(&["a"]));
        check(item(json!("")), None);
        check(item(Value::Null), None);
        check(item(json!(1)), None);
        check(item(json!("unknown")), None);
        check(failures(json!([{ "itemIdentifer": "a" }])), None);
        check(failures(json!(["a"])), None);
        check(failures(json!({ "itemIdentifier": "a" })), None);
        check(json!("done"), None);
        check(json!([]), None);
        check(json!(true), None);
    }
}
