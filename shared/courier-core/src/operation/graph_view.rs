//! What Graph last reported of a job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Unknown;

/// The state of the job, as Graph last reported it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub polls: u32,
    /// The next poll; after the end of an operation that may be resumed, the time before which Graph wants none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_poll_at: Option<Timestamp>,
    /// Seconds that Graph asked to wait, in the answer after which the record was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// At least one poll was answered 200.
    pub seen: bool,
    /// Number of consecutive polls that found no operation resource.
    pub missing: u32,
    /// Time of the first of these polls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Timestamp>,
    /// Number of consecutive polls that could not be made or got no status.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswered: u32,
    #[serde(flatten)]
    pub unknown: Unknown,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
