//! The completion of an operation: where it goes, what it says, how often it was offered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::crypto::seal::Sealed;
use crate::profile::Template;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackTarget {
    /// A callback URL may carry a capability, so it is stored sealed.
    pub url: Sealed,
    pub origin: String,
    /// Which of the client's ways it goes; its default one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Of the body, for the write that freezes it; the completion itself where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Secret of the receiver that goes into the body (the token of a waiting task).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Sealed>,
    /// Raised with every change: what an earlier receiver answers says nothing of this one.
    #[serde(default)]
    pub version: u32,
}

impl CallbackTarget {
    /// Of the client's default way.
    pub fn new(url: Sealed, origin: &str) -> Self {
        Self {
            url,
            origin: origin.to_owned(),
            profile: None,
            template: None,
            token: None,
            version: 0,
        }
    }
}

/// The completion: its id and the exact bytes of its body, the same in every delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenEvent {
    pub id: String,
    /// `operation.succeeded`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub body: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub attempts: u32,
    /// HTTP status of the last attempt; `None` when there was no answer.
    pub last_status: Option<u16>,
    /// Of the running schedule: a re-delivery begins a new one.
    pub scheduled_since: Option<Timestamp>,
    pub scheduled_attempts: u32,
    pub next_attempt_at: Option<Timestamp>,
}
