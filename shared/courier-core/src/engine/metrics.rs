//! Counts of what the steps have done. A host takes them from time to time and emits them, or shows the totals when asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::histogram::Histogram;
use crate::operation::Outcome;

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
    /// Events by result: `sent`, `failed` (an attempt to announce the end of an operation, which is made again), `dropped`
    /// (any other event that was not taken), or `undeliverable` (an announcement that was given up).
    pub events: BTreeMap<&'static str, u64>,
    /// Steps that left an operation waiting because there was no usable token or no permission for its tenant.
    pub authorization_lost: u64,
    /// Steps that panicked or hung.
    pub step_crashes: u64,
    /// Open records that the sweeper found overdue.
    pub overdue: u64,
    /// Records that a sweep or a list met and this program cannot use: they cannot be read, or their operation is unknown.
    pub unusable: u64,
    /// Requests by event that were refused for good.
    pub events_refused: u64,
}

impl Counts {
    pub(crate) fn add_lag(&mut self, lag: Duration) {
        if self.completion_lags.len() < MAX_COMPLETION_LAGS {
            self.completion_lags.push(lag);
        }
    }

    /// Adds other counts to these; the lags of single completions are left out, because they are no count.
    fn add(&mut self, other: &Self) {
        let Self {
            started,
            ended,
            polls,
            throttled,
            callbacks,
            completion_lags: _,
            start_unknown,
            undeliverable,
            events,
            authorization_lost,
            step_crashes,
            overdue,
            unusable,
            events_refused,
        } = other;
        for (sum, more) in [
            (&mut self.started, started),
            (&mut self.polls, polls),
            (&mut self.throttled, throttled),
            (&mut self.start_unknown, start_unknown),
            (&mut self.undeliverable, undeliverable),
            (&mut self.authorization_lost, authorization_lost),
            (&mut self.step_crashes, step_crashes),
            (&mut self.overdue, overdue),
            (&mut self.unusable, unusable),
            (&mut self.events_refused, events_refused),
        ] {
            *sum += more;
        }
        for (sums, more) in [
            (&mut self.ended, ended),
            (&mut self.callbacks, callbacks),
            (&mut self.events, events),
        ] {
            for (name, count) in more {
                *sums.entry(name).or_default() += count;
            }
        }
    }
}

/// The calls of Graph that are counted.
pub const GRAPH_CALLS: [&str; 2] = ["start", "poll"];
/// The results of a call of Graph: a status, a class of statuses, or why there is none.
pub const GRAPH_RESULTS: [&str; 9] = [
    "2xx",
    "3xx",
    "401",
    "403",
    "429",
    "4xx",
    "5xx",
    "unanswered",
    "not_sent",
];

/// What is counted in more detail than in [`Counts`], for a host that is asked. Nothing of it is ever reset.
///
/// Names are those of the catalogue: no id, reference or person is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// Operations that Graph has started, by name.
    pub started: BTreeMap<String, u64>,
    /// Ended operations by name and outcome.
    pub ended: BTreeMap<(String, Outcome), u64>,
    /// Calls of Graph, by one of [`GRAPH_CALLS`] and one of [`GRAPH_RESULTS`].
    pub graph_requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Times from the end of an operation to the delivery of its completion.
    pub completion_lag: Histogram,
    /// Time at which the last sweep ended well.
    pub swept_at: Option<Timestamp>,
}

/// Bounds in seconds: a delivery at once, the first attempts, the later ones, and a receiver that was away for a day.
const COMPLETION_LAG_BOUNDS: [f64; 10] = [
    0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 28_800.0, 86_400.0,
];

impl Default for Details {
    fn default() -> Self {
        Self {
            started: BTreeMap::new(),
            ended: BTreeMap::new(),
            graph_requests: BTreeMap::new(),
            completion_lag: Histogram::new(&COMPLETION_LAG_BOUNDS),
            swept_at: None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    since_taken: Mutex<Counts>,
    taken: Mutex<Counts>,
    details: Mutex<Details>,
}

impl Metrics {
    /// Returns the counts since the last call. They go on counting in [`Self::totals`].
    pub fn take(&self) -> Counts {
        let mut counts = self.counts();
        lock(&self.taken).add(&counts);
        std::mem::take(&mut counts)
    }

    /// Returns the counts since the start of the process, without the lags of single completions.
    pub fn totals(&self) -> Counts {
        let counts = self.counts();
        let mut totals = lock(&self.taken).clone();
        totals.add(&counts);
        totals
    }

    /// Returns the details, which a host may read and add to.
    pub fn details(&self) -> MutexGuard<'_, Details> {
        lock(&self.details)
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.since_taken)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn totals_go_on_when_the_counts_are_taken() {
        let metrics = Metrics::default();
        for _ in 0..2 {
            metrics.counts().polls += 3;
            *metrics.counts().ended.entry("failed").or_default() += 1;
            let before = metrics.totals();
            let taken = metrics.take();
            assert_eq!((taken.polls, taken.ended["failed"]), (3, 1));
            assert_eq!(metrics.totals(), before);
        }
        let totals = metrics.totals();
        assert_eq!((totals.polls, totals.ended["failed"]), (6, 2));
    }
}
