//! One operation as it is stored: what was asked, where it stands, what happened to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::crypto::seal::Sealed;
use crate::time::serialize_milliseconds;

mod completion;
mod id;
pub mod message;
mod sealed_field;
pub mod view;

pub use completion::{CallbackTarget, Delivery, FrozenEvent};
pub use id::{Ids, OperationId, random_ids};
pub use sealed_field::SealedField;

/// The stored record. Every write raises `revision` by one; `decide` is the only author of a new state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: OperationId,
    pub revision: u64,
    /// Nonce of the last write: recognises our own write when its answer was lost.
    pub writer: String,
    pub client: String,
    pub tenant: String,
    /// Name in the catalogue.
    pub operation: String,
    pub reference: Option<String>,
    /// Of the payload without SAS signature fields.
    pub fingerprint: String,
    /// Parameters that may be read; secret ones appear in their kept form.
    pub parameters: Map<String, Value>,
    /// Secret parameters; dropped when the start phase ends.
    pub sealed_parameters: Option<Sealed>,
    pub callback: Option<CallbackTarget>,
    /// W3C trace context of the request, passed on with the callback.
    pub traceparent: Option<String>,
    pub created_at: Timestamp,
    pub deadline: Timestamp,
    /// By when somebody must look; later than that plus a grace, the sweeper does. `None` once Closed.
    pub due_at: Option<Timestamp>,
    pub state: State,
    /// Number of the last claimed start; fences starters.
    pub attempt: u32,
    /// An answer to a start was lost once. Sticky: a later refusal is then no proof that nothing runs.
    pub maybe_started: bool,
    /// Graph refused the token of a start once; a fresh one was fetched.
    pub token_refused: bool,
    /// The fencing token of the message that carries the polling: messages of a lower epoch are dropped.
    #[serde(rename = "hop")]
    pub epoch: u32,
    /// Steps in a row that panicked or hung.
    #[serde(rename = "stumbles", default)]
    pub step_crashes: u32,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// A running job was found and is followed.
    pub adopted: bool,
    pub reason: Option<Reason>,
    pub graph: GraphView,
    pub result: Option<Map<String, Value>>,
    pub error: Option<OperationError>,
    /// Frozen by the write into Ended.
    pub event: Option<FrozenEvent>,
    pub delivery: Delivery,
    pub history: Vec<HistoryEntry>,
}

/// StatusMap of `callback.status`.
pub const CALLBACK_STATUSES: [&str; 4] = ["none", "pending", "delivered", "undeliverable"];

/// The newest and the oldest lines of a history are kept: a start that is refused for weeks must not outgrow its store.
const FIRST_LINES: usize = 20;
const LINES: usize = 150;
/// Of so many attempts the receiver's words are kept.
const ANSWERS: usize = 10;

impl Record {
    /// One of [`CALLBACK_STATUSES`].
    pub fn callback_status(&self) -> &'static str {
        match &self.state {
            _ if self.callback.is_none() => "none",
            State::Closed {
                how: DeliveryOutcome::Delivered,
                ..
            } => "delivered",
            State::Closed {
                how: DeliveryOutcome::Undeliverable,
                ..
            } => "undeliverable",
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Running { .. }
            | State::Ended { .. }
            | State::Closed {
                how: DeliveryOutcome::NotRequested,
                ..
            } => "pending",
        }
    }

    /// Adds a line to the history; the first after [`FIRST_LINES`] goes when there are too many.
    pub(crate) fn remember(&mut self, entry: HistoryEntry) {
        if self.history.len() >= LINES {
            self.history.remove(FIRST_LINES);
        }
        self.history.push(entry);
        let lines = self.history.iter_mut().rev();
        let old = lines.filter(|line| line.answer.is_some()).skip(ANSWERS);
        old.for_each(|line| line.answer = None);
    }
}

