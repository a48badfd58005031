//! The contract of the `Queue` port and of the platform's way of receiving, as properties with a virtual clock.
//!
//! A platform may keep two messages of one operation or let the newer replace the older; the newer one must arrive.

use courier_core::operation::OperationId;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use jiff::Timestamp;

use crate::Verdict;
use crate::sample::at;

/// A platform's way of receiving, as the tests need it.
pub trait Consumer: Queue + Sized {
    type Receipt: Send + Sync;

    /// Receives at most `limit` messages that are due; they are visible again at `visible_again`.
    fn receive(
        &self,
        now: Timestamp,
        limit: usize,
        visible_again: Timestamp,
    ) -> impl Future<Output = Result<Vec<Taken<Self::Receipt>>, QueueError>> + Send;

    fn delete(
        &self,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    fn postpone(
        &self,
        receipt: &Self::Receipt,
        until: Timestamp,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

#[derive(Debug)]
pub struct Taken<R> {
    pub message: Message,
    pub receipt: R,
    /// Number of receives, this one included.
    pub receives: u32,
}

/// Runs every property, each on an empty queue of its own that `new` makes.
pub async fn queue_contract<C: Consumer>(new: impl AsyncFn() -> C) -> Verdict {
    a_message_is_delivered_when_due_and_not_before(new().await).await?;
    a_message_comes_back_until_it_is_deleted(new().await).await?;
    a_postponed_message_comes_back_then(new().await).await?;
    what_is_due_comes_once_and_no_more_than_the_limit_at_a_time(new().await).await?;
    a_newer_message_survives_the_deletion_of_the_older(new().await).await?;
    the_same_message_may_be_sent_twice(new().await).await?;
    a_stale_receipt_does_no_harm(new().await).await
}

pub async fn a_message_is_delivered_when_due_and_not_before<C: Consumer>(queue: C) -> Verdict {
    let message = watchdog();
    queue.send(&message, at(60)).await?;
    assert_eq!(take(&queue, at(0), at(120)).await?, []);
    let just_before = at(60) - jiff::SignedDuration::from_millis(1);
    assert_eq!(take(&queue, just_before, at(120)).await?, []);
    assert_eq!(take(&queue, at(60), at(120)).await?, [(message, 1)]);
    Ok(())
}

pub async fn a_message_comes_back_until_it_is_deleted<C: Consumer>(queue: C) -> Verdict {
    let message = poll(1);
    queue.send(&message, at(0)).await?;
    assert_eq!(take(&queue, at(0), at(120)).await?, [(message.clone(), 1)]);
    assert_eq!(take(&queue, at(119), at(240)).await?, [], "invisible");
    let taken = queue.receive(at(120), 10, at(240)).await?;
    let [again] = &taken[..] else {
        return Err("the message should be visible again".into());
    };
    assert_eq!((&again.message, again.receives), (&message, 2));
    queue.delete(&again.receipt).await?;
    assert_eq!(take(&queue, at(100_000), at(100_120)).await?, []);
    Ok(())
}

pub async fn a_postponed_message_comes_back_then<C: Consumer>(queue: C) -> Verdict {
    let message = poll(1);
    queue.send(&message, at(0)).await?;
    for (round, (now, until)) in [(0, 5), (5, 3600), (3600, 3700)].into_iter().enumerate() {
        let taken = queue.receive(at(now), 10, at(now + 120)).await?;
        let [taken] = &taken[..] else {
            return Err(format!("the message should be due at {now}").into());
        };
        assert_eq!(taken.receives as usize, round + 1);
        queue.postpone(&taken.receipt, at(until)).await?;
        assert_eq!(take(&queue, at(until - 1), at(until + 120)).await?, []);
    }
    assert_eq!(take(&queue, at(3700), at(3800)).await?, [(message, 4)]);
    Ok(())
}

pub async fn what_is_due_comes_once_and_no_more_than_the_limit_at_a_time<C: Consumer>(
    queue: C,
) -> Verdict {
    let sent = send_four(&queue).await?;
    let first = take_two(&queue).await?;
    let second = take_two(&queue).await?;
    assert_eq!((first.len(), second.len()), (2, 1));
    let taken = [first, second].concat();
    for message in &sent[..3] {
        assert!(taken.contains(message), "{message:?}");
    }
    Ok(())
}

/// Applies only to a queue that keeps order; SQS does not guarantee it.
pub async fn the_longest_due_come_first<C: Consumer>(queue: C) -> Verdict {
    let sent = send_four(&queue).await?;
    let first = take_two(&queue).await?;
    assert_eq!(first, [sent[1].clone(), sent[2].clone()]);
    assert_eq!(take_two(&queue).await?, [sent[0].clone()]);
    Ok(())
}

/// Sends messages due at 30, 10, 20 and 40.
async fn send_four<C: Consumer>(queue: &C) -> Result<Vec<Message>, QueueError> {
    let mut messages = Vec::new();
    for due in [30, 10, 20, 40] {
        let message = watchdog();
        queue.send(&message, at(due)).await?;
        messages.push(message);
    }
    Ok(messages)
}

/// Receives at 35, at most two messages.
async fn take_two<C: Consumer>(queue: &C) -> Result<Vec<Message>, QueueError> {
    let taken = queue.receive(at(35), 2, at(500)).await?;
    Ok(taken.into_iter().map(|taken| taken.message).collect())
}

pub async fn a_newer_message_survives_the_deletion_of_the_older<C: Consumer>(queue: C) -> Verdict {
    let older = watchdog();
    let newer = Message::PollV1 {
        operation_id: older.operation_id().clone(),
        epoch: 1,
        location: Some("https://graph.example/v1.0/operations('1')".to_owned()),
        receives_before: 0,
    };
    queue.send(&older, at(0)).await?;
    let taken = queue.receive(at(0), 10, at(120)).await?;
    queue.send(&newer, at(30)).await?;
    for taken in &taken {
        queue.delete(&taken.receipt).await?;
    }
    assert_eq!(take(&queue, at(29), at(200)).await?, []);
    assert_eq!(take(&queue, at(30), at(200)).await?, [(newer, 1)]);
    Ok(())
}

pub async fn the_same_message_may_be_sent_twice<C: Consumer>(queue: C) -> Verdict {
    let message = poll(3);
    queue.send(&message, at(10)).await?;
    queue.send(&message, at(10)).await?;
    let taken = take(&queue, at(10), at(130)).await?;
    assert!(
        !taken.is_empty() && taken.iter().all(|(each, _)| *each == message),
        "{taken:?}"
    );
    Ok(())
}

pub async fn a_stale_receipt_does_no_harm<C: Consumer>(queue: C) -> Verdict {
    let message = poll(1);
    queue.send(&message, at(0)).await?;
    let stale = queue.receive(at(0), 10, at(120)).await?;
    let fresh = queue.receive(at(120), 10, at(240)).await?;
    for taken in &stale {
        queue.postpone(&taken.receipt, at(100_000)).await?;
        queue.delete(&taken.receipt).await?;
    }
    assert_eq!(
        take(&queue, at(240), at(360)).await?,
        [(message, 3)],
        "still there"
    );
    for taken in stale.iter().chain(&fresh) {
        queue.delete(&taken.receipt).await?;
    }
    assert_eq!(
        take(&queue, at(360), at(480)).await?.len(),
        1,
        "still there"
    );
    Ok(())
}

async fn take<C: Consumer>(
    queue: &C,
    now: Timestamp,
    visible_again: Timestamp,
) -> Result<Vec<(Message, u32)>, QueueError> {
    let taken = queue.receive(now, 10, visible_again).await?;
    Ok(taken
        .into_iter()
        .map(|taken| (taken.message, taken.receives))
        .collect())
}

fn watchdog() -> Message {
    Message::WatchdogV1 {
        operation_id: OperationId::random(),
    }
}

fn poll(epoch: u32) -> Message {
    Message::PollV1 {
        operation_id: OperationId::random(),
        epoch,
        location: Some("https://graph.example/v1.0/operations('1')".to_owned()),
        receives_before: 0,
    }
}
