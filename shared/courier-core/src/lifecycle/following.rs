//! After the success of a job: waits until what it has made can be seen (`[[then]]` of the catalogue).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Decision, Next, Rules, written};
use crate::catalogue::places::unwrapped;
use crate::graph::described::describe;
use crate::graph::monitor;
use crate::graph::results;
use crate::graph::verdict::{GraphReply, Subject};
use crate::operation::{FollowUp, Outcome, Record, State};
use crate::time::later;

impl Rules<'_> {
    /// Ends an operation whose job has succeeded, at once or when its follow-up looks are done.
    pub(super) fn succeed(&self, mut record: Record, outcome: Outcome) -> Decision {
        self.add_result(&mut record, &Value::Null);
        if !self.policy.operation.then.is_empty() {
            let status = record.graph.status.clone();
            self.note(&mut record, "jobSucceeded", status);
        }
        self.next_stage(record, outcome, 1)
    }

    /// Decides about the answer to a follow-up look, or about one that could not be made.
    pub(super) fn followed_up(
        &self,
        mut record: Record,
        follow_up: FollowUp,
        reply: Option<&GraphReply>,
    ) -> Decision {
        record.follow_up = Some(follow_up);
        let answer = match reply {
            Some(GraphReply::Answer(answer)) => Some(answer),
            Some(GraphReply::NotSent(_) | GraphReply::Lost(_)) | None => None,
        };
        if let Some(answer) = answer.filter(|answer| (200..300).contains(&answer.status)) {
            let empty = Value::Null;
            let body = answer.body.as_ref().map_or(&empty, unwrapped);
            self.add_result(&mut record, body);
            return self.next_stage(record, follow_up.outcome, follow_up.stage + 1);
        }
        if self.now >= follow_up.until || self.overdue() {
            let came = reply.map(|reply| describe(reply, None));
            self.note(&mut record, "notVerified", came);
            unverified(&mut record);
            return self.next_stage(record, follow_up.outcome, follow_up.stage + 1);
        }
        let then = self.then(follow_up.stage);
        let every = then.map_or(60, |then| then.every_seconds);
        let asked = answer
            .and_then(|answer| answer.retry_after)
            .unwrap_or_default();
        let next = later(self.now, asked.max(Duration::from_secs(every)));
        self.write_poll(record, next.min(follow_up.until.max(self.now)))
    }

    fn then(&self, stage: u32) -> Option<&crate::catalogue::ThenSpec> {
        let index = usize::try_from(stage).ok()?.checked_sub(1)?;
        self.policy.operation.then.get(index)
    }

    /// Begins the look of this number, or ends the operation if there is none.
    fn next_stage(&self, mut record: Record, outcome: Outcome, mut stage: u32) -> Decision {
        let found = loop {
            let Some(then) = self.then(stage) else {
                break None;
            };
            let subject = Subject {
                record: &record,
                ..self.subject()
            };
            let url = subject.places().url(&then.path).ok();
            let version = &self.policy.operation.start.version;
            let url = url.and_then(|url| monitor::trusted(&url, self.policy.graph, version).ok());
            if let Some(url) = url.filter(|_| !self.overdue()) {
                break Some((then, url));
            }
            // What the path needs is not known, so nobody can look.
            unverified(&mut record);
            stage += 1;
        };
        let Some((then, url)) = found else {
            return self.end_without_reason(record, outcome);
        };
        record.started_at.get_or_insert(self.now);
        record.reason = None;
        record.sealed_parameters = None;
        record.follow_up = Some(FollowUp {
            stage,
            outcome,
            until: later(self.now, Duration::from_secs(then.within_seconds)),
        });
        record.state = State::Running { monitor: url };
        record.graph.missing = 0;
        record.graph.missing_since = None;
        record.graph.unanswered = 0;
        record.graph.retry_after = None;
        record.graph.next_poll_at = Some(self.now);
        record.forecast = None;
        record.due_at = Some(self.now);
        record.shelved_until = None;
        self.carry_anew(written(record, Next::Drop))
    }

    /// Adds what a document tells about the result, and what it takes from the request alone.
    fn add_result(&self, record: &mut Record, document: &Value) {
        let operation = self.policy.operation;
        if operation.result.is_empty() {
            return;
        }
        let subject = Subject {
            record,
            ..self.subject()
        };
        let found = results::result(operation, document, &[], &subject.places());
        let result = record.result.get_or_insert_default();
        for (name, value) in found {
            result.entry(name).or_insert(value);
        }
    }

    /// Keeps sealed secrets of the result for the completion.
    pub(super) fn keep_secrets(&self, record: &mut Record, secrets: Map<String, Value>) {
        if !secrets.is_empty() {
            record.sealed_result.get_or_insert_default().extend(secrets);
        }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            operation: self.policy.operation,
            record: self.record,
            graph: self.policy.graph,
        }
    }
}

/// Says in the result that nobody has seen what the job has made.
fn unverified(record: &mut Record) {
    let result = record.result.get_or_insert_default();
    result.insert("verified".to_owned(), false.into());
}
