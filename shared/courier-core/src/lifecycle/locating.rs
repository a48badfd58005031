//! Looking for a job whose URL is not known: Graph has accepted the start without naming it, or the answer was lost.

use std::time::Duration;

use jiff::Timestamp;

use super::{Decision, Next, Rules, written};
use crate::catalogue::{Absent, FindSpec};
use crate::graph::described::describe;
use crate::graph::unavailable::NotReady;
use crate::graph::verdict::{FindVerdict, GraphReply, Started, classify_find};
use crate::lifecycle::schedule;
use crate::operation::{Outcome, Reason, Record, State};
use crate::time::later;

impl Rules<'_> {
    /// Begins to look for the job of a start that Graph has accepted.
    pub(super) fn locate_accepted(&self, mut record: Record, started: Started) -> Decision {
        record.started_at = Some(self.now);
        record.reason = Some(Reason::StartUntrackable);
        record.sealed_parameters = None;
        self.keep_secrets(&mut record, started.secrets);
        self.note(&mut record, "jobLookedFor", started.note);
        self.look_later(record, None, started.retry_after)
    }

    /// Begins to look for the job of a start whose answer was lost, if the catalogue says how.
    pub(super) fn locate_lost(&self, mut record: Record) -> Option<Decision> {
        let find = self.policy.operation.find.as_ref()?;
        if find.absent == Absent::Unknown {
            // The start is not sent again, so its secrets are no longer needed.
            record.sealed_parameters = None;
        }
        self.note(&mut record, "jobLookedFor", None);
        let settle_until = later(self.now, Duration::from_secs(find.settle_seconds));
        Some(self.look_later(record, Some(settle_until), None))
    }

    /// Decides about the answer to a look for the job that was made at `asked_at`.
    ///
    /// Only a look that was made when the job must have appeared proves its absence, however late its answer comes.
    pub(super) fn looked(
        &self,
        settle_until: Option<Timestamp>,
        asked_at: Timestamp,
        request_id: &str,
        reply: &GraphReply,
    ) -> Decision {
        let mut record = self.looked_record();
        let Some(find) = &self.policy.operation.find else {
            return self.not_found(record, settle_until);
        };
        let is_settled = settle_until.is_some_and(|until| asked_at >= until);
        let verdict = classify_find(reply, find, self.subject());
        if let FindVerdict::Found(monitor) = verdict {
            self.note_call(&mut record, "jobFound", None, request_id, reply);
            return self.run(record, found(monitor), None);
        }
        if is_settled && verdict == FindVerdict::Absent {
            return self.settled(record, find);
        }
        let cannot_look = verdict == FindVerdict::Refused && find.absent == Absent::Unknown;
        if self.overdue() || (is_settled && cannot_look) {
            return self.not_found(record, settle_until);
        }
        let (reason, event) = why_not_found(settle_until, &verdict, reply);
        record.reason = Some(reason);
        if let Some(event) = event {
            let mut came = Some(describe(reply, None));
            if reason == Reason::AuthorizationLost {
                came = self.lacking(came);
            }
            if !self.is_noted(event, came.as_deref()) {
                self.note_call(&mut record, event, came, request_id, reply);
            }
        }
        let retry_after = match reply {
            GraphReply::Answer(answer) => answer.retry_after,
            GraphReply::NotSent(_) | GraphReply::Lost(_) => None,
        };
        self.look_later(record, settle_until, retry_after)
    }

    /// Waits with a look that could not be made.
    pub(super) fn look_not_ready(
        &self,
        settle_until: Option<Timestamp>,
        not_ready: &NotReady,
    ) -> Decision {
        let mut record = self.looked_record();
        record.graph.polls = self.record.graph.polls;
        if self.overdue() {
            return self.not_found(record, settle_until);
        }
        if let Some(reason) = not_ready.shown() {
            record.reason = Some(reason);
            let detail = not_ready.detail.clone();
            if !self.is_noted("lookPostponed", detail.as_deref()) {
                self.note(&mut record, "lookPostponed", detail);
            }
        }
        self.look_later(record, settle_until, not_ready.retry_after)
    }

    fn looked_record(&self) -> Record {
        let mut record = self.changed();
        record.step_crashes = 0;
        record.graph.polls = record.graph.polls.saturating_add(1);
        record.graph.missing = record.graph.missing.saturating_add(1);
        record
    }

    /// No job has appeared although it should have: the lost start did nothing.
    fn settled(&self, mut record: Record, find: &FindSpec) -> Decision {
        let may_restart = find.absent == Absent::Restart && !self.overdue();
        if !may_restart {
            return self.end_as(record, Outcome::Unknown, Reason::StartOutcomeUnknown, None);
        }
        record.graph.missing = 0;
        record.reason = Some(Reason::NoUsableAnswer);
        record.state = State::Accepted {
            not_before: self.now,
        };
        record.due_at = Some(self.now);
        self.note(&mut record, "jobNotFound", None);
        written(record, Next::Redecide)
    }

    fn not_found(&self, record: Record, settle_until: Option<Timestamp>) -> Decision {
        let reason = match settle_until {
            None => Reason::StartUntrackable,
            Some(_) => Reason::StartOutcomeUnknown,
        };
        self.end_as(record, Outcome::Unknown, reason, None)
    }

    fn look_later(
        &self,
        mut record: Record,
        settle_until: Option<Timestamp>,
        retry_after: Option<Duration>,
    ) -> Decision {
        let next_look_at = schedule::look_again(&record, settle_until, retry_after, self.now);
        record.state = State::Locating {
            next_look_at,
            settle_until,
        };
        record.due_at = Some(next_look_at);
        written(record, Next::Wait(next_look_at))
    }
}

/// Returns the reason that is shown after a look without a job, and the line of the history if the look itself failed.
fn why_not_found(
    settle_until: Option<Timestamp>,
    verdict: &FindVerdict,
    reply: &GraphReply,
) -> (Reason, Option<&'static str>) {
    let status = match reply {
        GraphReply::Answer(answer) => answer.status,
        GraphReply::NotSent(_) | GraphReply::Lost(_) => 0,
    };
    match (verdict, status) {
        (FindVerdict::Refused, 401 | 403) => (Reason::AuthorizationLost, Some("authorizationLost")),
        (_, 429) => (Reason::Throttled, Some("throttled")),
        (FindVerdict::Refused | FindVerdict::Nothing, _) => {
            (Reason::NoUsableAnswer, Some("noUsableAnswer"))
        }
        (FindVerdict::Found(_) | FindVerdict::Absent, _) => match settle_until {
            None => (Reason::StartUntrackable, None),
            Some(_) => (Reason::NoUsableAnswer, None),
        },
    }
}

fn found(monitor: String) -> Started {
    Started {
        monitor,
        adopted: false,
        retry_after: None,
        snapshot: None,
        secrets: serde_json::Map::new(),
        note: None,
    }
}
