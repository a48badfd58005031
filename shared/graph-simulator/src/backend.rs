//! The state that every operation depends on: the durations, the behaviour of Graph, and its jobs.

use crate::behaviour::Behaviour;
use crate::jobs::Jobs;
use crate::options::Durations;

pub(crate) struct Backend {
    pub(crate) durations: Durations,
    pub(crate) behaviour: Behaviour,
    pub(crate) jobs: Jobs,
}

impl Backend {
    pub(crate) fn new(durations: Durations, behaviour: Behaviour) -> Self {
        Self {
            durations,
            behaviour,
            jobs: Jobs::default(),
        }
    }
}
