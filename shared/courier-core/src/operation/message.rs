//! What travels through the queue: which operation to look at, never a secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::operation::{OperationId, Record, State};

/// A queue message. Tagged with a version, so that what is in flight survives an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Message {
    /// Sent before Graph is called: finishes a start whose process died.
    WatchdogV1 { operation_id: OperationId },
    /// Carries polling and, after the end, the callback attempts.
    PollV1 {
        operation_id: OperationId,
        /// A fencing token: a message of a lower epoch than the record's is dropped.
        #[serde(rename = "hop")]
        epoch: u32,
        /// The URL to poll; one that differs from the record's is ignored.
        location: Option<String>,
        /// How often the messages that this one replaced had been received.
        #[serde(rename = "looks", default, skip_serializing_if = "is_zero")]
        receives_before: u32,
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

    /// The poll message of `record` for `epoch`.
    pub fn poll(record: &Record, epoch: u32) -> Self {
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
            epoch,
            location,
            receives_before: 0,
        }
    }

    /// What follows this message on a queue that keeps none for ever, after it came `receives` times. One epoch further,
    /// so that this one dies out.
    pub fn renewed(&self, receives: u32) -> Self {
        match self {
            Self::WatchdogV1 { .. } => self.clone(),
            Self::PollV1 {
                operation_id,
                epoch,
                location,
                receives_before,
            } => Self::PollV1 {
                operation_id: operation_id.clone(),
                epoch: epoch.saturating_add(1),
                location: location.clone(),
                receives_before: receives_before.saturating_add(receives),
            },
        }
    }

    /// How often it and its predecessors have come, given that it has come `receives` times.
    pub(crate) fn total_receives(&self, receives: u32) -> u32 {
        match self {
            Self::WatchdogV1 { .. } => receives,
            Self::PollV1 {
                receives_before, ..
            } => receives_before.saturating_add(receives),
        }
    }

    /// The message that must be in flight while `record` stays as it is, and when it is due; `None` once Closed.
    ///
    /// The sweeper sends it anew for an overdue record, one epoch further, so that a message that was only late dies out.
    pub fn owed(record: &Record) -> Option<(Self, Timestamp)> {
        let due = record.due_at?;
        let message = match record.state {
            State::Accepted { .. } | State::Starting { .. } | State::StartUnknown { .. } => {
                Self::WatchdogV1 {
                    operation_id: record.id.clone(),
                }
            }
            State::Running { .. } | State::Ended { .. } => {
                Self::poll(record, record.epoch.saturating_add(1))
            }
            State::Closed { .. } => return None,
        };
        Some((message, due))
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_poll_message_goes_one_hop_further_and_keeps_count() {
        let first: Message = serde_json::from_str(
            r#"{"type":"PollV1","operationId":"op_0123456789abcdef0123456789abcdef","hop":3,"location":"https://graph.example/x"}"#,
        )
        .unwrap();
        let second = first.renewed(500).renewed(20);
        let Message::PollV1 {
            epoch,
            receives_before,
            location,
            ..
        } = &second
        else {
            panic!("{second:?}");
        };
        assert_eq!((*epoch, *receives_before), (5, 520));
        assert_eq!(location.as_deref(), Some("https://graph.example/x"));
        assert_eq!(second.total_receives(7), 527);
    }
}
