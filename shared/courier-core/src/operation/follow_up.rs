//! The looks after a job's success.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Outcome;

/// The look that waits until what a job has made can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowUp {
    /// Number of the look, from 1. It never falls.
    pub stage: u32,
    /// The outcome of the job, which is the operation's when the looks are done.
    pub outcome: Outcome,
    /// Time at which the operation ends although nothing could be seen.
    pub until: Timestamp,
}
