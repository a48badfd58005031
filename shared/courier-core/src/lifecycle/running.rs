//! Polling: what an answer to a poll changes, and when to poll again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Asked, Decision, Next, Rules, only, written};
use crate::catalogue::Restart;
use crate::graph::described::describe;
use crate::graph::unavailable::{Cause, NotReady};
use crate::graph::verdict::{self, GraphReply, PollVerdict, StatusSnapshot};
use crate::lifecycle::{resuming, schedule};
use crate::operation::{OperationError, Outcome, Reason, Record, State};
use crate::time::{elapsed, later, whole_seconds};

/// Longest pause of an operation whose token or permission is refused: somebody may be mending it right now.
const MAX_AUTHORIZATION_PAUSE: Duration = Duration::from_secs(900);
/// Time past the deadline for which the last poll is tried again while it cannot be made.
const LAST_POLL_PATIENCE: Duration = Duration::from_secs(3600);
/// Number of polls without a status in a row that are counted.
const MAX_COUNTED_TROUBLES: u32 = 8;
/// Longest `Retry-After` that is not written to the record.
const MAX_UNWRITTEN_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A poll: for which message, and what was asked.
pub(super) struct Polled<'a> {
    pub(super) epoch: u32,
    pub(super) receives: u32,
    pub(super) asked: &'a Asked,
}

