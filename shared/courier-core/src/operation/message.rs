//! Queue messages. A message names the operation to work on and contains no secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::operation::{OperationId, Record, State};

/// A queue message. Its tag has a version, so that messages in flight survive an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Message {
    /// Queued before Graph is called; it finishes a start whose process died.
    WatchdogV1 { operation_id: OperationId },
    /// Drives polling and, after the end of the operation, the delivery attempts.
    PollV1 {
        operation_id: OperationId,
        /// A fencing token: a message of a lower epoch than the record's is dropped.
        #[serde(rename = "hop")]
        epoch: u32,
        /// The URL to poll; a message with one that differs from the record's is dropped. `None` for the record's own.
        location: Option<String>,
        /// Number of times that the messages which this one replaces were received.
        #[serde(rename = "looks", default, skip_serializing_if = "is_zero")]
        receives_before: u32,
    },
}

/// The platform's next action on a message after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Deletes the message, because the record is Closed or a newer message is queued.
    Delete,
    /// Delivers the same message again, at this time or later.
    WaitUntil(Timestamp),
}

impl Message {
    pub fn operation_id(&self) -> &OperationId {
        match self {
            Self::WatchdogV1 { operation_id } | Self::PollV1 { operation_id, .. } => operation_id,
        }
    }

    /// Returns the poll message of `record` for `epoch`.
    pub fn poll(record: &Record, epoch: u32) -> Self {
        Self::PollV1 {
            operation_id: record.id.clone(),
            epoch,
            location: Self::location(record),
            receives_before: 0,
        }
    }

    fn location(record: &Record) -> Option<String> {
        match &record.state {
            State::Running { monitor } => Some(monitor.clone()),
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Ended { .. }
            | State::Closed { .. } => None,
        }
    }

    /// Returns the message for a shelved operation, whose record has this epoch. It names no URL: the record does.
    pub fn wake(operation_id: OperationId, epoch: u32) -> Self {
        Self::PollV1 {
            operation_id,
            epoch,
            location: None,
            receives_before: 0,
        }
    }

    /// Returns the successor of this message, for a queue that limits how long it keeps one.
    ///
    /// `receives` is how often this message was received. The epoch is one higher, so that this message is dropped.
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

    /// Returns how often this message, received `receives` times, and its predecessors were received together.
    pub(crate) fn total_receives(&self, receives: u32) -> u32 {
        match self {
            Self::WatchdogV1 { .. } => receives,
            Self::PollV1 {
                receives_before, ..
            } => receives_before.saturating_add(receives),
        }
    }

    /// Returns the message that must be queued for `record` as it is, and when it is due; `None` once Closed.
    ///
    /// The sweep queues it for an overdue record. The epoch of a poll message is one higher than the record's, so that
    /// a message that was only late is dropped.
    pub fn owed(record: &Record) -> Option<(Self, Timestamp)> {
        let due = record.due_at?;
        let message = match record.state {
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. } => Self::WatchdogV1 {
                operation_id: record.id.clone(),
            },
            State::Running { .. } | State::Ended { .. } => {
                Self::poll(record, record.epoch.saturating_add(1))
            }
            State::Closed { .. } => return None,
        };
        Some((message, due))
    }

    /// Returns the message that carries `record` on after the process that held its message has died, and when it is due.
    ///
    /// It is for a queue that keeps no message when its process dies; none is left that could carry the record twice.
    /// `None` once Closed.
    pub fn resuming(record: &Record) -> Option<(Self, Timestamp)> {
        let watchdog = Self::WatchdogV1 {
            operation_id: record.id.clone(),
        };
        let poll = || Self::PollV1 {
            operation_id: record.id.clone(),
            epoch: record.epoch.max(1),
            location: Self::location(record),
            receives_before: record.graph.polls,
        };
        let due = record.due_at?;
        match &record.state {
            State::Accepted { not_before } => Some((watchdog, *not_before)),
            State::Starting { lease_until } => Some((watchdog, *lease_until)),
            State::StartUnknown { hold_until } => Some((watchdog, *hold_until)),
            State::Locating { next_look_at, .. } => Some((watchdog, *next_look_at)),
            State::Running { .. } => Some((poll(), record.graph.next_poll_at.unwrap_or(due))),
            State::Ended { .. } => {
                let first = record.deliveries_due(due).into_iter().flatten().min();
                Some((poll(), first.unwrap_or(due)))
            }
            State::Closed { .. } => None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_poll_message_has_the_next_epoch_and_the_sum_of_receives() {
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
