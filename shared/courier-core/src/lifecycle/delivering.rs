//! The attempts after the end: what a receiver's answer changes, and the calls of the API that offer the completion anew.

use std::time::Duration;

use jiff::Timestamp;

use super::{Decision, Next, Rules, only, written};
use crate::callback::CallbackReply;
use crate::lifecycle::schedule;
use crate::operation::{
    CallbackTarget, Delivery, DeliveryOutcome, HistoryEntry, Outcome, Record, State,
};

/// Deliveries that wait for one receiver come back spread over this time.
const DEFERRED_SPREAD: Duration = Duration::from_secs(10);

impl Rules<'_> {
    /// An attempt has come back. What an earlier receiver says, or an earlier message learnt, changes nothing.
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
        delivery.attempts += 1;
        delivery.scheduled_attempts += 1;
        delivery.last_status = reply.status;
        let since = *delivery.scheduled_since.get_or_insert(self.now);
        let attempts = delivery.scheduled_attempts;
        let how = match reply.status {
            _ if reply.taken => Some(DeliveryOutcome::Delivered),
            Some(410) => Some(DeliveryOutcome::Undeliverable),
            _ => None,
        };
        let next = schedule::next_callback(&record, since, attempts, reply.retry_after, self.now);
        record.remember(HistoryEntry {
            http_status: reply.status,
            latency_ms: reply.latency.map(milliseconds),
            answer: reply.answer.clone(),
            ..self.entry("callbackAttempt", outcome.as_str(), reply.detail.clone())
        });
        match (how, next) {
            (None, Some(next)) => {
                record.delivery.next_attempt_at = Some(next);
                record.due_at = Some(next);
                written(record, Next::Wait(next))
            }
            (how, _) => {
                let how = how.unwrap_or(DeliveryOutcome::Undeliverable);
                record.state = State::Closed { outcome, how };
                record.delivery.next_attempt_at = None;
                record.due_at = None;
                if how == DeliveryOutcome::Undeliverable {
                    self.note(&mut record, "undeliverable", None);
                }
                written(record, Next::Drop)
            }
        }
    }

    /// Nothing was sent: no attempt is counted, and the schedule stands. Writes only when the sweeper would come else.
    ///
    /// All that wait for one receiver are told the same time: they come back spread over [`DEFERRED_SPREAD`] after it.
    pub(super) fn deferred(&self, epoch: u32, until: Timestamp) -> Decision {
        if !matches!(self.record.state, State::Ended { .. }) || epoch < self.record.epoch {
            return only(Next::Redecide);
        }
        let until = schedule::spread(self.record, until, DEFERRED_SPREAD, self.now);
        if !self.outlasts_sweeper(until) && epoch == self.record.epoch {
            return only(Next::Wait(until));
        }
        let mut record = self.changed();
        record.epoch = epoch;
        record.due_at = Some(until);
        record.delivery.next_attempt_at = Some(until);
        written(record, Next::Wait(until))
    }

    /// The same completion again, on a schedule of its own. The outcome stays as it was written.
    pub(super) fn redelivery_requested(&self) -> Decision {
        // Without a callback there is no completion to deliver.
        let (Some(outcome), Some(_)) = (self.record.state.outcome(), &self.record.event) else {
            return only(Next::Drop);
        };
        let mut record = self.changed();
        self.note(&mut record, "redeliveryAsked", None);
        self.offer_anew(record, outcome)
    }

    /// Another receiver, or another secret of the same one. What is still owed goes there at once, and what was given up
    /// as undeliverable is offered again; what has been delivered stays so.
    pub(super) fn retargeted(&self, target: &CallbackTarget) -> Decision {
        let outcome = self.record.state.outcome();
        // Without a completion there is nothing to deliver: nobody asked for one before the end.
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
            (_, Some(outcome)) => self.offer_anew(record, outcome),
        }
    }

    fn offer_anew(&self, mut record: Record, outcome: Outcome) -> Decision {
        record.state = State::Ended { outcome };
        record.due_at = Some(self.now);
        record.delivery = Delivery {
            scheduled_since: None,
            scheduled_attempts: 0,
            next_attempt_at: Some(self.now),
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
