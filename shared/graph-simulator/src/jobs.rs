//! The jobs behind the calls, and the status of each at a given time.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::behaviour::{Behaviour, Outcome};
use crate::instant;
use crate::options::Durations;

/// A job as a test sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The operation's name in the catalogue: `user.exportPersonalData`, `team.create`, …
    pub operation: String,
    /// The operation id, the goals key, the id of a schedule's provisioning, or what the simulation calls the job.
    pub id: String,
    /// The user id, `organization/view`, the team id, or what the simulation says that a duplicate shares.
    pub key: String,
    pub created_at: Timestamp,
    /// The `client-request-id` of the call that started the job.
    pub client_request_id: Option<String>,
    /// The status: `notStarted`, `running`, `succeeded`, `failed`, or the one that a test set.
    pub status: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    NotStarted,
    Running,
    Succeeded,
    Failed,
    /// A test ended the job with this status.
    Said(String),
}

pub(crate) struct Run {
    operation: String,
    pub(crate) id: String,
    key: String,
    pub(crate) created_at: Timestamp,
    running_from: Timestamp,
    pub(crate) ends_at: Timestamp,
    outcome: Outcome,
    /// The status in which it ends, where that is neither success nor failure.
    ends_as: Option<&'static str>,
    client_request_id: Option<String>,
    said: Option<String>,
}

/// The attributes of a new job.
pub(crate) struct Start<'a> {
    pub(crate) operation: &'a str,
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
    pub(crate) now: Timestamp,
    pub(crate) client_request_id: Option<&'a str>,
}

#[derive(Default)]
pub(crate) struct Jobs {
    runs: Vec<Run>,
    by_id: HashMap<String, usize>,
}

impl Phase {
    pub(crate) fn ended(&self) -> bool {
        match self {
            Self::NotStarted | Self::Running => false,
            Self::Succeeded | Self::Failed => true,
            Self::Said(word) => {
                !["notstarted", "running"].contains(&word.to_ascii_lowercase().as_str())
            }
        }
    }

    pub(crate) fn succeeded(&self) -> bool {
        match self {
            Self::Succeeded => true,
            Self::NotStarted | Self::Running | Self::Failed => false,
            Self::Said(word) => {
                let word = word.to_ascii_lowercase();
                ["complete", "completed", "succeeded"].contains(&word.as_str())
            }
        }
    }

    /// Returns the status of Graph's long-running operations, which most resources use.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::NotStarted => "notStarted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Said(word) => word,
        }
    }
}

impl Run {
    pub(crate) fn phase(&self, now: Timestamp) -> Phase {
        if let Some(word) = &self.said {
            return Phase::Said(word.clone());
        }
        if now >= self.ends_at {
            if let Some(word) = self.ends_as {
                return Phase::Said(word.to_owned());
            }
            match self.outcome {
                Outcome::Succeeded => return Phase::Succeeded,
                Outcome::Failed => return Phase::Failed,
                Outcome::Endless => return Phase::Running,
            }
        }
        if now < self.running_from {
            Phase::NotStarted
        } else {
            Phase::Running
        }
    }

    /// Returns the status that a test gave the job.
    pub(crate) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Returns the fraction of its duration that has passed, 0 to 1; an endless job never reaches 1.
    pub(crate) fn fraction(&self, now: Timestamp) -> f64 {
        if self.phase(now).succeeded() {
            return 1.0;
        }
        let whole = self.ends_at.duration_since(self.created_at).as_secs_f64();
        let passed = now.duration_since(self.created_at).as_secs_f64();
        if whole > 0.0 {
            (passed / whole).clamp(0.0, 0.99)
        } else {
            0.99
        }
    }
}

impl Jobs {
    pub(crate) fn start(
        &mut self,
        start: Start<'_>,
        durations: &Durations,
        behaviour: &Behaviour,
    ) -> usize {
        let failing = behaviour
            .failing
            .iter()
            .any(|key| start.key.contains(key.as_str()));
        let index = self.runs.len();
        self.by_id.insert(start.id.clone(), index);
        self.runs.push(Run {
            operation: start.operation.to_owned(),
            id: start.id,
            key: start.key,
            created_at: start.now,
            running_from: instant::after(start.now, durations.not_started_seconds),
            ends_at: instant::after(start.now, start.seconds),
            outcome: if failing {
                Outcome::Failed
            } else {
                start.outcome
            },
            ends_as: None,
            client_request_id: start.client_request_id.map(str::to_owned),
            said: None,
        });
        index
    }

    /// Makes a job end with this status, unless a test ends it before.
    pub(crate) fn end_as(&mut self, index: usize, word: &'static str) {
        self.runs[index].ends_as = Some(word);
    }

    pub(crate) fn run(&self, index: usize) -> &Run {
        &self.runs[index]
    }

    /// Ends a job now with this status; `running` keeps it running for ever.
    pub(crate) fn finish(&mut self, id: &str, word: &str, now: Timestamp) -> bool {
        let Some(run) = self.by_id.get(id).map(|index| &mut self.runs[*index]) else {
            return false;
        };
        run.said = Some(word.to_owned());
        run.ends_at = now;
        true
    }

    pub(crate) fn all(&self, now: Timestamp) -> Vec<Job> {
        let job = |run: &Run| Job {
            operation: run.operation.clone(),
            id: run.id.clone(),
            key: run.key.clone(),
            created_at: run.created_at,
            client_request_id: run.client_request_id.clone(),
            status: run.phase(now).as_str().to_owned(),
        };
        self.runs.iter().map(job).collect()
    }
}
