//! Why an operation waits, or ended as it did.

use serde::{Deserialize, Serialize};

/// The stable `reason` of a status, part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Graph refused the start, and no earlier answer was lost: no job exists.
    StartRejected,
    /// An answer to a start was lost, so a job may or may not exist.
    StartOutcomeUnknown,
    /// Graph accepted the start but gave no usable URL to poll.
    StartUntrackable,
    /// Graph accepted the start, but its URL is not on the configured host, the only one that gets the token.
    LocationUntrusted,
    /// Graph no longer knows the operation resource.
    MonitorGone,
    /// Graph reports that the operation failed.
    OperationFailed,
    DeadlinePassed,
    /// There is no usable token at present, or a storage refuses its key; the operation is still followed and goes on when
    /// there is one.
    AuthorizationLost,
    /// Sealed data cannot be opened with the configured key.
    SealedDataUnreadable,
    /// Neither Graph nor its token endpoint gives an answer that can be used at present; the history says what came.
    NoUsableAnswer,
    /// Graph has asked for a pause.
    Throttled,
    CancelledByCaller,
    /// The job was cancelled at Graph.
    CancelledAtGraph,
    /// The operation is no longer in the catalogue, so nothing is done until it is again. It is shown and never stored.
    NotInCatalogue,
}

impl Reason {
    pub const ALL: [Self; 14] = [
        Self::StartRejected,
        Self::StartOutcomeUnknown,
        Self::StartUntrackable,
        Self::LocationUntrusted,
        Self::MonitorGone,
        Self::OperationFailed,
        Self::DeadlinePassed,
        Self::AuthorizationLost,
        Self::SealedDataUnreadable,
        Self::NoUsableAnswer,
        Self::Throttled,
        Self::CancelledByCaller,
        Self::CancelledAtGraph,
        Self::NotInCatalogue,
    ];

    /// Reports whether an operation with this reason waits for somebody to mend the configuration or a permission.
    ///
    /// Such a reason stays while other troubles come and go.
    pub(crate) fn needs_mending(self) -> bool {
        matches!(self, Self::AuthorizationLost | Self::SealedDataUnreadable)
    }

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
            Self::NoUsableAnswer => "no_usable_answer",
            Self::Throttled => "throttled",
            Self::CancelledByCaller => "cancelled_by_caller",
            Self::CancelledAtGraph => "cancelled_at_graph",
            Self::NotInCatalogue => "not_in_catalogue",
        }
    }
}
