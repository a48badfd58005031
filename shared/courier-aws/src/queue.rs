//! The `Queue` port on one SQS standard queue, with hiding of waiting messages and moving of unreadable ones.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, QueueAttributeName, SendMessageBatchRequestEntry,
};
use courier_core::error_chain::chain;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use courier_core::time::Clock;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde_json::Value;

/// The longest delay of a new message that SQS accepts, in seconds (SendMessage, `DelaySeconds`).
const MAX_DELAY_SECONDS: i32 = 900;
/// The longest time for which a received message is hidden, in seconds.
///
/// SQS refuses to hide a message for more than 12 hours after its receive. Lambda may have held it for the queue's
/// visibility timeout of 360 s, and an invocation lasts a minute.
const MAX_VISIBILITY_SECONDS: i32 = 42_700;
/// Upper bound of the entries of a batch request.
const MAX_BATCH_ENTRIES: usize = 10;
/// Batches that are sent side by side.
const BATCHES_AT_A_TIME: usize = 16;

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    clock: Clock,
}

/// A received message that must be visible again at `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub receipt: String,
    pub until: Timestamp,
}

impl SqsQueue {
    pub fn new(client: Client, url: impl Into<String>, clock: Clock) -> Self {
        Self {
            client,
            url: url.into(),
            clock,
        }
    }

    /// Returns the queue of this ARN, which is of the same account's or another's.
    pub async fn of_arn(&self, arn: &str) -> Result<Self, QueueError> {
        let unknown = || QueueError("SQS knows no queue of this ARN".into());
        let (account, name) = place(arn).ok_or_else(unknown)?;
        let url = self
            .client
            .get_queue_url()
            .queue_name(name)
            .queue_owner_aws_account_id(account)
            .send()
            .await
            .map_err(|error| QueueError(error.into()))?
            .queue_url;
        Ok(Self {
            url: url.ok_or_else(unknown)?,
            ..self.clone()
        })
    }

    /// Hides messages until they are due, or for 12 hours if that is sooner: the record decides whether it was long
    /// enough.
    ///
    /// One that cannot be hidden is visible again after the queue's own visibility timeout.
    pub async fn hide(&self, waiting: &[Waiting]) {
        for waiting in waiting.chunks(MAX_BATCH_ENTRIES) {
            let now = (self.clock)();
            let mut request = self
                .client
                .change_message_visibility_batch()
                .queue_url(&self.url);
            for (index, message) in waiting.iter().enumerate() {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&message.receipt)
                    .visibility_timeout(seconds(now, message.until).min(MAX_VISIBILITY_SECONDS))
                    .build();
                match entry {
                    Ok(entry) => request = request.entries(entry),
                    Err(error) => {
                        tracing::error!(%error, "a message cannot be hidden; it is visible again after the queue's visibility timeout")
                    }
                }
            }
            match request.send().await {
                Ok(answer) => {
                    for failed in answer.failed {
                        tracing::warn!(
                            code = failed.code,
                            "SQS did not hide a message; it is visible again after the queue's visibility timeout"
                        );
                    }
                }
                Err(error) => {
                    let error: Cause = error.into();
                    tracing::warn!(error = %chain(&*error), "hiding messages failed; they are visible again after the queue's visibility timeout");
                }
            }
        }
    }

    /// Copies a body to the dead-letter queue that the queue's own redrive policy names.
    pub async fn dead_letter(&self, body: &str) -> Result<(), QueueError> {
        let wrap = |cause: Cause| QueueError(cause);
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::RedrivePolicy);
        let attributes = attributes
            .send()
            .await
            .map_err(|error| wrap(error.into()))?;
        let policy = attributes.attributes.unwrap_or_default();
        let policy = policy.get(&QueueAttributeName::RedrivePolicy);
        let arn = policy
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .and_then(|policy| policy["deadLetterTargetArn"].as_str().map(str::to_owned));
        let arn = arn.ok_or_else(|| wrap("the queue names no dead-letter queue".into()))?;
        let dead = self.of_arn(&arn).await?;
        let sent = self
            .client
            .send_message()
            .queue_url(dead.url)
            .message_body(body);
        sent.send().await.map_err(|error| wrap(error.into()))?;
        Ok(())
    }
}

