//! How long the rules wait, and how often they try.

use std::time::Duration;

/// Durations and limits of the rules.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Lease of a claimed start; longer than a start can take: a token, the call to Graph and two writes.
    pub lease: Duration,
    /// Time that a start of class never, whose answer was lost, waits for a late answer.
    pub hold: Duration,
    /// Time from the recording of a request until its watchdog checks it for the first time.
    pub first_watch: Duration,
    /// Least time for which the monitor must be missing before the operation ends.
    pub missing_for: Duration,
    /// The same for restart class *never*, whose job cannot be started again.
    pub missing_for_never: Duration,
    /// Least number of polls that must find the monitor missing before the operation ends.
    pub missing_polls: u32,
    /// The platform's queue ends with its process. The next one makes it anew from the records ([`resuming`](super::resuming)).
    pub forgets_waits: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            hold: Duration::from_secs(15 * 60),
            first_watch: Duration::from_secs(75),
            missing_for: Duration::from_secs(10 * 60),
            missing_for_never: Duration::from_secs(24 * 3600),
            missing_polls: 5,
            forgets_waits: false,
        }
    }
}
