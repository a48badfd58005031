//! The `Queue` port and its consumer side: the timetable of the operations in the file.

use async_trait::async_trait;
use courier_core::operation::OperationId;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use jiff::Timestamp;

use crate::sqlite::database::Database;
use crate::timetable::{Capacity, Receipt, Received};

#[async_trait]
impl Queue for Database {
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        self.timetable().send(message, due);
        self.announce(due);
        Ok(())
    }

    fn holds(&self, id: &OperationId) -> bool {
        self.timetable().holds(id)
    }
}

impl Database {
    /// Claims messages that are due, the longest due first of each flow, as far as its share of `capacity` goes.
    ///
    /// They are visible again at `visible_again` unless deleted or postponed.
    pub fn receive(
        &self,
        now: Timestamp,
        capacity: &Capacity,
        visible_again: Timestamp,
    ) -> Vec<Received> {
        self.timetable().receive(now, capacity, visible_again)
    }

    pub fn delete(&self, receipt: &Receipt) {
        self.timetable().delete(receipt);
    }

    /// Makes the claimed message visible again at `until` instead of at the end of its visibility timeout.
    pub fn postpone(&self, receipt: &Receipt, until: Timestamp) {
        self.timetable().postpone(receipt, until);
        self.announce(until);
    }

    /// Returns the time at which the next message is due or visible again.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_due_after(Timestamp::MIN)
    }

    /// Returns the earliest time at which a message is due, or was due that is being handled. Looks at all of them.
    pub fn next_unsettled(&self) -> Option<Timestamp> {
        self.timetable().next_unsettled()
    }

    /// Returns the earliest time after `time` at which a message is due or visible again.
    pub fn next_due_after(&self, time: Timestamp) -> Option<Timestamp> {
        self.timetable().next_due_after(time)
    }
}
