//! The one write into the state Ended, and the new message for a record that has lost its own.

use jiff::Timestamp;

use super::{Decision, Next, Rules, only, written};
use crate::operation::message::Message;
use crate::operation::view::freeze;
use crate::operation::{
    Acknowledgement, DeliveryOutcome, HistoryEntry, OperationError, Outcome, Reason, Record, State,
};

impl Rules<'_> {
    pub(super) fn cancelled(&self) -> Decision {
        if self.record.state.outcome().is_some() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        // The answer to a start that is under way will not be read, so Graph may have started the job.
        record.maybe_started |= matches!(self.record.state, State::Starting { .. });
        let (outcome, reason) = (Outcome::Cancelled, Reason::CancelledByCaller);
        self.carry_anew(self.end_as(record, outcome, reason, None))
    }

    /// Notes that a person has looked into an `unknown` outcome. The outcome stays; a later note replaces an earlier one.
    pub(super) fn acknowledged(&self, by: &str, note: &str) -> Decision {
        let is_unknown = self.record.state.outcome() == Some(Outcome::Unknown);
        if !is_unknown || self.record.erased_at.is_some() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.acknowledged = Some(Acknowledgement {
            at: self.now,
            by: by.to_owned(),
            note: note.to_owned(),
        });
        let entry = self.entry("acknowledged", record.state.status(), Some(note.to_owned()));
        record.remember(HistoryEntry {
            by: Some(by.to_owned()),
            ..entry
        });
        written(record, Next::Drop)
    }

    /// Notes the operation that goes on with the job of this one, which keeps its outcome.
    pub(super) fn resumed(&self) -> Decision {
        let has_ended = self.record.state.outcome().is_some();
        if !has_ended || self.record.erased_at.is_some() || self.record.resumed_as.is_some() {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        let next = record.id.resumed();
        self.note(
            &mut record,
            "resumeAsked",
            Some(format!("goes on as {next}")),
        );
        record.resumed_as = Some(next);
        written(record, Next::Drop)
    }

    /// Queues a new message in place of the one that may be lost.
    ///
    /// The write keeps the next sweep from doing the same again at once.
    pub(super) fn found_overdue(&self) -> Decision {
        if self.record.due_at.is_none_or(|due| due > self.now) {
            return only(Next::Drop);
        }
        let mut record = self.changed();
        record.due_at = Some(self.now);
        record.shelved_until = None;
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

    /// Adds a new message that carries the record from here: an API call ended or reopened it, or its own was lost.
    ///
    /// The message's epoch is higher than any before it. The record takes it over only when it is first used: should
    /// this process die between the write and the message, the older message still carries the record.
    pub(super) fn carry_anew(&self, decision: Decision) -> Decision {
        self.carry_anew_at(decision, self.now)
    }

    /// Adds such a message that is due at `due`.
    pub(super) fn carry_anew_at(&self, mut decision: Decision, due: Timestamp) -> Decision {
        if let Some(record) = &decision.write
            && record.due_at.is_some()
        {
            // The first use of an epoch is a write, so the revision is ahead of all epochs except the ones that
            // `take_over` and `Message::renewed` give out. One of those may be the record's.
            let revision = u32::try_from(record.revision).unwrap_or(u32::MAX);
            let epoch = revision.max(record.epoch);
            decision.send = Some((Message::poll(record, epoch.saturating_add(2)), due));
        }
        decision.next = Next::Drop;
        decision
    }

    /// Ends the operation with an outcome and the reason for it.
    pub(super) fn end(
        &self,
        outcome: Outcome,
        reason: Reason,
        error: Option<OperationError>,
    ) -> Decision {
        self.end_as(self.changed(), outcome, reason, error)
    }

    /// Ends `record`, a changed copy, with an outcome and the reason for it.
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

    /// Writes the state Ended and freezes outcome, event ids and bodies; nothing else does.
    pub(super) fn finish(&self, mut record: Record, outcome: Outcome) -> Decision {
        record.ended_at = Some(self.now);
        record.shelved_until = None;
        record.sealed_parameters = None;
        let may_be_resumed =
            outcome == Outcome::Expired || record.reason == Some(Reason::MonitorGone);
        if let (State::Running { monitor }, true) = (&record.state, may_be_resumed) {
            record.last_monitor = Some(monitor.clone());
        } else {
            record.graph.next_poll_at = None;
            record.graph.retry_after = None;
            record.forecast = None;
        }
        record.follow_up = None;
        let callback = record.callback.as_ref();
        if !callback.is_some_and(|callback| callback.include_secrets) {
            record.sealed_result = None;
        }
        record.state = State::Ended { outcome };
        let detail = record.reason.map(|reason| reason.as_str().to_owned());
        record.remember(HistoryEntry {
            request_id: record.graph.request_id.clone(),
            ..self.entry("ended", outcome.as_str(), detail)
        });
        if record.callback.is_none() && self.policy.announce.is_none() {
            record.state = State::Closed {
                outcome,
                how: DeliveryOutcome::NotRequested,
            };
            record.due_at = None;
            return written(record, Next::Drop);
        }
        if record.callback.is_some() {
            record.event = Some(freeze(&record, self.now));
            record.delivery.next_attempt_at = Some(self.now);
        }
        self.announce(&mut record);
        record.due_at = Some(self.now);
        written(record, Next::Redecide)
    }
}
