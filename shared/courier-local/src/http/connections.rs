//! The open connections of a server: their number, and which of them has waited longest for its client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// Divisor of the limit that bounds evicted connections not yet closed; closing takes a moment, and an open file.
const LEAVING_PART: usize = 16;

/// The connections of one server, at most `limit` at once.
///
/// A connection that waits for its client (for a head, a body, or until the answer is read) may be closed to make room,
/// the longest wait first. One whose request is in a handler is never closed.
pub(crate) struct Connections {
    limit: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    working: usize,
    leaving: usize,
    /// The waiting connections in the order in which their waits began; dropping the sender closes the connection.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    waits: u64,
}

/// The slot of one connection; dropping it frees the slot.
pub(crate) struct ConnectionSlot {
    connections: Arc<Connections>,
    state: Mutex<SlotState>,
}

enum SlotState {
    /// The connection waits for its client; the number is its key in `State::waiting`.
    Waiting(u64),
    Working(oneshot::Sender<()>),
    Evicted,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Waits until one more connection may enter: a slot is free, or an existing connection may be evicted.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            self.changed.notified().await;
        }
    }

    fn has_room(&self) -> bool {
        let state = self.state();
        let leaving = (self.limit / LEAVING_PART).max(1);
        let replaceable = !state.waiting.is_empty() && state.leaving < leaving;
        state.count() < self.limit || replaceable
    }

    /// Returns a slot for a new connection, and a receiver that ends when the connection is evicted.
    pub(crate) fn enter(self: &Arc<Self>) -> (ConnectionSlot, oneshot::Receiver<()>) {
        let (stay, evicted) = oneshot::channel();
        let mut state = self.state();
        if state.count() >= self.limit && state.waiting.pop_first().is_some() {
            state.leaving += 1;
            tracing::debug!(
                "the connection limit is reached; closing the one that has waited longest"
            );
        }
        let slot_state = Mutex::new(state.wait(stay));
        let connections = Arc::clone(self);
        let slot = ConnectionSlot {
            connections,
            state: slot_state,
        };
        (slot, evicted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        self.working + self.waiting.len()
    }

    fn wait(&mut self, stay: oneshot::Sender<()>) -> SlotState {
        self.waits += 1;
        self.waiting.insert(self.waits, stay);
        SlotState::Waiting(self.waits)
    }
}

impl ConnectionSlot {
    /// Records that a request has arrived; `false` means that the connection was evicted and the request must not be
    /// handled.
    pub(crate) fn work(&self) -> bool {
        let mut slot_state = self.state();
        let SlotState::Waiting(since) = *slot_state else {
            return false;
        };
        let mut state = self.connections.state();
        let stay = state.waiting.remove(&since);
        let stays = stay.is_some();
        state.working += usize::from(stays);
        *slot_state = stay.map_or(SlotState::Evicted, SlotState::Working);
        stays
    }

    /// Records that the request has been handled and that the connection waits for its client again.
    pub(crate) fn wait(&self) {
        let mut slot_state = self.state();
        *slot_state = match std::mem::replace(&mut *slot_state, SlotState::Evicted) {
            SlotState::Working(stay) => {
                let mut state = self.connections.state();
                state.working -= 1;
                self.connections.changed.notify_one();
                state.wait(stay)
            }
            other @ (SlotState::Waiting(_) | SlotState::Evicted) => other,
        };
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        let left = match *self.state() {
            SlotState::Waiting(since) => state.waiting.remove(&since).is_none(),
            // The client is gone; the handler goes on without it.
            SlotState::Working(_) => {
                state.working -= 1;
                false
            }
            SlotState::Evicted => true,
        };
        state.leaving -= usize::from(left);
        self.connections.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports whether the connection has been evicted.
    fn is_evicted(evicted: &mut oneshot::Receiver<()>) -> bool {
        evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_longest_waiting_connection_is_evicted_and_a_working_one_never() {
        let connections = Connections::new(3);
        let [mut first, mut second, mut third] = [(); 3].map(|()| connections.enter());
        assert!(first.0.work() && second.0.work());
        let mut fourth = connections.enter();
        assert!(is_evicted(&mut third.1), "the only one that waits");
        assert!(!third.0.work(), "nothing is begun for it");
        second.0.wait();
        first.0.wait();
        let mut fifth = connections.enter();
        let mut sixth = connections.enter();
        for one in [&mut fourth.1, &mut second.1] {
            assert!(is_evicted(one));
        }
        for one in [&mut first.1, &mut fifth.1, &mut sixth.1] {
            assert!(!is_evicted(one));
        }
    }

    #[test]
    fn no_connection_is_accepted_while_too_many_evictions_are_open() {
        let connections = Connections::new(2 * LEAVING_PART);
        let mut there: Vec<_> = (0..2 * LEAVING_PART + 2)
            .map(|_| {
                assert!(connections.has_room());
                connections.enter()
            })
            .collect();
        assert!(!connections.has_room());
        there.remove(0);
        assert!(connections.has_room());
    }

    #[test]
    fn every_way_to_end_frees_the_slot() {
        let connections = Connections::new(1);
        let ways: [fn(&ConnectionSlot); 4] = [
            |_| {},
            |slot| assert!(slot.work()),
            |slot| drop(slot.connections.enter()),
            |slot| {
                drop(slot.connections.enter());
                assert!(!slot.work());
            },
        ];
        for go in ways {
            let (slot, _stay) = connections.enter();
            go(&slot);
            drop(slot);
            let state = connections.state();
            assert_eq!((state.count(), state.leaving), (0, 0));
        }
    }
}
