//! Delivery of the completion: what a receiver's answer changes, and the API calls that have it delivered again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Decision, Next, Rules, only, written};
use crate::callback::CallbackReply;
use crate::lifecycle::schedule;
use crate::operation::{
    CallbackTarget, Delivery, DeliveryOutcome, HistoryEntry, Outcome, Record, State,
};

impl Rules<'_> {
    /// Applies the result of a delivery attempt.
    ///
    /// A result from a replaced receiver, or for a message of a lower epoch than the record's, changes nothing.
    pub(super) fn called(&self, epoch: u32, target: u32, reply: &CallbackReply) -> Decision {
        let State::Ended { outcome } = self.record.state else {
            return only(Next::Redecide);
        };
        if epoch < self.record.epoch || target != self.target() {
            return only(Next::Redecide);
        }
        let mut record = self.changed();
        record.epoch = epoch;
        record.step_crashes = 0;
        let delivery = &mut record.delivery;
        delivery.postpone(self.now);
        delivery.attempts += 1;
        delivery.scheduled_attempts += 1;
        delivery.last_status = reply.status;
        let since = *delivery.scheduled_since.get_or_insert(self.now);
        let attempts = delivery.scheduled_attempts;
        let delivery_outcome = match reply.status {
            _ if reply.taken => Some(DeliveryOutcome::Delivered),
            Some(410) => Some(DeliveryOutcome::Undeliverable),
            _ if reply.gives_up => Some(DeliveryOutcome::Undeliverable),
            _ => None,
        };
        let next = schedule::next_callback(&record, since, attempts, reply.retry_after, self.now);
        record.remember(HistoryEntry {
            http_status: reply.status,
            latency_ms: reply.latency.map(milliseconds),
            answer_type: reply.answer_type.clone(),
            answer_length: reply.answer_length,
            answer: reply.answer.clone(),
            ..self.entry("callbackAttempt", outcome.as_str(), reply.detail.clone())
        });
        match (delivery_outcome, next) {
            (None, Some(next)) => {
                record.delivery.next_attempt_at = Some(next);
                record.due_at = Some(next);
                written(record, Next::Wait(next))
            }
            (delivery_outcome, _) => {
                let how = delivery_outcome.unwrap_or(DeliveryOutcome::Undeliverable);
                record.state = State::Closed { outcome, how };
                record.delivery.next_attempt_at = None;
                record.due_at = None;
                if how == DeliveryOutcome::Delivered {
                    // Given once, and kept no longer.
                    record.sealed_result = None;
                }
                if how == DeliveryOutcome::Undeliverable {
                    self.note(&mut record, "undeliverable", None);
                }
                written(record, Next::Drop)
            }
        }
    }

    /// Waits with a delivery that was not sent; it counts as no attempt and leaves the schedule as it is.
    ///
    /// Writes only for a new epoch, or if the sweeper would otherwise take the message for lost.
    pub(super) fn deferred(&self, epoch: u32, until: Timestamp, why: Option<&str>) -> Decision {
        if !matches!(self.record.state, State::Ended { .. }) || epoch < self.record.epoch {
            return only(Next::Redecide);
        }
        let event = "callbackPostponed";
        let is_noted = why.is_none() || self.is_noted(event, why);
        if is_noted && !self.outlasts_sweeper(until) && epoch == self.record.epoch {
            return only(Next::Wait(until));
        }
        let mut record = self.changed();
        if !is_noted {
            let status = record.state.status();
            record.remember(self.entry(event, status, why.map(str::to_owned)));
        }
        record.epoch = epoch;
        record.due_at = Some(until);
        record.delivery.postpone(until);
        record.delivery.next_attempt_at = Some(until);
        written(record, Next::Wait(until))
    }

    /// Delivers the same completion again on a new schedule. The outcome stays as it was written.
    pub(super) fn redelivery_requested(&self) -> Decision {
        // Without a callback there is no completion to deliver.
        let (Some(outcome), Some(_)) = (self.record.state.outcome(), &self.record.event) else {
            return only(Next::Drop);
        };
        let mut record = self.changed();
        self.note(&mut record, "redeliveryAsked", None);
        self.deliver_anew(record, outcome)
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
        match (&self.record.state, outcome) {
            (
                State::Closed {
                    how: DeliveryOutcome::Delivered | DeliveryOutcome::NotRequested,
                    ..
                },
                _,
            )
            | (_, None) => written(record, Next::Drop),
            (_, Some(outcome)) => self.deliver_anew(record, outcome),
        }
    }

    fn deliver_anew(&self, mut record: Record, outcome: Outcome) -> Decision {
        record.state = State::Ended { outcome };
        record.due_at = Some(self.now);
        record.delivery = Delivery {
            scheduled_since: None,
            scheduled_attempts: 0,
            next_attempt_at: Some(self.now),
            postponed_ms: 0,
            ..record.delivery
        };
        self.carry_anew(written(record, Next::Drop))
    }

    fn target(&self) -> u32 {
        let callback = self.record.callback.as_ref();
        callback.map_or(0, |callback| callback.version)
    }
}

fn milliseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
}
