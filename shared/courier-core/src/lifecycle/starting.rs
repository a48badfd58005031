//! Decides about a received message, and about the states before Running: Accepted, Starting and StartUnknown.

use std::time::Duration;

use super::{Decision, Next, Rules, only, written};
use crate::catalogue::{MonitorSource, Restart};
use crate::graph::described::describe;
use crate::graph::unavailable::NotReady;
use crate::graph::verdict::{self, GraphReply, StartVerdict, Started};
use crate::lifecycle::schedule;
use crate::operation::message::Message;
use crate::operation::{Forecast, OperationError, Outcome, Reason, Record, State};
use crate::time::{later, whole_seconds};

/// Time by which a first poll may be late before its message counts as lost.
const FIRST_POLL_GRACE: Duration = Duration::from_secs(60);

impl Rules<'_> {
    pub(super) fn arrived(&self, message: &Message) -> Decision {
        match &self.record.state {
            State::Accepted { not_before } if self.now < *not_before && !self.overdue() => {
                only(Next::Wait((*not_before).min(self.record.deadline)))
            }
            State::Accepted { .. } if self.overdue() => self.give_up_start(),
            State::Accepted { .. } => only(Next::Prepare),
            State::Starting { lease_until } if self.now < *lease_until => {
                only(Next::Wait(*lease_until))
            }
            State::Starting { .. } if self.is_sent_once() => self.hold("lease over"),
            State::Starting { .. } if self.overdue() => self.give_up_start(),
            State::Starting { .. } => only(Next::Prepare),
            State::StartUnknown { hold_until } if self.now < *hold_until => {
                only(Next::Wait(*hold_until))
            }
            State::StartUnknown { .. } => {
                self.end(Outcome::Unknown, Reason::StartOutcomeUnknown, None)
            }
            State::Locating { next_look_at, .. } if self.now < *next_look_at => {
                only(Next::Wait(*next_look_at))
            }
            State::Locating { .. } => only(Next::Poll),
            State::Running { monitor } => self.carried(message, Some(monitor)),
            State::Ended { .. } => self.carried(message, None),
            State::Closed { .. } => only(Next::Drop),
        }
    }

    /// Decides about a message that may poll or deliver, which only the one of the highest epoch does.
    pub(super) fn carried(&self, message: &Message, monitor: Option<&str>) -> Decision {
        let (epoch, location) = match message {
            Message::WatchdogV1 { .. } if self.record.epoch == 0 => return self.take_over(),
            Message::WatchdogV1 { .. } => return only(Next::Drop),
            Message::PollV1 {
                epoch, location, ..
            } => (*epoch, location.as_deref()),
        };
        if epoch < self.record.epoch {
            return only(Next::Drop);
        }
        let Some(monitor) = monitor else {
            return only(self.next_delivery(self.record));
        };
        // An operation past its deadline is polled once more before it ends: its job may have ended in time.
        let next = self.record.graph.next_poll_at.unwrap_or(self.now);
        // The message of an earlier stage goes on if the one of this stage was never sent. Once that is used, its epoch is
        // the record's.
        let may_be_earlier = self.record.follow_up.is_some();
        if location.is_some_and(|location| location != monitor) && !may_be_earlier {
            // The record is the authority: a message with another URL changes nothing, and the URL is not called. One
            // without a URL was sent by the sweep, which has not read the record.
            only(Next::Drop)
        } else if self.now < next {
            only(Next::Wait(next))
        } else {
            only(Next::Poll)
        }
    }

    /// Takes over from a first poll message that may never have been sent, as no poll is recorded yet.
    ///
    /// The new message has the epoch after that one's. The record is not written: if it were and this process died
    /// before the new message was sent, neither message would carry the record.
    pub(super) fn take_over(&self) -> Decision {
        let due = match &self.record.state {
            State::Running { .. } => self.record.graph.next_poll_at,
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Ended { .. }
            | State::Closed { .. } => None,
        };
        let lost_at = due.map(|due| later(due, FIRST_POLL_GRACE));
        if let Some(until) = lost_at.filter(|until| self.now < *until) {
            return only(Next::Wait(until.min(self.record.deadline.max(self.now))));
        }
        Decision {
            write: None,
            send: Some((Message::poll(self.record, 2), self.now)),
            next: Next::Drop,
        }
    }

    /// Claims the start; the claim is written before Graph is called.
    pub(super) fn prepared(&self, container: Option<&str>) -> Decision {
        let may_claim = match &self.record.state {
            State::Accepted { not_before } => self.now >= *not_before,
            State::Starting { lease_until } => self.now >= *lease_until && !self.is_sent_once(),
            State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Running { .. }
            | State::Ended { .. }
            | State::Closed { .. } => false,
        };
        if !may_claim {
            return only(Next::Redecide);
        }
        let mut record = self.changed();
        record.maybe_started |= matches!(self.record.state, State::Starting { .. });
        record.attempt += 1;
        let lease_until = later(self.now, self.policy.timing.lease);
        record.state = State::Starting { lease_until };
        record.due_at = Some(lease_until);
        // There is a token now. Whether Graph accepts it, and has a usable answer this time, the answer will show.
        record.reason = record
            .reason
            .filter(|reason| *reason != Reason::SealedDataUnreadable);
        if record.maybe_started {
            // The answer to an earlier start is still unknown.
            record.reason = record.reason.or(Some(Reason::NoUsableAnswer));
        }
        let mut detail = format!("attempt {}", record.attempt);
        let storage = self.policy.operation.schema().storage();
        if let (Some(container), Some((_, sas))) = (container, storage) {
            detail.push_str(&format!(", into {container}"));
            record.parameters.insert(sas.to_owned(), container.into());
        }
        self.note(&mut record, "startClaimed", Some(detail));
        let attempt = record.attempt;
        written(record, Next::Start { attempt })
    }

    /// Waits with a start that could not be prepared; nothing was sent to Graph.
    ///
    /// Only the message waits. The record is written only if the reason has changed, or if the sweeper would otherwise
    /// take the message for lost.
    pub(super) fn not_ready(&self, not_ready: &NotReady) -> Decision {
        let waiting = matches!(
            self.record.state,
            State::Accepted { .. } | State::Starting { .. }
        );
        if !waiting {
            return only(Next::Redecide);
        }
        let pause = not_ready
            .retry_after
            .unwrap_or_else(|| schedule::start_pause(self.record, self.now));
        let until = later(self.now, pause).min(self.record.deadline.max(self.now));
        // A turn of our own says nothing about what the operation has waited for so far.
        let reason = not_ready.shown().or(self.record.reason);
        let event = "startPostponed";
        let name = not_ready.shown().map(|reason| reason.as_str().to_owned());
        let detail = match (name, &not_ready.detail) {
            (Some(name), Some(detail)) => Some(format!("{name}: {detail}")),
            (name, _) => name,
        };
        let is_noted = detail.is_none() || self.is_noted(event, detail.as_deref());
        let news = self.record.reason != reason || !is_noted;
        if !news && !self.outlasts_sweeper(until) {
            return only(Next::Wait(until));
        }
        let mut record = self.changed();
        if news {
            self.note(&mut record, event, detail);
        }
        record.reason = reason;
        record.due_at = Some(until);
        written(record, Next::Wait(until))
    }

    pub(super) fn started(
        &self,
        attempt: u32,
        (request_id, url): (&str, &str),
        reply: &GraphReply,
        forecast: Option<&Forecast>,
    ) -> Decision {
        let waiting = matches!(self.record.state, State::Starting { .. });
        let held = matches!(
            self.record.state,
            State::StartUnknown { .. } | State::Locating { .. }
        );
        if self.record.attempt != attempt || !(waiting || held) {
            return only(Next::Redecide);
        }
        let verdict = verdict::classify_start(reply, self.subject(), url, self.now);
        let mut record = self.changed();
        record.step_crashes = 0;
        record.graph.client_request_id = Some(request_id.to_owned());
        // The id belongs to this call: without an answer there is none, and the id of an earlier call would mislead.
        record.graph.request_id = match reply {
            GraphReply::Answer(answer) => answer.request_id.clone(),
            GraphReply::NotSent(_) | GraphReply::Lost(_) => None,
        };
        match verdict {
            StartVerdict::Started(started) => self.run(record, started, forecast),
            StartVerdict::Locate(started) => self.locate_accepted(record, started),
            // While the record is held, only a success of the original attempt changes anything.
            _ if held => only(Next::Redecide),
            StartVerdict::NotSent => {
                record.reason = Some(Reason::NoUsableAnswer);
                self.again(record, ("startNotSent", reply), None)
            }
            StartVerdict::Throttled(retry_after) => {
                record.reason = Some(Reason::Throttled);
                let first = Duration::from_secs(self.policy.operation.poll.initial_seconds);
                self.again(
                    record,
                    ("startThrottled", reply),
                    retry_after.or(Some(first)),
                )
            }
            StartVerdict::Early(pause) => {
                // Some services say "not yet" and do it all the same.
                record.maybe_started = true;
                record.reason = Some(Reason::NoUsableAnswer);
                self.again(record, ("startTooEarly", reply), Some(pause))
            }
            StartVerdict::Already(outcome) => {
                record.adopted = true;
                record.reason = None;
                self.note(&mut record, "alreadyThere", Some(describe(reply, None)));
                self.succeed(record, outcome)
            }
            StartVerdict::Unauthorized(error)
                if error.http_status == Some(401) && !record.token_refused =>
            {
                record.token_refused = true;
                record.reason = Some(Reason::NoUsableAnswer);
                self.again(record, ("startUnauthorized", reply), None)
            }
            StartVerdict::Unauthorized(_) => self.await_authorization(record, reply),
            StartVerdict::Refused(error) => self.refused(record, error, (url, reply), forecast),
            StartVerdict::Untrackable(reason) => {
                self.end_as(record, Outcome::Unknown, reason, None)
            }
            StartVerdict::Lost {
                detail,
                retry_after,
            } => self.lose(record, detail, retry_after),
        }
    }

    /// Ends an operation whose start Graph has refused for good; or follows the job that the refusal tells of.
    fn refused(
        &self,
        record: Record,
        error: OperationError,
        (url, reply): (&str, &GraphReply),
        forecast: Option<&Forecast>,
    ) -> Decision {
        let exists = error.http_status == Some(409) && record.maybe_started;
        // The monitor is the resource itself, so its state tells what became of the start whose answer was lost.
        if exists && self.is_its_own_monitor() {
            let retry_after = match reply {
                GraphReply::Answer(answer) => answer.retry_after,
                GraphReply::NotSent(_) | GraphReply::Lost(_) => None,
            };
            let adopted = Started {
                monitor: url.to_owned(),
                adopted: true,
                retry_after,
                snapshot: None,
                secrets: serde_json::Map::new(),
                note: Some(describe(reply, None)),
            };
            return self.run(record, adopted, forecast);
        }
        let (outcome, reason) = if record.maybe_started {
            (Outcome::Unknown, Reason::StartOutcomeUnknown)
        } else {
            (Outcome::Failed, Reason::StartRejected)
        };
        self.end_as(record, outcome, reason, Some(error))
    }

    /// Reports whether a start whose answer was lost is not simply sent again: it would run a second job, or the job can
    /// be looked for first.
    pub(super) fn is_sent_once(&self) -> bool {
        self.class() == Restart::Never || self.policy.operation.find.is_some()
    }

    /// Reports whether the job's state is that of the resource that the start is sent to.
    fn is_its_own_monitor(&self) -> bool {
        let start = &self.policy.operation.start;
        start.method != "POST" && start.monitor.contains(&MonitorSource::Itself)
    }

    /// Waits with a start that Graph refuses until somebody has granted the permission.
    fn await_authorization(&self, mut record: Record, reply: &GraphReply) -> Decision {
        let not_before = schedule::start_again(&record, None, self.now);
        record.state = State::Accepted { not_before };
        record.due_at = Some(not_before);
        let detail = self.lacking(Some(describe(reply, None)));
        if record.reason != Some(Reason::AuthorizationLost) {
            record.reason = Some(Reason::AuthorizationLost);
            self.note(&mut record, "authorizationLost", detail);
        }
        written(record, Next::Wait(not_before))
    }

    /// Repeats a start that Graph provably did not begin, which every restart class allows.
    pub(super) fn again(
        &self,
        mut record: Record,
        (event, reply): (&str, &GraphReply),
        retry_after: Option<Duration>,
    ) -> Decision {
        let not_before = schedule::start_again(&record, retry_after, self.now);
        record.state = State::Accepted { not_before };
        record.due_at = Some(not_before);
        self.note(&mut record, event, Some(describe(reply, None)));
        written(record, Next::Wait(not_before))
    }

    pub(super) fn run(
        &self,
        mut record: Record,
        started: Started,
        forecast: Option<&Forecast>,
    ) -> Decision {
        record.started_at.get_or_insert(self.now);
        record.reason = None;
        self.keep_secrets(&mut record, started.secrets);
        record.adopted = started.adopted;
        record.state = State::Running {
            monitor: started.monitor,
        };
        record.sealed_parameters = None;
        // Looks that have not found the job say nothing about its monitor.
        record.graph.missing = 0;
        let event = if started.adopted {
            "adopted"
        } else {
            "started"
        };
        self.note(&mut record, event, started.note);
        if let Some(snapshot) = started.snapshot {
            record.graph.status = Some(snapshot.word);
            record.graph.progress = snapshot.progress;
            // The answer to the PUT that repairs a schedule may still show the failure of the one before.
            if let Some(outcome @ (Outcome::Succeeded | Outcome::PartiallySucceeded)) =
                snapshot.outcome
            {
                record.graph.seen = true;
                record.result = Some(snapshot.result);
                self.keep_secrets(&mut record, snapshot.secrets);
                return self.succeed(record, outcome);
            }
        }
        record.forecast = forecast.cloned();
        let row = &self.policy.operation.poll;
        let first_poll = schedule::next_poll_at(&record, row, started.retry_after, self.now);
        record.graph.next_poll_at = Some(first_poll);
        record.graph.retry_after = started.retry_after.map(whole_seconds);
        record.due_at = Some(first_poll);
        let message = Message::poll(&record, 1);
        Decision {
            send: Some((message, first_poll)),
            ..written(record, Next::Drop)
        }
    }
}
