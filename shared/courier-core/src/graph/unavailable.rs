//! The reason why a call to Graph could not be made.

use std::time::Duration;

use crate::operation::Reason;

/// The reason why a call to Graph could not be made now, and when to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// The reason shown while the operation waits; `None` for a temporary failure.
    pub reason: Option<Reason>,
    /// The time to wait; `None` leaves it to the schedule.
    pub retry_after: Option<Duration>,
    /// Nothing is wrong: the call waits for its turn, because a limit is used up.
    pub is_turn: bool,
}
