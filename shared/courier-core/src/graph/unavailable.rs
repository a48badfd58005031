//! Why a call to Graph could not be made.

use std::time::Duration;

use crate::operation::Reason;

/// Why a call to Graph could not be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// Shown while the operation waits; `None` for a passing trouble.
    pub reason: Option<Reason>,
    pub retry_after: Option<Duration>,
}
