//! A job of a declared operation, and the document that is shown of it at a given time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::file::Declared;
use super::hole::Scope;
use super::simulation::{Ending, Phase, Simulation};
use super::variant::Variant;
use crate::jobs::Run;

pub(crate) struct Job {
    pub(crate) id: String,
    /// Its number among the jobs of all operations.
    pub(crate) run: usize,
    pub(crate) key: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) body: Value,
    pub(crate) started: Timestamp,
    pub(crate) variant: Variant,
    /// The monitor is on the host that takes no token.
    pub(crate) anonymous: bool,
    pub(crate) hosts: Hosts,
}

/// The addresses that the documents of a job contain.
#[derive(Clone)]
pub(crate) struct Hosts {
    pub(crate) origin: String,
    pub(crate) root: String,
    pub(crate) anonymous: String,
}

/// What is to be seen of a job.
pub(crate) struct View<'d> {
    pub(crate) phase: &'d Phase,
    /// How the job ended, and how many seconds ago.
    pub(crate) ended: Option<(Ending, f64)>,
    /// The status that a test gave it.
    pub(crate) word: Option<String>,
    /// Seconds since the start, as the phases count them.
    pub(crate) age: f64,
}

impl Job {
    pub(crate) fn scope(&self, now: Timestamp) -> Scope<'_> {
        Scope {
            job: &self.id,
            variables: &self.variables,
            body: &self.body,
            started: self.started,
            now,
            origin: &self.hosts.origin,
            root: &self.hosts.root,
            anonymous: &self.hosts.anonymous,
            each: None,
        }
    }

    /// Returns what is shown at `now`, where `factor` stretches the seconds of the phases.
    pub(crate) fn view<'d>(
        &self,
        declared: &'d Declared,
        run: &Run,
        now: Timestamp,
        factor: f64,
    ) -> View<'d> {
        let age = now.duration_since(self.started).as_secs_f64() / factor.max(f64::MIN_POSITIVE);
        if let Some(word) = run.said() {
            return self.said(declared, word, run, now, age);
        }
        let mut phases = timeline(&declared.simulation, self.variant.end.as_deref());
        let end = ending(&phases);
        if self.variant.endless {
            phases.retain(|phase| phase.outcome.is_none());
        }
        if self.variant.terminal_at_once {
            return View {
                phase: end.0,
                ended: Some((end.1, age)),
                word: None,
                age,
            };
        }
        let mut shown = phases.iter().rev().copied();
        let shown = shown.find(|phase| phase.seconds <= age);
        let over = age >= end.0.seconds && !self.variant.endless;
        let ended = over.then_some((end.1, age - end.0.seconds));
        View {
            phase: shown.unwrap_or(&declared.simulation.phase[0]),
            ended,
            word: None,
            age,
        }
    }

    /// Returns the end that a test has asked for: one of the simulation's by its name, or the document of the moment with
    /// another status.
    fn said<'d>(
        &self,
        declared: &'d Declared,
        word: &str,
        run: &Run,
        now: Timestamp,
        age: f64,
    ) -> View<'d> {
        let simulation = &declared.simulation;
        let named = simulation.end.contains_key(word);
        let phases = timeline(simulation, named.then_some(word));
        let end = ending(&phases);
        let since = now.duration_since(run.ends_at).as_secs_f64();
        if named || word == "succeeded" {
            return View {
                phase: end.0,
                ended: Some((end.1, since)),
                word: None,
                age,
            };
        }
        let shown = phases.iter().rev().find(|phase| phase.seconds <= age);
        let phase = shown.unwrap_or(&phases[0]);
        View {
            phase,
            ended: None,
            word: Some(word.to_owned()),
            age,
        }
    }
}

/// Returns the phases of a job that ends in this way: the ordinary ones as long as it goes on, then those of the end.
pub(crate) fn timeline<'d>(simulation: &'d Simulation, end: Option<&str>) -> Vec<&'d Phase> {
    let Some(end) = end.and_then(|end| simulation.end.get(end)) else {
        return simulation.phase.iter().collect();
    };
    let from = end.first().map_or(f64::INFINITY, |phase| phase.seconds);
    let running = simulation.phase.iter();
    let running = running.filter(|phase| phase.outcome.is_none() && phase.seconds < from);
    running.chain(end).collect()
}

/// Returns the phase with which the job ends. Reading the file made sure that there is one.
pub(crate) fn ending<'d>(phases: &[&'d Phase]) -> (&'d Phase, Ending) {
    let end = phases
        .iter()
        .find_map(|phase| Some((*phase, phase.outcome?)));
    end.unwrap_or_else(|| (phases[phases.len() - 1], Ending::Succeeded))
}

impl Ending {
    /// Returns the word of the catalogue for the end.
    pub(super) fn in_the_catalogue(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::PartiallySucceeded => "partially_succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the name of the end in the list of jobs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::PartiallySucceeded => "partiallySucceeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
