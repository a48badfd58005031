//! The documents of a simulation as they are sent, for tests that hold them against what a client makes of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::file::Declared;
use super::hole::Scope;
use super::job::timeline;
use super::simulation::Phase;

const ROOT: &str = "https://graph.microsoft.com/v1.0";
const JOB: &str = "5b3f6a1e-0c4d-4c58-9a53-2f1f6e3f9d10";

/// What a poll gets from a certain time on.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The variant that leads to it: `ordinary`, or the name of an end.
    pub variant: String,
    /// Seconds since the start.
    pub seconds: f64,
    pub status: u16,
    /// The document; `None` where Graph's usual error or nothing is sent.
    pub document: Option<Value>,
    /// What it means, in the words of the catalogue; `None` while the job goes on.
    pub outcome: Option<&'static str>,
}

impl Declared {
    /// Returns what the polls of a job get that the example has started at this time, in each of its variants.
    pub fn samples(&self, started: Timestamp) -> Vec<Sample> {
        let simulation = &self.simulation;
        let ends = simulation.end.keys().map(String::as_str).map(Some);
        let variants = [None].into_iter().chain(ends);
        let of_variant = |end: Option<&str>| {
            let phases = timeline(simulation, end);
            let samples = phases.into_iter().map(|phase| Sample {
                variant: end.unwrap_or("ordinary").to_owned(),
                seconds: phase.seconds,
                status: phase.status,
                document: self.rendered(phase, started),
                outcome: phase.outcome.map(|outcome| outcome.in_the_catalogue()),
            });
            samples.collect::<Vec<_>>()
        };
        variants.flat_map(of_variant).collect()
    }

    /// Returns what a search gets while there is no job of ours.
    pub fn search_in_vain(&self, now: Timestamp) -> Option<Value> {
        let document = self.simulation.find.as_ref()?.document.as_ref()?;
        Some(self.in_scope(now, |scope| document.render(scope)))
    }

    fn rendered(&self, phase: &Phase, started: Timestamp) -> Option<Value> {
        let document = phase.document.as_ref()?;
        Some(self.in_scope(started, |scope| document.render(scope)))
    }

    fn in_scope<T>(&self, at: Timestamp, render: impl FnOnce(&Scope<'_>) -> T) -> T {
        let example = &self.simulation.example;
        let body = example
            .body
            .as_deref()
            .and_then(|body| serde_json::from_str(body).ok());
        let variables = self
            .start_path
            .variables()
            .map(|name| (name.to_owned(), self.key(name).to_owned()));
        let variables: BTreeMap<String, String> = variables.collect();
        render(&Scope {
            job: JOB,
            variables: &variables,
            body: &body.unwrap_or(Value::Null),
            started: at,
            now: at,
            origin: ROOT.trim_end_matches("/v1.0"),
            root: ROOT,
            anonymous: "https://contoso.sharepoint.com",
            each: None,
        })
    }
}
