//! That a person has looked into an operation whose outcome is unknown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time::serialize_milliseconds;

/// Who has looked into the outcome, when, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    #[serde(serialize_with = "serialize_milliseconds")]
    pub at: Timestamp,
    /// Kind and name of the caller, such as `operator night-shift`.
    pub by: String,
    pub note: String,
}
