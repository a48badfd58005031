//! The journals that remain after servers were killed, from four sources, and the checks that compare them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use graph_simulator::{Entry, Job};
use jiff::Timestamp;
use serde_json::Value;

use crate::invariants;
use crate::receiver::Callback;

/// One operation as its caller knows it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub kind: &'static str,
    /// The container, `organization/view` or the team, by which Graph knows it.
    pub resource: String,
    /// Another operation was requested for the same resource.
    pub shared: bool,
    /// The id under which it was acknowledged.
    pub id: String,
    pub requests: usize,
}

pub struct Journals {
    pub asked: Vec<Asked>,
    /// The API's documents, by id.
    pub documents: BTreeMap<String, Value>,
    pub calls: Vec<Entry>,
    pub jobs: Vec<Job>,
    pub callbacks: Vec<Callback>,
    /// The times of start and death of each server that was killed during the run.
    pub lives: Vec<(Timestamp, Timestamp)>,
}

impl Journals {
    /// Panics where two journals contradict each other.
    pub fn agree(&self) {
        self.every_acknowledged_operation_has_one_outcome();
        for one in &self.asked {
            self.outcome_is_true(one);
            if one.kind == "export" {
                self.no_export_was_started_twice(one);
            }
        }
        let calls = self.calls.iter();
        let calls = calls.filter(|call| !self.followed_by_many(call)).cloned();
        invariants::check(&calls.collect::<Vec<_>>(), &self.jobs, &self.callbacks);
    }

    /// Checks that caller, API and receiver have the same operations, each with one event that carries its status.
    fn every_acknowledged_operation_has_one_outcome(&self) {
        let acknowledged: BTreeSet<_> = self.asked.iter().map(|one| &one.id).collect();
        assert_eq!(
            acknowledged.len(),
            self.asked.len(),
            "two keys led to one operation"
        );
        assert_eq!(
            acknowledged,
            self.documents.keys().collect(),
            "acknowledged, and known to the API"
        );
        let mut events: HashMap<String, BTreeSet<(&str, &[u8])>> = HashMap::new();
        for callback in &self.callbacks {
            let body: Value = serde_json::from_slice(&callback.body).unwrap_or_default();
            let id = text(&body["data"]["id"]).to_owned();
            assert_eq!(
                body["data"]["status"], self.documents[&id]["status"],
                "{id}"
            );
            let event = callback.header("webhook-id").unwrap_or_default();
            events
                .entry(id)
                .or_default()
                .insert((event, &callback.body));
        }
        for (id, document) in &self.documents {
            assert_eq!(document["callback"]["status"], "delivered", "{document}");
            let events = events.get(id).map_or(0, BTreeSet::len);
            assert_eq!(events, 1, "{id} has {events} events");
        }
    }

    /// I6: checks that the reported result is the real one behind Graph. Only a start that a kill interrupted is
    /// `unknown`.
    fn outcome_is_true(&self, one: &Asked) {
        let document = &self.documents[&one.id];
        let ran = |status: &str| self.jobs_of(one).iter().any(|job| job.status == status);
        match (text(&document["status"]), &document["reason"]) {
            ("succeeded", _) => assert!(ran("succeeded"), "{document}"),
            ("failed", reason) => {
                assert_eq!(reason, "operation_failed", "{document}");
                assert!(ran("failed"), "{document}");
            }
            ("unknown", reason) => {
                assert_eq!(reason, "start_outcome_unknown", "{document}");
                assert_eq!(one.kind, "export", "{document}");
                assert!(self.cut_off(one), "{document}");
            }
            (other, _) => panic!("{other}: {document}"),
        }
    }

    /// Reports whether Graph's last answer to this export may have been lost.
    ///
    /// Either Graph itself lost it, or the call fell into the life of a server that was killed. An export that was
    /// claimed and not sent leaves no call; then a server died after the claim, which followed the request or a
    /// refusal.
    fn cut_off(&self, one: &Asked) -> bool {
        let created = text(&self.documents[&one.id]["createdAt"]);
        let during = |at: Timestamp| {
            self.lives
                .iter()
                .any(|(born, died)| (*born..=*died).contains(&at))
        };
        match self.starts(one).last() {
            None => during(created.parse().unwrap_or_default()),
            Some(call) if call.status.is_none() => true,
            Some(call) if call.status == Some(429) => {
                self.lives.iter().any(|(_, died)| *died >= call.at)
            }
            Some(call) => during(call.at),
        }
    }

    /// I1, and more: checks that no start follows one that may have started an export.
    fn no_export_was_started_twice(&self, one: &Asked) {
        let answers: Vec<_> = self.starts(one).map(|call| call.status).collect();
        let before = answers.len().saturating_sub(1);
        let refused = answers[..before].iter().all(|status| *status == Some(429));
        assert!(refused, "I1: {one:?}: {answers:?}");
        assert!(self.jobs_of(one).len() <= 1, "I1: {one:?}");
    }

    /// Yields the calls that would start this export, in order.
    fn starts(&self, one: &Asked) -> impl Iterator<Item = &Entry> {
        let container = format!("https://contoso.blob.core.windows.net/{}?", one.resource);
        self.calls.iter().filter(move |call| {
            let body = call.body.as_ref();
            let location = body.and_then(|body| body["storageLocation"].as_str());
            call.call == "export.start" && location.is_some_and(|url| url.starts_with(&container))
        })
    }

    fn jobs_of(&self, one: &Asked) -> Vec<&Job> {
        let started: BTreeSet<_> = self
            .starts(one)
            .filter_map(|call| call.job.as_ref())
            .collect();
        let behind = |job: &&Job| match one.kind {
            "export" => started.contains(&job.id),
            _ => job.key == one.resource,
        };
        self.jobs.iter().filter(behind).collect()
    }

    /// Reports whether several operations follow this job, each at its own pace: a `Retry-After` to one does not bind
    /// the others.
    fn followed_by_many(&self, call: &Entry) -> bool {
        let job = self
            .jobs
            .iter()
            .find(|job| Some(&job.id) == call.job.as_ref());
        let shared = |job: &Job| {
            self.asked
                .iter()
                .any(|one| one.shared && one.resource == job.key)
        };
        job.is_some_and(shared)
    }
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
}
