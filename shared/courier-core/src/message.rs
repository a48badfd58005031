//! What travels through the queue: which operation to look at, never a secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{OperationId, Record, State};

/// A queue message. Tagged with a version, so that what is in flight survives an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Message {
    /// Sent before Graph is called: finishes a start whose process died.
    WatchdogV1 { operation_id: OperationId },
    /// Carries polling and, after the end, the callback attempts. `hop` fences forks; `location` must equal the record's.
    PollV1 {
        operation_id: OperationId,
        hop: u32,
        location: Option<String>,
    },
}

/// What the platform does with a message after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The record is Closed, or a newer message is queued.
    Delete,
    /// Deliver the same message again, at this time or later.
    WaitUntil(Timestamp),
}

impl Message {
    pub fn operation_id(&self) -> &OperationId {
        match self {
            Self::WatchdogV1 { operation_id } | Self::PollV1 { operation_id, .. } => operation_id,
        }
    }

    /// The poll message of `record` for `hop`.
    pub fn poll(record: &Record, hop: u32) -> Self {
        let location = match &record.state {
            State::Running { monitor } => Some(monitor.clone()),
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Ended { .. }
            | State::Closed { .. } => None,
        };
        Self::PollV1 {
            operation_id: record.id.clone(),
            hop,
            location,
        }
    }

    /// The message that must be in flight while `record` stays as it is, and when it is due; `None` once Closed.
    ///
    /// The sweeper sends it anew for an overdue record, one hop further, so that a message that was only late dies out.
    pub fn owed(record: &Record) -> Option<(Self, Timestamp)> {
        let due = record.due_at?;
        let message = match record.state {
            State::Accepted { .. } | State::Starting { .. } | State::StartUnknown { .. } => {
                Self::WatchdogV1 {
                    operation_id: record.id.clone(),
                }
            }
            State::Running { .. } | State::Ended { .. } => Self::poll(record, record.hop + 1),
            State::Closed { .. } => return None,
        };
        Some((message, due))
    }
}
