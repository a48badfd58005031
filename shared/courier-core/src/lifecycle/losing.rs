//! Starts whose answer was lost, or that nobody has succeeded with in time.

use std::time::Duration;

use super::{Decision, Next, Rules, written};
use crate::lifecycle::schedule;
use crate::operation::{Outcome, Reason, Record, State};
use crate::time::later;

impl Rules<'_> {
    /// Records that the answer to a start was lost; from then on a refusal does not prove that no job runs.
    pub(super) fn lose(
        &self,
        mut record: Record,
        detail: String,
        retry_after: Option<Duration>,
    ) -> Decision {
        record.maybe_started = true;
        record.reason = Some(Reason::NoUsableAnswer);
        self.note(&mut record, "startAnswerLost", Some(detail));
        if self.is_sent_once() {
            return self.hold_as(record);
        }
        let lease_until = schedule::start_again(&record, retry_after, self.now);
        record.state = State::Starting { lease_until };
        record.due_at = Some(lease_until);
        written(record, Next::Wait(lease_until))
    }

    /// Records a lost answer and waits in StartUnknown for a late one.
    pub(super) fn hold(&self, why: &str) -> Decision {
        let mut record = self.changed();
        record.maybe_started = true;
        record.reason = Some(Reason::NoUsableAnswer);
        self.note(&mut record, "startAnswerLost", Some(why.to_owned()));
        self.hold_as(record)
    }

    /// Looks for the job, if the catalogue says how, or waits for a late answer.
    pub(super) fn hold_as(&self, mut record: Record) -> Decision {
        if let Some(decision) = self.locate_lost(record.clone()) {
            return decision;
        }
        // The start is not sent again, so its secrets are no longer needed.
        record.sealed_parameters = None;
        let hold_until = later(self.now, self.policy.timing.hold);
        record.state = State::StartUnknown { hold_until };
        record.due_at = Some(hold_until);
        written(record, Next::Wait(hold_until))
    }

    /// Ends an operation whose deadline has passed before a start succeeded.
    pub(super) fn give_up_start(&self) -> Decision {
        // A claim whose lease is over may have led to a call.
        let claimed = matches!(self.record.state, State::Starting { .. });
        if self.record.maybe_started || claimed {
            self.end(Outcome::Unknown, Reason::StartOutcomeUnknown, None)
        } else {
            self.end(Outcome::Expired, Reason::DeadlinePassed, None)
        }
    }
}
