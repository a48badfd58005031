//! The queue, as SQS is when it is at its worst: at least once, in any order, for ten days, and not everything comes back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use courier_core::time::{elapsed, later};
use jiff::Timestamp;

use crate::checks;
use crate::messages::Queued;
use crate::world::{Life, World, lock};

/// Limits of SQS ("Amazon SQS message quotas" in its developer guide), as `courier-aws` keeps them.
const LONGEST_DELAY: Duration = Duration::from_secs(900);
const LONGEST_VISIBILITY: Duration = Duration::from_secs(42_700);
const RETENTION: Duration = Duration::from_secs(10 * 86_400);
/// The time for which a message is hidden while it is worked on.
const VISIBILITY: Duration = Duration::from_secs(360);
const SOON: Duration = Duration::from_millis(1);
/// So many messages may overtake one.
const OUT_OF_ORDER: usize = 32;

/// A message as a worker holds it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) number: u64,
    pub(crate) message: Message,
    pub(crate) sent_at: Timestamp,
    pub(crate) receives: u32,
}

/// The queue as one process sees it.
pub(crate) struct SimulatedQueue(pub(crate) Arc<Life>);

#[async_trait]
impl Queue for SimulatedQueue {
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        let (life, world) = (&self.0, &self.0.world);
        life.moment("message.send").await;
        if world.strikes(world.plan.send_refused) {
            life.report("message.send: refused");
            return Err(QueueError("refused by the simulation".into()));
        }
        checks::no_secret(world, "a message", &serde_json::json!(message).to_string());
        let delay = elapsed(life.now(), due).min(LONGEST_DELAY);
        let copies = match world.within(0..1000) as f64 / 1000.0 {
            _ if world.is_calm() => 1,
            chance if chance < world.plan.message_lost => 0,
            chance if chance > 1.0 - world.plan.message_doubled => 2,
            _ => 1,
        };
        life.report(format_args!(
            "sends {} x{copies}, in {delay:?}",
            name(world, message)
        ));
        if matches!(message, Message::PollV1 { .. }) {
            let mut carriers = lock(&world.carriers);
            *carriers.entry(message.operation_id().clone()).or_default() += copies;
        }
        lock(&world.effort).sends += u64::from(copies);
        for _ in 0..copies {
            add(world, message, later(world.now(), delay));
        }
        life.moment("message.send").await;
        if world.strikes(world.plan.send_ambiguous) {
            life.report("message.send: answer lost");
            return Err(QueueError("refused by the simulation".into()));
        }
        Ok(())
    }

    async fn in_flight(&self) -> Result<Option<u64>, QueueError> {
        self.0.moment("queue.measure").await;
        let world = &self.0.world;
        if world.strikes(world.plan.send_refused) {
            return Err(QueueError("refused by the simulation".into()));
        }
        let in_flight = lock(&world.messages).in_flight(world.now());
        Ok(Some(in_flight as u64))
    }
}

fn add(world: &World, message: &Message, visible_at: Timestamp) {
    lock(&world.messages).add(Queued {
        message: message.clone(),
        visible_at,
        sent_at: world.now(),
        receives: 0,
    });
    world.queued.notify_waiters();
}

fn name(world: &World, message: &Message) -> String {
    let operation = world.name(message.operation_id());
    match message {
        Message::WatchdogV1 { .. } => format!("{operation} watchdog"),
        Message::PollV1 { epoch, .. } => format!("{operation} poll h{epoch}"),
    }
}

/// Up to `most` messages that may be seen now, in no order, hidden from the others for a while.
pub(crate) fn receive(life: &Life, most: u64) -> Vec<Received> {
    let mut received = Vec::new();
    while (received.len() as u64) < most {
        match receive_one(life) {
            Some(one) => received.push(one),
            None => break,
        }
    }
    received
}

fn receive_one(life: &Life) -> Option<Received> {
    let world = &life.world;
    let now = world.now();
    loop {
        let mut messages = lock(&world.messages);
        let visible = messages
            .visible
            .range(..=(now, u64::MAX))
            .take(OUT_OF_ORDER);
        let visible: Vec<u64> = visible.map(|(_, number)| *number).collect();
        if visible.is_empty() {
            return None;
        }
        let number = *world.random().pick(&visible);
        // Another receiver gets it too.
        let doubled = world.strikes(world.plan.message_doubled / 4.0);
        let hidden = if doubled { SOON } else { VISIBILITY };
        let queued = messages.receive(number)?;
        let received = Received {
            number,
            message: queued.message.clone(),
            sent_at: queued.sent_at,
            receives: queued.receives,
        };
        let name = name(world, &received.message);
        let old = elapsed(received.sent_at, now) >= RETENTION;
        if old || received.receives > world.plan.most_receives {
            messages.remove(number);
            life.report(format_args!("{name} is too old or received too often"));
            continue;
        }
        messages.hide(number, later(now, hidden));
        lock(&world.effort).receives += 1;
        life.report(format_args!("takes {name} for time {}", received.receives));
        return Some(received);
    }
}

/// The time when the next message may be seen.
pub(crate) fn next_visible(world: &World) -> Option<Timestamp> {
    let messages = lock(&world.messages);
    messages.visible.first().map(|(visible_at, _)| *visible_at)
}

pub(crate) fn postpone(life: &Life, received: &Received, until: Timestamp) {
    let world = &life.world;
    let hidden = elapsed(life.now(), until).min(LONGEST_VISIBILITY);
    let until = later(world.now(), hidden);
    let mut messages = lock(&world.messages);
    messages.hide(received.number, until);
    let in_flight = messages.in_flight(world.now());
    drop(messages);
    let mut effort = lock(&world.effort);
    effort.hidings += 1;
    effort.most_in_flight = effort.most_in_flight.max(in_flight);
    drop(effort);
    let name = name(world, &received.message);
    life.report(format_args!("hides {name} for {hidden:?}"));
    world.queued.notify_waiters();
}

pub(crate) fn delete(life: &Life, received: &Received) {
    let world = &life.world;
    let name = name(world, &received.message);
    lock(&world.effort).deletions += 1;
    if world.strikes(world.plan.message_resurrected) {
        let pause = Duration::from_secs(world.within(1..7200));
        lock(&world.messages).hide(received.number, later(world.now(), pause));
        life.report(format_args!("deletes {name}, and it comes back"));
    } else {
        lock(&world.messages).remove(received.number);
        life.report(format_args!("deletes {name}"));
    }
}

pub(crate) fn waiting(world: &World) -> usize {
    lock(&world.messages).queued.len()
}