impl Rules<'_> {
    pub(super) fn polled(
        &self,
        polled: &Polled<'_>,
        request_id: &str,
        reply: &GraphReply,
    ) -> Decision {
        if let (State::Locating { settle_until, .. }, Asked::Job { at }) =
            (&self.record.state, polled.asked)
        {
            return self.looked(*settle_until, *at, request_id, reply);
        }
        if !self.still_asks(polled) {
            return only(Next::Redecide);
        }
        let mut record = self.polled_record(polled.epoch, polled.receives);
        if let Some(follow_up) = self.record.follow_up {
            return self.followed_up(record, follow_up, Some(reply));
        }
        let verdict = verdict::classify_poll(reply, self.subject());
        let retry_after = match reply {
            GraphReply::Answer(answer) => answer.retry_after,
            GraphReply::NotSent(_) | GraphReply::Lost(_) => None,
        };
        record.graph.retry_after = retry_after.map(whole_seconds);
        match verdict {
            PollVerdict::Seen(snapshot) => {
                self.seen(record, snapshot, (request_id, reply), retry_after)
            }
            PollVerdict::NotListed => {
                found_again(&mut record);
                if record.graph.status.is_none() && !self.is_noted("notListedYet", None) {
                    self.note_call(&mut record, "notListedYet", None, request_id, reply);
                }
                self.still_running(record, retry_after)
            }
            // Twice in a row: one answer may come from a server that is behind the others.
            PollVerdict::Missing(_)
                if self.policy.operation.poll.absent.is_some() && self.record.graph.missing > 0 =>
            {
                let gone = verdict::ended("absent", Outcome::Succeeded, None);
                self.seen(record, gone, (request_id, reply), retry_after)
            }
            PollVerdict::Missing(error) => {
                self.missing(record, error, request_id, reply, retry_after)
            }
            PollVerdict::Unauthorized => {
                let lost = (Reason::AuthorizationLost, Some(describe(reply, None)));
                self.lose_authorization(record, lost, Some((request_id, reply)), retry_after)
            }
            PollVerdict::Nothing(_) => {
                let status = match reply {
                    GraphReply::Answer(answer) => answer.status,
                    GraphReply::NotSent(_) | GraphReply::Lost(_) => 0,
                };
                // An answer that refuses nothing shows that the token is accepted again.
                if (100..500).contains(&status) {
                    record.reason = None;
                }
                let is_throttled = status == 429;
                let reason = if is_throttled {
                    Reason::Throttled
                } else {
                    Reason::NoUsableAnswer
                };
                let came = describe(reply, Some(&self.policy.operation.poll));
                if self.is_news_that(&mut record, reason, Some(&came)) {
                    self.note_call(&mut record, event_of(reason), Some(came), request_id, reply);
                }
                let initial = Duration::from_secs(self.policy.operation.poll.initial_seconds);
                let retry_after = retry_after.or_else(|| is_throttled.then_some(initial));
                self.ask_again(record, retry_after, None)
            }
        }
    }

    /// Takes over what a status document says.
    fn seen(
        &self,
        mut record: Record,
        snapshot: StatusSnapshot,
        (request_id, reply): (&str, &GraphReply),
        retry_after: Option<Duration>,
    ) -> Decision {
        found_again(&mut record);
        record.graph.progress = snapshot.progress;
        if record.graph.status.as_deref() != Some(snapshot.word.as_str()) {
            record.graph.status = Some(snapshot.word.clone());
            if snapshot.outcome.is_none() {
                let word = Some(snapshot.word);
                self.note_call(&mut record, "statusChanged", word, request_id, reply);
            }
        }
        let Some(outcome) = snapshot.outcome else {
            return self.still_running(record, retry_after);
        };
        record.graph.next_poll_at = None;
        if let GraphReply::Answer(answer) = reply {
            record.graph.request_id.clone_from(&answer.request_id);
        }
        record.result = Some(snapshot.result).filter(|_| outcome != Outcome::Failed);
        self.keep_secrets(&mut record, snapshot.secrets);
        match (outcome, snapshot.error) {
            (_, Some(error)) => self.end_as(record, outcome, Reason::OperationFailed, Some(error)),
            (Outcome::Succeeded | Outcome::PartiallySucceeded, None) => {
                self.succeed(record, outcome)
            }
            (Outcome::Cancelled, None) => {
                self.end_as(record, outcome, Reason::CancelledAtGraph, None)
            }
            (Outcome::Failed | Outcome::Expired | Outcome::Unknown, None) => {
                self.end_without_reason(record, outcome)
            }
        }
    }

    /// Shows the reason, unless the operation waits for something to be mended. Reports whether the history lacks what
    /// came.
    fn is_news_that(&self, record: &mut Record, reason: Reason, came: Option<&str>) -> bool {
        if !record.reason.is_some_and(Reason::needs_mending) {
            record.reason = Some(reason);
        }
        record.reason != self.record.reason || !self.is_noted(event_of(reason), came)
    }

    /// Reports whether the record would poll the same monitor, for a message of no lower epoch than its own.
    ///
    /// An answer about another monitor says nothing: the job's end is not that what it has made is there.
    fn still_asks(&self, polled: &Polled<'_>) -> bool {
        match (&self.record.state, polled.asked) {
            (State::Running { monitor }, Asked::Monitor(asked)) => {
                asked == monitor && polled.epoch >= self.record.epoch
            }
            _ => false,
        }
    }

    pub(super) fn poll_not_ready(&self, polled: &Polled<'_>, not_ready: &NotReady) -> Decision {
        if let (State::Locating { settle_until, .. }, Asked::Job { .. }) =
            (&self.record.state, polled.asked)
        {
            return self.look_not_ready(*settle_until, not_ready);
        }
        if !self.still_asks(polled) {
            return only(Next::Redecide);
        }
        let mut record = self.polled_record(polled.epoch, polled.receives);
        if let Some(follow_up) = self.record.follow_up {
            return self.followed_up(record, follow_up, None);
        }
        // Graph was not called, so this does not count as a poll.
        record.graph.polls = self.record.graph.polls;
        let wait = not_ready.retry_after;
        let detail = not_ready.detail.clone();
        if let Some(reason) = not_ready.reason {
            return self.lose_authorization(record, (reason, detail), None, wait);
        }
        if let Some(reason) = not_ready.shown()
            && self.is_news_that(&mut record, reason, detail.as_deref())
        {
            self.note(&mut record, event_of(reason), detail);
        }
        let spec = &self.policy.operation.poll;
        let next = match not_ready.cause {
            Cause::Trouble => return self.ask_again(record, wait, None),
            Cause::Turn => schedule::turn(&record, wait, self.now),
            Cause::Throttled => schedule::throttled(&record, spec, wait, self.now),
        };
        self.wait_for_poll(record, next, wait)
    }

    pub(super) fn polled_record(&self, epoch: u32, receives: u32) -> Record {
        let mut record = self.changed();
        record.epoch = epoch;
        record.step_crashes = 0;
        record.shelved_until = None;
        record.graph.polls = receives.max(self.record.graph.polls.saturating_add(1));
        record
    }

    pub(super) fn lose_authorization(
        &self,
        mut record: Record,
        (reason, came): (Reason, Option<String>),
        call: Option<(&str, &GraphReply)>,
        retry_after: Option<Duration>,
    ) -> Decision {
        let (event, detail) = ("authorizationLost", self.lacking(came));
        if record.reason != Some(reason) || !self.is_noted(event, detail.as_deref()) {
            record.reason = Some(reason);
            match call {
                Some((id, reply)) => self.note_call(&mut record, event, detail, id, reply),
                None => self.note(&mut record, event, detail),
            }
        }
        self.ask_again(record, retry_after, Some(MAX_AUTHORIZATION_PAUSE))
    }

    /// Waits with a poll that could not be made or that got no status: after 30 s, 2 min, 8 min and so on.
    ///
    /// The pause is never longer than the one between two polls, nor than `longest`, unless Graph asks for a longer
    /// one. Past the deadline it goes on for [`LAST_POLL_PATIENCE`], because the job may have ended in time.
    pub(super) fn ask_again(
        &self,
        mut record: Record,
        retry_after: Option<Duration>,
        longest: Option<Duration>,
    ) -> Decision {
        if elapsed(record.deadline, self.now) >= LAST_POLL_PATIENCE {
            return self.end_as(record, Outcome::Expired, Reason::DeadlinePassed, None);
        }
        // The count is no longer news once the pause has outgrown every other.
        record.graph.unanswered = (record.graph.unanswered + 1).min(MAX_COUNTED_TROUBLES);
        let spec = &self.policy.operation.poll;
        let next = schedule::ask_again(&record, spec, retry_after, longest, self.now);
        self.wait_for_poll(record, next, retry_after)
    }

    /// Before the first 200 this is a young resource, later an expired one
    /// (`docs/graph-behaviour.md`, Polling): never a failure.
    pub(super) fn missing(
        &self,
        mut record: Record,
        error: OperationError,
        request_id: &str,
        reply: &GraphReply,
        retry_after: Option<Duration>,
    ) -> Decision {
        let since = *record.graph.missing_since.get_or_insert(self.now);
        record.graph.missing += 1;
        if record.graph.missing == 1 {
            let code = Some(error.code.clone());
            self.note_call(&mut record, "monitorMissing", code, request_id, reply);
        }
        record.reason = Some(Reason::NoUsableAnswer);
        record.graph.unanswered = 0;
        let timing = self.policy.timing;
        let missing_for = match self.class() {
            Restart::Never => timing.missing_for_never,
            Restart::Adopt | Restart::Idempotent => timing.missing_for,
        };
        let long = elapsed(since, self.now) >= missing_for;
        if long && record.graph.missing >= timing.missing_polls {
            return self.end_as(record, Outcome::Unknown, Reason::MonitorGone, Some(error));
        }
        if self.overdue() {
            return self.end_as(record, Outcome::Expired, Reason::DeadlinePassed, None);
        }
        let next = schedule::missing_again(&record, missing_for, retry_after, self.now);
        self.wait_for_poll(record, next, retry_after)
    }

    /// Waits for the next poll.
    ///
    /// Writes only a change, a long `Retry-After`, or a new `due_at` when the sweeper would take the message for lost. Where
    /// the queue ends with its process, also a time that the next process could not compute.
    pub(super) fn still_running(
        &self,
        mut record: Record,
        retry_after: Option<Duration>,
    ) -> Decision {
        if self.overdue() {
            // Graph's pause holds also if the operation is resumed.
            record.graph.next_poll_at = retry_after.map(|pause| later(self.now, pause));
            return self.end_as(record, Outcome::Expired, Reason::DeadlinePassed, None);
        }
        let spec = &self.policy.operation.poll;
        let next_poll = schedule::next_poll_at(&record, spec, retry_after, self.now);
        if !self.policy.timing.forgets_waits {
            return self.wait_for_poll(record, next_poll, retry_after);
        }
        match self.as_planned(next_poll) {
            Some(next_poll) => self.wait_for_poll(record, next_poll, retry_after),
            None => self.write_poll(record, next_poll),
        }
    }

    /// Returns the planned time of the next poll, or a little later, if that follows from the stored record.
    fn as_planned(&self, next_poll: Timestamp) -> Option<Timestamp> {
        let spec = &self.policy.operation.poll;
        let planned = resuming::planned(self.record, spec, self.now)?;
        let off = elapsed(planned.min(next_poll), planned.max(next_poll));
        let pause = elapsed(self.now, next_poll);
        (off <= resuming::tolerance(pause)).then_some(planned.max(next_poll))
    }

    fn wait_for_poll(
        &self,
        record: Record,
        next_poll: Timestamp,
        retry_after: Option<Duration>,
    ) -> Decision {
        let wait = elapsed(self.now, next_poll);
        if self.policy.shelve_from.is_some_and(|from| wait >= from) {
            return shelved(record, next_poll);
        }
        // A message that the queue delivers too early must find Graph's long pause in the record; our own pacing is
        // computed again.
        let long = retry_after.is_some_and(|retry_after| retry_after > MAX_UNWRITTEN_RETRY_AFTER);
        let was_shelved = self.record.is_shelved();
        if !long && !was_shelved && !self.outlasts_sweeper(next_poll) && !self.is_news(&record) {
            return only(Next::Wait(next_poll));
        }
        self.write_poll(record, next_poll)
    }

    pub(super) fn write_poll(&self, mut record: Record, next_poll: Timestamp) -> Decision {
        record.graph.next_poll_at = Some(next_poll);
        record.due_at = Some(schedule::sweep_after(&record, next_poll, self.now));
        // The sweep may have sent the same message twice. One of a higher epoch ends that.
        if self.record.is_shelved() && record.epoch == self.record.epoch {
            return self.carry_anew_at(written(record, Next::Drop), next_poll);
        }
        written(record, Next::Wait(next_poll))
    }

    /// Reports whether `record` differs from the stored record in anything that is worth a write.
    pub(super) fn is_news(&self, record: &Record) -> bool {
        let (old, new) = (&self.record.graph, &record.graph);
        record.epoch != self.record.epoch
            || record.step_crashes != self.record.step_crashes
            || record.reason != self.record.reason
            || record.history.last() != self.record.history.last()
            || new.status != old.status
            || progress_step(new.progress) != progress_step(old.progress)
            || new.seen != old.seen
            || new.missing != old.missing
            || new.unanswered != old.unanswered
    }
}

/// Notes that the job, or where it will be, was seen.
fn found_again(record: &mut Record) {
    record.graph.seen = true;
    record.graph.missing = 0;
    record.graph.missing_since = None;
    record.graph.unanswered = 0;
    record.reason = None;
}

/// Leaves the wait to the table: no message waits, and the sweep sends one of the next epoch, which outdates this one.
fn shelved(mut record: Record, next_poll: Timestamp) -> Decision {
    record.epoch = record.epoch.saturating_add(1);
    record.graph.next_poll_at = Some(next_poll);
    record.due_at = Some(next_poll);
    record.shelved_until = Some(next_poll);
    written(record, Next::Drop)
}

/// Returns the line of the history for a poll that brings nothing.
fn event_of(reason: Reason) -> &'static str {
    if reason == Reason::Throttled {
        "throttled"
    } else {
        "noUsableAnswer"
    }
}

/// Returns the tenth that the progress is in; Graph counts either to 1 or to 100.
///
/// Only another tenth is written: an export that reports every percent would otherwise cost a write for each.
fn progress_step(progress: Option<f64>) -> Option<i64> {
    let progress = progress?;
    let tenth = if progress <= 1.0 { 0.1 } else { 10.0 };
    Some((progress / tenth).floor() as i64)
}