#[async_trait]
impl Queue for SqsQueue {
    /// Sends a message that becomes visible at `due`.
    ///
    /// SQS delays for 15 minutes at most: a message due later arrives early, and is then hidden until it is due.
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        let body = serde_json::to_string(message).map_err(|error| QueueError(error.into()))?;
        let delay = seconds((self.clock)(), due).min(MAX_DELAY_SECONDS);
        let request = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .delay_seconds(delay);
        request
            .send()
            .await
            .map_err(|error| QueueError(error.into()))?;
        Ok(())
    }

    async fn send_all(&self, messages: &[(Message, Timestamp)]) -> Result<(), QueueError> {
        for batches in messages.chunks(MAX_BATCH_ENTRIES * BATCHES_AT_A_TIME) {
            let batches = batches.chunks(MAX_BATCH_ENTRIES);
            try_join_all(batches.map(|batch| self.send_batch(batch))).await?;
        }
        Ok(())
    }

    async fn in_flight(&self) -> Result<Option<u64>, QueueError> {
        let name = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(name.clone());
        let answer = attributes
            .send()
            .await
            .map_err(|error| QueueError(error.into()))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = attributes.get(&name).and_then(|text| text.parse().ok());
        count.map_or_else(
            || Err(QueueError("the queue did not say how many".into())),
            |count| Ok(Some(count)),
        )
    }
}

impl SqsQueue {
    /// Sends up to [`MAX_BATCH_ENTRIES`] messages in one request.
    async fn send_batch(&self, messages: &[(Message, Timestamp)]) -> Result<(), QueueError> {
        let now = (self.clock)();
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (index, (message, due)) in messages.iter().enumerate() {
            let body = serde_json::to_string(message).map_err(|error| QueueError(error.into()))?;
            let entry = SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .delay_seconds(seconds(now, *due).min(MAX_DELAY_SECONDS))
                .build()
                .map_err(|error| QueueError(error.into()))?;
            request = request.entries(entry);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| QueueError(error.into()))?;
        match answer.failed.first() {
            Some(failed) => Err(QueueError(
                format!("SQS refused a message of a batch: {}", failed.code).into(),
            )),
            None => Ok(()),
        }
    }
}

/// Returns the seconds from `now` to `due`, rounded up so that a message is never early.
fn seconds(now: Timestamp, due: Timestamp) -> i32 {
    let millis = due.duration_since(now).as_millis().max(0);
    i32::try_from((millis + 999) / 1000).unwrap_or(i32::MAX)
}

/// Returns account and name of a queue, given its ARN.
fn place(arn: &str) -> Option<(&str, &str)> {
    let (front, name) = arn.rsplit_once(':')?;
    Some((front.rsplit(':').next()?, name))
}

/// Returns the name of a queue, given its ARN.
pub(crate) fn name_of(arn: &str) -> &str {
    place(arn).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds_and_never_negative() {
        let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
        let check =
            |due: &str, expected| assert_eq!(seconds(now, due.parse().unwrap()), expected, "{due}");
        check("2026-11-21T19:59:59Z", 0);
        check("2026-11-21T20:00:00Z", 0);
        check("2026-11-21T20:00:00.001Z", 1);
        check("2026-11-21T20:00:01Z", 1);
        check("2026-11-22T20:00:00Z", 86_400);
        check("9999-12-30T00:00:00Z", i32::MAX);
    }

    #[test]
    fn a_queue_is_found_by_its_arn() {
        let arn = "arn:aws:sqs:eu-west-1:123456789012:courier-dead";
        assert_eq!(place(arn), Some(("123456789012", "courier-dead")));
        assert_eq!(name_of(arn), "courier-dead");
        assert_eq!(place("courier-dead"), None);
    }
}
