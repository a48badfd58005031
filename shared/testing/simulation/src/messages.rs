//! The messages in the queue, by number and by the time from which they may be seen.

use std::collections::{BTreeMap, BTreeSet};

use courier_core::operation::message::Message;
use jiff::Timestamp;

#[derive(Default)]
pub(crate) struct Messages {
    pub(crate) queued: BTreeMap<u64, Queued>,
    /// The time when each may be seen, earliest first.
    pub(crate) visible: BTreeSet<(Timestamp, u64)>,
    sent: u64,
    /// How many of them were received at least once.
    received: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) message: Message,
    pub(crate) visible_at: Timestamp,
    pub(crate) sent_at: Timestamp,
    pub(crate) receives: u32,
}

impl Messages {
    pub(crate) fn add(&mut self, queued: Queued) {
        self.sent += 1;
        self.visible.insert((queued.visible_at, self.sent));
        self.queued.insert(self.sent, queued);
    }

    /// Counts a receive of a message, and returns it.
    pub(crate) fn receive(&mut self, number: u64) -> Option<&Queued> {
        let queued = self.queued.get_mut(&number)?;
        self.received += usize::from(queued.receives == 0);
        queued.receives += 1;
        Some(queued)
    }

    /// How many were received and are hidden: one that is only delayed is not in flight.
    pub(crate) fn in_flight(&self, now: Timestamp) -> usize {
        let visible = self.visible.range(..=(now, u64::MAX));
        let again = visible.filter(|(_, number)| self.queued[number].receives > 0);
        self.received - again.count()
    }

    /// Hides a message until then. `false` when there is none.
    pub(crate) fn hide(&mut self, number: u64, until: Timestamp) -> bool {
        let Some(queued) = self.queued.get_mut(&number) else {
            return false;
        };
        self.visible.remove(&(queued.visible_at, number));
        queued.visible_at = until;
        self.visible.insert((until, number))
    }

    pub(crate) fn remove(&mut self, number: u64) {
        if let Some(queued) = self.queued.remove(&number) {
            self.visible.remove(&(queued.visible_at, number));
            self.received -= usize::from(queued.receives > 0);
        }
    }
}
