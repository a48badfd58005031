//! The history of an operation: one line for each thing that happened.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Unknown;
use super::hash::Hash;
use crate::time::serialize_milliseconds;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    #[serde(serialize_with = "serialize_milliseconds")]
    pub at: Timestamp,
    /// Public status after the entry.
    pub status: String,
    /// Stable name of what happened: `accepted`, `startClaimed`, `callbackAttempt`, …
    pub event: String,
    /// Who did it, if somebody did: kind and name, such as `client tickets` or `operator night-shift`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    /// Milliseconds from sending the callback until its answer was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<u64>,
    /// Media type of the receiver's answer, without parameters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer_type: Option<String>,
    /// Length of the receiver's answer in bytes: as it was announced, else as far as it was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer_length: Option<u64>,
    /// Beginning of the receiver's answer: at most 1 KiB, without our secrets, with control characters escaped.
    ///
    /// It is kept only where `callbacks.keep_answers` is set; earlier versions always kept it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// Digests of what was erased, by which the hash chain can still be verified.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digests: Option<Digests>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Digests of what an erased line has said, as its hash covers them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Of the operator that did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<Hash>,
    /// Of the ids of the call to Graph.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<Hash>,
}

impl HistoryEntry {
    /// Creates a line that says only what happened.
    pub(crate) fn new(at: Timestamp, status: &str, event: &str, detail: Option<String>) -> Self {
        Self {
            at,
            status: status.to_owned(),
            event: event.to_owned(),
            by: None,
            detail,
            http_status: None,
            latency_ms: None,
            answer: None,
            answer_type: None,
            answer_length: None,
            client_request_id: None,
            request_id: None,
            digests: None,
            unknown: Unknown::new(),
        }
    }
}