/// The state of an operation. `lifecycle` decides which may follow which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum State {
    /// Durable; no start in flight.
    Accepted {
        not_before: Timestamp,
    },
    /// Attempt `Record::attempt` may be talking to Graph until the lease is over.
    Starting {
        lease_until: Timestamp,
    },
    /// Class never, answer lost: a late answer of the original attempt may still arrive.
    StartUnknown {
        hold_until: Timestamp,
    },
    Running {
        monitor: String,
    },
    /// The outcome is final; the completion is still to be delivered.
    Ended {
        outcome: Outcome,
    },
    Closed {
        outcome: Outcome,
        how: DeliveryOutcome,
    },
}

impl State {
    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Ended { outcome } | Self::Closed { outcome, .. } => Some(*outcome),
            Self::Accepted { .. }
            | Self::Starting { .. }
            | Self::StartUnknown { .. }
            | Self::Running { .. } => None,
        }
    }

    /// No start has succeeded or been given up yet.
    pub fn is_starting(&self) -> bool {
        match self {
            Self::Accepted { .. } | Self::Starting { .. } | Self::StartUnknown { .. } => true,
            Self::Running { .. } | Self::Ended { .. } | Self::Closed { .. } => false,
        }
    }

    /// Returns the public `status`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Starting { .. } | Self::StartUnknown { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Ended { outcome } | Self::Closed { outcome, .. } => outcome.as_str(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Succeeded,
    PartiallySucceeded,
    Failed,
    Expired,
    Unknown,
    Cancelled,
}

impl Outcome {
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::PartiallySucceeded,
        Self::Failed,
        Self::Expired,
        Self::Unknown,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::PartiallySucceeded => "partiallySucceeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryOutcome {
    Delivered,
    Undeliverable,
    /// The request named no callback.
    #[serde(rename = "none")]
    NotRequested,
}

/// The stable `reason` of a status, part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Graph refused the start, and no earlier answer was lost: no job exists.
    StartRejected,
    /// An answer to a start was lost, so a job may or may not exist.
    StartOutcomeUnknown,
    /// Graph accepted but gave no usable URL to follow.
    StartUntrackable,
    /// Graph accepted but its URL is not on the configured host: the token never goes there.
    LocationUntrusted,
    /// Graph no longer knows the operation resource.
    MonitorGone,
    /// Graph says that the operation failed.
    OperationFailed,
    DeadlinePassed,
    /// No usable token at present; the operation is still followed and goes on when there is one.
    AuthorizationLost,
    /// What was sealed cannot be opened with the configured key.
    SealedDataUnreadable,
    CancelledByCaller,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartRejected => "start_rejected",
            Self::StartOutcomeUnknown => "start_outcome_unknown",
            Self::StartUntrackable => "start_untrackable",
            Self::LocationUntrusted => "location_untrusted",
            Self::MonitorGone => "monitor_gone",
            Self::OperationFailed => "operation_failed",
            Self::DeadlinePassed => "deadline_passed",
            Self::AuthorizationLost => "authorization_lost",
            Self::SealedDataUnreadable => "sealed_data_unreadable",
            Self::CancelledByCaller => "cancelled_by_caller",
        }
    }
}

/// What Graph said last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphView {
    pub status: Option<String>,
    pub progress: Option<f64>,
    pub client_request_id: Option<String>,
    pub request_id: Option<String>,
    pub polls: u32,
    pub next_poll_at: Option<Timestamp>,
    /// A poll has been answered 200 once.
    pub seen: bool,
    /// Looks in a row that found no operation resource, and since when.
    pub missing: u32,
    pub missing_since: Option<Timestamp>,
}

/// Why an operation did not succeed, in Graph's words, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationError {
    pub code: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    #[serde(serialize_with = "serialize_milliseconds")]
    pub at: Timestamp,
    /// Public status word after the entry.
    pub status: String,
    /// What happened, a stable word: `accepted`, `startClaimed`, `callbackAttempt`, …
    pub event: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    /// From sending to the answer's head.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency_ms: Option<u64>,
    /// How the receiver's answer begins: at most 1 KiB of it, without our secrets, control characters escaped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}
