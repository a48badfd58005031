//! What the steps have done since a host last asked: counted here, told by the host in its own way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A host that never asks must not make this grow; CloudWatch takes no more in one metric.
const LAGS: usize = 100;

/// Counts of one process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Operations that Graph has begun, adopted ones included.
    pub started: u64,
    /// By outcome word.
    pub ended: BTreeMap<&'static str, u64>,
    /// Looks that Graph answered with the state of the operation.
    pub polls: u64,
    /// Calls that Graph answered 429.
    pub throttled: u64,
    /// `delivered`, `refused` (any other status), `unanswered`, or `parked` (nothing was sent).
    pub callbacks: BTreeMap<&'static str, u64>,
    /// From the end of each operation to its delivered completion; the first 100 since a host asked.
    pub completion_lags: Vec<Duration>,
    /// Operations that ended while a job may run that nobody follows: the answer to their start was lost or unusable.
    pub start_unknown: u64,
    pub undeliverable: u64,
    /// Steps that panicked or hung.
    pub step_crashes: u64,
    /// Open records the sweeper found without a message.
    pub overdue: u64,
}

impl Counts {
    pub(crate) fn add_lag(&mut self, lag: Duration) {
        if self.completion_lags.len() < LAGS {
            self.completion_lags.push(lag);
        }
    }
}

#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

impl Metrics {
    /// What has happened since the last call.
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
    fn counts_that_nobody_takes_do_not_grow() {
        let metrics = Metrics::default();
        for _ in 0..1000 {
            metrics.counts().add_lag(Duration::from_secs(1));
        }
        assert_eq!(metrics.take().completion_lags.len(), LAGS);
        assert_eq!(metrics.take(), Counts::default());
    }
}
