//! Counts of what the steps have done. The host takes them from time to time and emits them in its own way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most lags that are kept, so that memory is bounded when no host takes them; CloudWatch takes no more in one metric.
const MAX_COMPLETION_LAGS: usize = 100;

/// Counts of one process since they were last taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Operations that Graph has started, including adopted ones.
    pub started: u64,
    /// Ended operations by outcome.
    pub ended: BTreeMap<&'static str, u64>,
    /// Polls that Graph answered with a status code below 300.
    pub polls: u64,
    /// Calls that Graph answered with 429.
    pub throttled: u64,
    /// Callbacks by result: `delivered`, `refused` (any other status), `unanswered`, `parked` (nothing was sent), or
    /// `orphaned` (nothing was sent because the configuration does not permit it).
    pub callbacks: BTreeMap<&'static str, u64>,
    /// Times from the end of an operation to the delivery of its completion; the first 100 since counts were taken.
    pub completion_lags: Vec<Duration>,
    /// Operations that ended while their job may still run unfollowed: the answer to the start was lost or unusable.
    pub start_unknown: u64,
    /// Completions whose delivery was given up.
    pub undeliverable: u64,
    /// Steps that left an operation waiting because there was no usable token or no permission for its tenant.
    pub authorization_lost: u64,
    /// Steps that panicked or hung.
    pub step_crashes: u64,
    /// Open records that the sweeper found overdue.
    pub overdue: u64,
    /// Records that a sweep or a list met and this program cannot use: they cannot be read, or their operation is unknown.
    pub unusable: u64,
}

impl Counts {
    pub(crate) fn add_lag(&mut self, lag: Duration) {
        if self.completion_lags.len() < MAX_COMPLETION_LAGS {
            self.completion_lags.push(lag);
        }
    }
}

#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

impl Metrics {
    /// Returns the counts since the last call and resets them.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut self.counts())
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_lags_are_bounded_when_the_counts_are_not_taken() {
        let metrics = Metrics::default();
        for _ in 0..1000 {
            metrics.counts().add_lag(Duration::from_secs(1));
        }
        assert_eq!(metrics.take().completion_lags.len(), MAX_COMPLETION_LAGS);
        assert_eq!(metrics.take(), Counts::default());
    }
}
