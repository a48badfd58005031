//! The reason why a call to Graph could not be made.

use std::time::Duration;

use crate::operation::Reason;

/// The reason why a call to Graph could not be made now, and when to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// The reason shown while the operation waits; `None` leaves it to the cause.
    pub reason: Option<Reason>,
    /// What came instead of what was needed, in words without secrets.
    pub detail: Option<String>,
    /// The time to wait; `None` leaves it to the schedule.
    pub retry_after: Option<Duration>,
    pub cause: Cause,
}

/// What keeps a call from being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Something is wrong: it is tried again soon, then more and more rarely.
    Trouble,
    /// Our own limit is used up, and the call waits for its turn.
    Turn,
    /// Graph has asked for a pause, of this operation or of others like it.
    Throttled,
}

impl NotReady {
    /// Returns the reason shown while the operation waits. Only a turn of our own needs none: nothing is wrong.
    pub(crate) fn shown(&self) -> Option<Reason> {
        self.reason.or(match self.cause {
            Cause::Trouble => Some(Reason::NoUsableAnswer),
            Cause::Throttled => Some(Reason::Throttled),
            Cause::Turn => None,
        })
    }
}
