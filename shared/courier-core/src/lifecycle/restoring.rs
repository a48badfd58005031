//! Records that come back from a copy: what was done after the copy was made is not known, so it may have been anything.

use jiff::Timestamp;

use super::{Decision, Next, Rules, only, written};
use crate::catalogue::Restart;
use crate::operation::{Reason, Record, State};
use crate::time::milliseconds;

impl Rules<'_> {
    /// Notes in the history that the record is older than what has happened.
    ///
    /// A start that had not been sent, or that might have been sent again, may have been sent since.
    pub(super) fn restored(&self, copied_at: Option<Timestamp>) -> Decision {
        let mut record = self.changed();
        match self.record.state {
            State::Accepted { not_before } => self.may_have_started(&mut record, not_before),
            // The process that had the lease is gone.
            State::Starting { .. } if !record.maybe_started => {
                self.may_have_started(&mut record, self.now);
            }
            State::Starting { lease_until } => self.may_have_started(&mut record, lease_until),
            State::Locating {
                next_look_at,
                settle_until: Some(_),
            } => self.may_have_started(&mut record, next_look_at),
            State::StartUnknown { .. }
            | State::Locating {
                settle_until: None, ..
            }
            | State::Running { .. }
            | State::Ended { .. } => {}
            State::Closed { .. } => return only(Next::Drop),
        }
        let copy = copied_at.map_or_else(
            || "a copy that does not say when it was made".to_owned(),
            |copied_at| format!("the copy of {}", milliseconds(copied_at)),
        );
        let detail = format!("from {copy}; what was done later is not known");
        self.note(&mut record, "restored", Some(detail));
        written(record, Next::Redecide)
    }

    /// Makes the start one whose answer was lost. Its process is gone, so no late answer is waited for.
    ///
    /// A start of class *never* is not sent. Where the job can be looked for, or the start be sent again, the rules for a
    /// lease that is over do so.
    fn may_have_started(&self, record: &mut Record, due: Timestamp) {
        record.maybe_started = true;
        record.attempt += 1;
        record.reason = record.reason.or(Some(Reason::NoUsableAnswer));
        let due = if self.class() == Restart::Never && self.policy.operation.find.is_none() {
            record.sealed_parameters = None;
            record.state = State::StartUnknown {
                hold_until: self.now,
            };
            self.now
        } else {
            let lease_until = due.max(self.now);
            record.state = State::Starting { lease_until };
            lease_until
        };
        record.due_at = Some(due);
    }
}
