//! The one write into Ended, the callback attempts after it, and the calls of the API that end or reopen.

use super::{CallbackReply, Decision, Next, Rules, only, written};
use crate::document::freeze;
use crate::message::Message;
use crate::pacing;
use crate::record::{
    Closing, Delivery, HistoryEntry, OperationError, Outcome, Reason, Record, State,
};

impl Rules<'_> {
    pub(super) fn called(&self, hop: u32, reply: &CallbackReply) -> Decision {
        let State::Ended { outcome } = self.record.state else {
            return only(Next::Look);
        };
        if hop < self.record.hop {
            return only(Next::Look);
        }
        let mut record = self.changed();
        record.hop = hop;
        record.stumbles = 0;
        let delivery = &mut record.delivery;
        delivery.attempts += 1;
        delivery.scheduled_attempts += 1;
        delivery.last_status = reply.status;
        let since = *delivery.scheduled_since.get_or_insert(self.now);
        let attempts = delivery.scheduled_attempts;
        let how = match reply.status {
            Some(200..=299) => Some(Closing::Delivered),
            Some(410) => Some(Closing::Undeliverable),
            _ => None,
        };
        let next = pacing::next_callback(&record, since, attempts, reply.retry_after, self.now);
        record.remember(HistoryEntry {
            http_status: reply.status,
            ..self.entry("callbackAttempt", outcome.word(), reply.detail.clone())
        });
        match (how, next) {
            (None, Some(next)) => {
                record.delivery.next_attempt_at = Some(next);
                record.due_at = Some(next);
                written(record, Next::Wait(next))
            }
            (how, _) => {
                let how = how.unwrap_or(Closing::Undeliverable);
                record.state = State::Closed { outcome, how };
                record.delivery.next_attempt_at = None;
                record.due_at = None;
                if how == Closing::Undeliverable {
                    self.note(&mut record, "undeliverable", None);
                }
                written(record, Next::Drop)
            }
        }
    }

    pub(super) fn cancelled(&self) -> Decision {
        if self.record.state.outcome().is_some() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        // Nobody will read the answer of a start that is under way.
        record.maybe_started |= matches!(self.record.state, State::Starting { .. });
        let (outcome, reason) = (Outcome::Cancelled, Reason::CancelledByCaller);
        self.carry_anew(self.end_as(record, outcome, reason, None))
    }

    /// The same completion again, on a schedule of its own. The outcome stays as it was written.
    pub(super) fn redelivery_asked(&self) -> Decision {
        // Without a callback there is no completion to deliver.
        let (Some(outcome), Some(_)) = (self.record.state.outcome(), &self.record.event) else {
            return only(Next::Drop);
        };
        let mut record = self.changed();
        record.state = State::Ended { outcome };
        record.due_at = Some(self.now);
        record.delivery = Delivery {
            scheduled_since: None,
            scheduled_attempts: 0,
            next_attempt_at: Some(self.now),
            ..record.delivery
        };
        self.note(&mut record, "redeliveryAsked", None);
        self.carry_anew(written(record, Next::Drop))
    }

    /// Queues the message that may be lost. The write keeps the next sweep from doing the same at once.
    pub(super) fn found_overdue(&self) -> Decision {
        if self.record.due_at.is_none_or(|due| due > self.now) {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.due_at = Some(self.now);
        if record.state.is_starting() {
            let watchdog = Message::WatchdogV1 {
                operation_id: record.id.clone(),
            };
            return Decision {
                send: Some((watchdog, self.now)),
                ..written(record, Next::Drop)
            };
        }
        self.carry_anew(written(record, Next::Drop))
    }

    /// Another message carries the record from here: an API call ended or reopened it, or its own was lost.
    ///
    /// Its hop is higher than any before, but is written when it is first used: should this process die between the
    /// write and the message, the older one still carries the record.
    pub(super) fn carry_anew(&self, mut decision: Decision) -> Decision {
        if let Some(record) = &decision.write
            && record.due_at.is_some()
        {
            // Every use of a hop is a write, so the revision is ahead of all hops but those of `take_over` and `renewed`.
            let hop = u32::try_from(record.revision).unwrap_or(u32::MAX);
            decision.send = Some((Message::poll(record, hop.saturating_add(2)), self.now));
        }
        decision.next = Next::Drop;
        decision
    }

    pub(super) fn end(
        &self,
        outcome: Outcome,
        reason: Reason,
        error: Option<OperationError>,
    ) -> Decision {
        self.end_as(self.changed(), outcome, reason, error)
    }

    pub(super) fn end_as(
        &self,
        mut record: Record,
        outcome: Outcome,
        reason: Reason,
        error: Option<OperationError>,
    ) -> Decision {
        record.reason = Some(reason);
        record.error = error;
        self.finish(record, outcome)
    }

    pub(super) fn end_without_reason(&self, mut record: Record, outcome: Outcome) -> Decision {
        record.reason = None;
        self.finish(record, outcome)
    }

    /// The one write into Ended: freezes outcome, event id and body.
    pub(super) fn finish(&self, mut record: Record, outcome: Outcome) -> Decision {
        record.ended_at = Some(self.now);
        record.sealed_parameters = None;
        record.graph.next_poll_at = None;
        record.state = State::Ended { outcome };
        let detail = record.reason.map(|reason| reason.word().to_owned());
        record.remember(HistoryEntry {
            request_id: record.graph.request_id.clone(),
            ..self.entry("ended", outcome.word(), detail)
        });
        if record.callback.is_none() {
            record.state = State::Closed {
                outcome,
                how: Closing::None,
            };
            record.due_at = None;
            return written(record, Next::Drop);
        }
        record.event = Some(freeze(&record, self.now));
        record.delivery.next_attempt_at = Some(self.now);
        record.due_at = Some(self.now);
        written(record, Next::Look)
    }
}
