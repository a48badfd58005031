//! The announcement: the event that an operation has ended, which is promised as the callback is.

use super::delivering::milliseconds;
use super::{Decision, Next, Rules, only};
use crate::callback::CallbackReply;
use crate::events;
use crate::operation::{
    Announcement, Delivery, DeliveryOutcome, HistoryEntry, Record, State, Unknown,
};

impl Rules<'_> {
    /// Freezes the event that `record`, which ends with this write, has ended; nothing if nobody wants to know.
    pub(super) fn announce(&self, record: &mut Record) {
        let Some(context) = &self.policy.announce else {
            return;
        };
        let without_callback = record.callback.is_none();
        record.announcement = Some(Announcement {
            event: events::ended(record, self.now, context),
            delivery: Delivery::default().anew(self.now),
            settled: None,
            callback: without_callback.then_some(DeliveryOutcome::NotRequested),
            unknown: Unknown::new(),
        });
    }

    /// Applies the result of an attempt to announce the end.
    ///
    /// A result for a message of a lower epoch than the record's, or after the announcement is settled, changes nothing.
    pub(super) fn announced(&self, epoch: u32, reply: &CallbackReply) -> Decision {
        let [_, pending] = self.record.deliveries_due(self.now);
        let (State::Ended { outcome }, Some(_)) = (&self.record.state, pending) else {
            return only(Next::Redecide);
        };
        let mut record = self.changed();
        let Some(announcement) = record.announcement.as_mut() else {
            return only(Next::Redecide);
        };
        if epoch < self.record.epoch {
            return only(Next::Redecide);
        }
        let delivery = &mut announcement.delivery;
        let (next, settled) = self.attempted(&self.record.id, delivery, reply);
        delivery.next_attempt_at = next;
        announcement.settled = settled;
        let callback = announcement.callback;
        if settled.is_some() {
            announcement.callback = None;
        }
        if let (Some(_), Some(how)) = (settled, callback) {
            let outcome = *outcome;
            record.state = State::Closed { outcome, how };
        }
        record.epoch = epoch;
        record.step_crashes = 0;
        record.remember(HistoryEntry {
            http_status: reply.status,
            latency_ms: reply.latency.map(milliseconds),
            ..self.entry(
                "announcementAttempt",
                outcome.as_str(),
                reply.detail.clone(),
            )
        });
        if settled == Some(DeliveryOutcome::Undeliverable) {
            self.note(&mut record, "unannounced", None);
        }
        self.deliver_next(record)
    }

    /// Reports whether the announcement was given up.
    pub(super) fn is_unannounced(&self) -> bool {
        let announcement = self.record.announcement.as_ref();
        announcement.is_some_and(|one| one.settled == Some(DeliveryOutcome::Undeliverable))
    }

    /// Begins a new schedule for an announcement that was given up. One that was delivered is not sent again.
    pub(super) fn announce_anew(&self, record: &mut Record) {
        let callback = self.record.callback_outcome();
        if let Some(announcement) = record.announcement.as_mut()
            && announcement.settled == Some(DeliveryOutcome::Undeliverable)
        {
            announcement.settled = None;
            announcement.callback = callback;
            announcement.delivery = announcement.delivery.clone().anew(self.now);
        }
    }
}
