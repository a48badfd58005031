//! Delivery of the completion: what a receiver's answer changes, and the API calls that have it delivered again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Decision, Next, Rules, only, written};
use crate::callback::CallbackReply;
use crate::lifecycle::schedule;
use crate::operation::{
    CallbackTarget, Delivery, DeliveryOutcome, HistoryEntry, OperationId, Outcome, Record, State,
};

/// The two deliveries of an operation that has ended. None waits for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The completion, to the receiver that the request named.
    Callback,
    /// The event, to the target that the configuration names.
    Announcement,
}

impl Rules<'_> {
    /// Applies the result of a delivery attempt.
    ///
    /// A result from a replaced receiver, or for a message of a lower epoch than the record's, changes nothing.
    pub(super) fn called(&self, epoch: u32, target: u32, reply: &CallbackReply) -> Decision {
        let State::Ended { outcome } = self.record.state else {
            return only(Next::Redecide);
        };
        if epoch < self.record.epoch
            || target != self.target()
            || self.record.callback_outcome().is_some()
        {
            return only(Next::Redecide);
        }
        let mut record = self.changed();
        record.epoch = epoch;
        record.step_crashes = 0;
        let (id, delivery) = (&record.id, &mut record.delivery);
        let (next, delivery_outcome) = self.attempted(id, delivery, reply);
        record.remember(HistoryEntry {
            http_status: reply.status,
            latency_ms: reply.latency.map(milliseconds),
            answer_type: reply.answer_type.clone(),
            answer_length: reply.answer_length,
            answer: reply.answer.clone(),
            ..self.entry("callbackAttempt", outcome.as_str(), reply.detail.clone())
        });
        record.delivery.next_attempt_at = next;
        let Some(how) = delivery_outcome else {
            return self.deliver_next(record);
        };
        match &mut record.announcement {
            Some(announcement) if announcement.settled.is_none() => {
                announcement.callback = Some(how);
            }
            Some(_) | None => record.state = State::Closed { outcome, how },
        }
        if how == DeliveryOutcome::Delivered {
            // Given once, and kept no longer.
            record.sealed_result = None;
        }
        if how == DeliveryOutcome::Undeliverable {
            self.note(&mut record, "undeliverable", None);
        }
        self.deliver_next(record)
    }

    /// Counts an attempt. Returns when the next one comes, or the final result of the delivery.
    pub(super) fn attempted(
        &self,
        id: &OperationId,
        delivery: &mut Delivery,
        reply: &CallbackReply,
    ) -> (Option<Timestamp>, Option<DeliveryOutcome>) {
        delivery.postpone(self.now);
        delivery.attempts += 1;
        delivery.scheduled_attempts += 1;
        delivery.last_status = reply.status;
        delivery.scheduled_since.get_or_insert(self.now);
        match reply.status {
            _ if reply.taken => (None, Some(DeliveryOutcome::Delivered)),
            Some(410) => (None, Some(DeliveryOutcome::Undeliverable)),
            _ if reply.gives_up => (None, Some(DeliveryOutcome::Undeliverable)),
            _ => match schedule::next_delivery(id, delivery, reply.retry_after, self.now) {
                Some(next) => (Some(next), None),
                None => (None, Some(DeliveryOutcome::Undeliverable)),
            },
        }
    }

    /// Writes a record whose deliveries have changed, and goes on with the one that is due.
    pub(super) fn deliver_next(&self, mut record: Record) -> Decision {
        let due = record.deliveries_due(self.now);
        record.due_at = due.into_iter().flatten().min();
        let next = self.next_delivery(&record);
        written(record, next)
    }

    /// Returns the delivery that is due, the callback's first, or when the next one is.
    pub(super) fn next_delivery(&self, record: &Record) -> Next {
        let [callback, announcement] = record.deliveries_due(self.now);
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= self.now);
        match [callback, announcement].into_iter().flatten().min() {
            _ if is_due(callback) => Next::Deliver,
            _ if is_due(announcement) => Next::Announce,
            Some(next) => Next::Wait(next),
            None => Next::Drop,
        }
    }

    /// Waits with a delivery that was not sent; it counts as no attempt and leaves the schedule as it is.
    ///
    /// Writes only for a new epoch, if the sweeper would otherwise take the message for lost, or if the other delivery is
    /// pending too: then the record alone says which of the two is due.
    pub(super) fn deferred(
        &self,
        channel: Channel,
        epoch: u32,
        until: Timestamp,
        why: Option<&str>,
    ) -> Decision {
        let [callback, announcement] = self.record.deliveries_due(self.now);
        let (pending, other, event) = match channel {
            Channel::Callback => (callback, announcement, "callbackPostponed"),
            Channel::Announcement => (announcement, callback, "announcementPostponed"),
        };
        if pending.is_none() || epoch < self.record.epoch {
            return only(Next::Redecide);
        }
        let is_noted = why.is_none() || self.is_noted(event, why);
        let is_recorded = is_noted && epoch == self.record.epoch;
        if is_recorded && !self.outlasts_sweeper(until) && other.is_none() {
            return only(Next::Wait(until));
        }
        let mut record = self.changed();
        if !is_noted {
            let status = record.state.status();
            record.remember(self.entry(event, status, why.map(str::to_owned)));
        }
        record.epoch = epoch;
        let announcement = record.announcement.as_mut();
        let delivery = match (channel, announcement) {
            (Channel::Announcement, Some(announcement)) => &mut announcement.delivery,
            (Channel::Announcement, None) | (Channel::Callback, _) => &mut record.delivery,
        };
        delivery.postpone(until);
        delivery.next_attempt_at = Some(until);
        let decision = self.deliver_next(record);
        // What waits is not tried again in the same step.
        match (channel, &decision.next) {
            (Channel::Callback, Next::Deliver) | (Channel::Announcement, Next::Announce) => {
                let next = Next::Wait(until);
                Decision { next, ..decision }
            }
            _ => decision,
        }
    }

    /// Delivers the same completion again on a new schedule, and an announcement that was given up. The outcome stays as
    /// it was written.
    pub(super) fn redelivery_requested(&self) -> Decision {
        let Some(outcome) = self.record.state.outcome() else {
            return only(Next::Drop);
        };
        // Without a callback there is no completion to deliver.
        let has_completion = self.record.event.is_some();
        if !has_completion && !self.is_unannounced() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        self.note(&mut record, "redeliveryAsked", None);
        self.announce_anew(&mut record);
        if has_completion {
            return self.deliver_anew(record, outcome);
        }
        record.state = State::Ended { outcome };
        record.due_at = Some(self.now);
        self.carry_anew(written(record, Next::Drop))
    }

    /// Replaces the callback: another receiver, or another secret of the same one.
    ///
    /// A completion that is not delivered yet, or was given up as undeliverable, is delivered there at once. One that
    /// has been delivered is not delivered again.
    pub(super) fn retargeted(&self, target: &CallbackTarget) -> Decision {
        let outcome = self.record.state.outcome();
        // An operation that ended without a callback has no completion that could be delivered.
        if outcome.is_some() && self.record.event.is_none() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.callback = Some(CallbackTarget {
            version: self.target() + 1,
            ..target.clone()
        });
        let detail = Some(format!("now at {}", target.origin));
        self.note(&mut record, "callbackChanged", detail);
        match (self.record.callback_outcome(), outcome) {
            (Some(DeliveryOutcome::Delivered | DeliveryOutcome::NotRequested), _) | (_, None) => {
                written(record, Next::Drop)
            }
            (Some(DeliveryOutcome::Undeliverable) | None, Some(outcome)) => {
                self.deliver_anew(record, outcome)
            }
        }
    }

    fn deliver_anew(&self, mut record: Record, outcome: Outcome) -> Decision {
        record.state = State::Ended { outcome };
        record.due_at = Some(self.now);
        record.delivery = record.delivery.clone().anew(self.now);
        if let Some(announcement) = &mut record.announcement {
            announcement.callback = None;
        }
        self.carry_anew(written(record, Next::Drop))
    }

    fn target(&self) -> u32 {
        let callback = self.record.callback.as_ref();
        callback.map_or(0, |callback| callback.version)
    }
}

pub(super) fn milliseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
}
