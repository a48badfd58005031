//! The events that wait to be sent once. They are lost with the process, and the newest are dropped when there are too many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::operation::FrozenEvent;

/// Most events that wait, of about 1 KiB each.
const CAPACITY: usize = 2000;
/// Most events of one batch: so many does `PutEvents` take.
const BATCH: usize = 10;

#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<VecDeque<FrozenEvent>>,
    arrived: Notify,
}

impl Outbox {
    /// Adds an event. Reports whether there was room.
    pub(crate) fn add(&self, event: FrozenEvent) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.len() < CAPACITY;
        if has_room {
            waiting.push_back(event);
            drop(waiting);
            self.arrived.notify_one();
        }
        has_room
    }

    /// Takes the oldest events.
    pub(crate) fn take(&self) -> Vec<FrozenEvent> {
        let mut waiting = self.lock();
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }

    /// Puts back what was taken and not sent. Returns how many events are dropped for want of room.
    pub(crate) fn put_back(&self, batch: Vec<FrozenEvent>) -> usize {
        let mut waiting = self.lock();
        let room = CAPACITY.saturating_sub(waiting.len());
        let dropped = batch.len().saturating_sub(room);
        for event in batch.into_iter().skip(dropped).rev() {
            waiting.push_front(event);
        }
        dropped
    }

    /// Drops everything and returns how much that was.
    pub(crate) fn clear(&self) -> usize {
        let mut waiting = self.lock();
        let count = waiting.len();
        waiting.clear();
        count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Completes when an event has been added.
    pub(crate) async fn arrival(&self) {
        if self.is_empty() {
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<FrozenEvent>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> FrozenEvent {
        FrozenEvent {
            id: number.to_string(),
            kind: String::new(),
            body: String::new(),
            is_otherwise: false,
            unknown: crate::operation::Unknown::new(),
        }
    }

    #[test]
    fn the_newest_events_are_dropped_when_there_is_no_room_and_what_is_put_back_comes_first() {
        let outbox = Outbox::default();
        let added = (0..CAPACITY + 5).filter(|number| outbox.add(event(*number)));
        assert_eq!(added.count(), CAPACITY);
        let batch = outbox.take();
        assert_eq!(batch.len(), BATCH);
        assert!(outbox.add(event(9999)));
        // One place is taken, so the oldest of the batch is dropped.
        assert_eq!(outbox.put_back(batch), 1);
        assert_eq!(outbox.take()[0].id, "1");
        assert_eq!(outbox.clear(), CAPACITY - BATCH);
        assert!(outbox.is_empty());
    }
}
