//! Who is connected: how many, and who of them has kept us waiting longest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// One in so many of the limit may still be there after it was told to leave: closing takes a moment, and an open file.
const LEAVING_PART: usize = 16;

/// The connections of one server, at most `limit` at once.
///
/// One that waits for its client (for a head, a body, or until the answer is taken) may be closed to make room, the
/// longest wait first; one whose request is being handled never is.
pub(crate) struct Connections {
    limit: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    working: usize,
    leaving: usize,
    /// By the order in which the waits began; dropping the sender closes the connection.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    waits: u64,
}

/// One connection's place among them, given up when it is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    turn: Mutex<Turn>,
}

enum Turn {
    /// For the client, since so many waits.
    Waiting(u64),
    Working(oneshot::Sender<()>),
    ToldToLeave,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Waits until one more may come in: a place is free, or held by one that only waits.
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

    /// A place for a new connection, and what ends when it is told to leave.
    pub(crate) fn enter(self: &Arc<Self>) -> (Place, oneshot::Receiver<()>) {
        let (stay, told_to_leave) = oneshot::channel();
        let mut state = self.state();
        if state.count() >= self.limit && state.waiting.pop_first().is_some() {
            state.leaving += 1;
            tracing::debug!("a connection is closed to make room for another");
        }
        let turn = Mutex::new(state.wait(stay));
        let connections = Arc::clone(self);
        (Place { connections, turn }, told_to_leave)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        self.working + self.waiting.len()
    }

    fn wait(&mut self, stay: oneshot::Sender<()>) -> Turn {
        self.waits += 1;
        self.waiting.insert(self.waits, stay);
        Turn::Waiting(self.waits)
    }
}

impl Place {
    /// A request has arrived. `false` when the connection was told to leave: then it must not be handled.
    pub(crate) fn work(&self) -> bool {
        let mut turn = self.turn();
        let Turn::Waiting(since) = *turn else {
            return false;
        };
        let mut state = self.connections.state();
        let stay = state.waiting.remove(&since);
        let stays = stay.is_some();
        state.working += usize::from(stays);
        *turn = stay.map_or(Turn::ToldToLeave, Turn::Working);
        stays
    }

    /// The request has been handled: it is the client's turn again.
    pub(crate) fn wait(&self) {
        let mut turn = self.turn();
        *turn = match std::mem::replace(&mut *turn, Turn::ToldToLeave) {
            Turn::Working(stay) => {
                let mut state = self.connections.state();
                state.working -= 1;
                self.connections.changed.notify_one();
                state.wait(stay)
            }
            other @ (Turn::Waiting(_) | Turn::ToldToLeave) => other,
        };
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        let left = match *self.turn() {
            Turn::Waiting(since) => state.waiting.remove(&since).is_none(),
            // It has lost its client; what was begun goes on without it.
            Turn::Working(_) => {
                state.working -= 1;
                false
            }
            Turn::ToldToLeave => true,
        };
        state.leaving -= usize::from(left);
        self.connections.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a connection has been told to leave.
    fn left(told_to_leave: &mut oneshot::Receiver<()>) -> bool {
        told_to_leave.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_longest_wait_makes_room_and_work_never_does() {
        let connections = Connections::new(3);
        let [mut first, mut second, mut third] = [(); 3].map(|()| connections.enter());
        assert!(first.0.work() && second.0.work());
        let mut fourth = connections.enter();
        assert!(left(&mut third.1), "the only one that waits");
        assert!(!third.0.work(), "nothing is begun for it");
        second.0.wait();
        first.0.wait();
        let mut fifth = connections.enter();
        let mut sixth = connections.enter();
        for told in [&mut fourth.1, &mut second.1] {
            assert!(left(told));
        }
        for told in [&mut first.1, &mut fifth.1, &mut sixth.1] {
            assert!(!left(told));
        }
    }

    #[test]
    fn nobody_comes_in_while_too_many_are_leaving() {
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
    fn every_way_to_go_gives_the_place_back() {
        let connections = Connections::new(1);
        let ways: [fn(&Place); 4] = [
            |_| {},
            |place| assert!(place.work()),
            |place| drop(place.connections.enter()),
            |place| {
                drop(place.connections.enter());
                assert!(!place.work());
            },
        ];
        for go in ways {
            let (place, _stay) = connections.enter();
            go(&place);
            drop(place);
            let state = connections.state();
            assert_eq!((state.count(), state.leaving), (0, 0));
        }
    }
}
