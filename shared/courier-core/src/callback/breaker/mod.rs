//! Circuit breakers: who may deliver to a receiver now, and for how long a receiver that is down is left alone.
//!
//! A receiver is one client's origin, so one client's failing host never delays another client's deliveries. The state
//! lives in memory only and is lost with the process; a delivery that is held is postponed, never given up. There are
//! no more receivers than the configuration has origins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::callback::DELIVERY_WINDOW;
use crate::operation::OperationId;
use crate::time::{elapsed, later};

mod line;
#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod tests;

use line::Line;

/// Number of consecutive failures, of any operations, after which a receiver counts as down.
const FAILURE_THRESHOLD: u32 = 5;
/// Longest time between two failures that count as consecutive.
///
/// A later failure starts a new series, because one completion that is refused for days says little of the receiver.
const FAILURE_SERIES_GAP: Duration = Duration::from_secs(60);
/// First pause for a receiver that is down; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause that the receiver has not asked for.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Time after which a probe that has not been reported counts as lost (its process was frozen).
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest step back of the time that is ignored: steps that run side by side read the clock at different times.
const MAX_IGNORED_STEP_BACK: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct CircuitBreakers {
    /// Maximum number of deliveries in flight to one receiver.
    in_flight: usize,
    all: Arc<Mutex<HashMap<Key, Breaker>>>,
}

/// Client name and origin: what identifies a receiver.
type Key = (String, String);

#[derive(Debug)]
struct Breaker {
    line: Line,
    failures: u32,
    failed_at: Option<Timestamp>,
    /// Number of consecutive pauses.
    pauses: u32,
    /// End of the present pause; the first delivery after it is a probe.
    until: Option<Timestamp>,
    /// The time before which the receiver has asked not to be called. No answer to an earlier call ends this pause.
    asked_until: Option<Timestamp>,
    /// Start of the probe in flight.
    probe: Option<Timestamp>,
    /// The latest time at which a delivery was asked for.
    seen: Timestamp,
}

/// The health of a receiver, as one delivery attempt shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// The receiver answers, even if it refuses this callback.
    Up,
    /// The receiver did not answer, or its answer shows that the receiver itself has a problem.
    Down { retry_after: Option<Duration> },
    /// Nothing was sent, so nothing is known.
    Untried,
}

/// What a delivery has changed for its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// The receiver is left alone until this time.
    Paused(Timestamp),
    /// The receiver answers again after failures or a pause.
    Recovered,
}

impl Health {
    /// Classifies an attempt that did not succeed, by the status of the answer (`None`: no answer).
    ///
    /// A 4xx concerns one callback; 429, 5xx and a missing answer concern the receiver as a whole, and so does a 2xx that
    /// is no success: something else answers in the receiver's place.
    pub(crate) fn of(status: Option<u16>, retry_after: Option<Duration>) -> Self {
        match status {
            Some(429 | 503) => Self::Down { retry_after },
            None | Some(200..=299 | 500..) => Self::Down { retry_after: None },
            Some(_) => Self::Up,
        }
    }
}

/// Permission to deliver once; it occupies one of the receiver's places until it is reported or dropped.
pub(crate) struct Permit {
    breakers: CircuitBreakers,
    key: Key,
    operation: OperationId,
    started: Timestamp,
    /// The delivery is the probe of a receiver that was left alone.
    probing: bool,
    /// A limit of requests per minute was known, and this delivery keeps it.
    keeps_rate: bool,
    /// The place was given back by `report`, so `drop` has nothing to do.
    left: bool,
}

impl CircuitBreakers {
    /// Creates breakers that let at most `in_flight` deliveries at once go to each receiver.
    pub(crate) fn new(in_flight: u32) -> Self {
        Self {
            in_flight: usize::try_from(in_flight).unwrap_or(usize::MAX),
            all: Arc::default(),
        }
    }

    /// Returns breakers with this limit that share the state of `former`.
    pub(crate) fn succeeding(self, former: &Self) -> Self {
        Self {
            all: Arc::clone(&former.all),
            ..self
        }
    }

    /// Returns a permit to deliver the completion of `operation` now; the error is the time at which to try again.
    pub(crate) fn acquire(
        &self,
        client: &str,
        origin: &str,
        operation: &OperationId,
        now: Timestamp,
    ) -> Result<Permit, Timestamp> {
        let key = (client.to_owned(), origin.to_owned());
        let mut all = lock(&self.all);
        let breaker = all
            .entry(key.clone())
            .or_insert_with(|| Breaker::new(self.in_flight, now));
        breaker.notice_time(now);
        if let Some(opens) = breaker.opens_at(now) {
            return Err(breaker.line.wait_for(operation, opens, now));
        }
        breaker.line.enter(operation, now)?;
        let probing = breaker.until.is_some() || breaker.asked_until.is_some();
        if probing {
            breaker.probe = Some(now);
        }
        Ok(Permit {
            breakers: self.clone(),
            key,
            operation: operation.clone(),
            started: now,
            probing,
            keeps_rate: breaker.line.is_limited(),
            left: false,
        })
    }

    /// Limits the deliveries to a receiver that has said how many requests per minute it allows (`None`: any number).
    pub(crate) fn limit_rate(
        &self,
        client: &str,
        origin: &str,
        per_minute: Option<u32>,
        now: Timestamp,
    ) {
        let key = (client.to_owned(), origin.to_owned());
        let mut all = lock(&self.all);
        let breaker = all
            .entry(key)
            .or_insert_with(|| Breaker::new(self.in_flight, now));
        breaker.line.limit_rate(per_minute);
    }
}

impl Breaker {
    fn new(places: usize, now: Timestamp) -> Self {
        Self {
            line: Line::new(places),
            failures: 0,
            failed_at: None,
            pauses: 0,
            until: None,
            asked_until: None,
            probe: None,
            seen: now,
        }
    }

    /// Ends every pause and wait when the clock was set back, because they could last for hours.
    fn notice_time(&mut self, now: Timestamp) {
        if elapsed(now, self.seen) > MAX_IGNORED_STEP_BACK {
            self.line.clock_was_set_back(now);
            self.until = self.until.map(|_| now);
            self.asked_until = self.asked_until.map(|_| now);
            self.probe = None;
            self.seen = now;
        }
        self.seen = self.seen.max(now);
    }

    /// Returns the time at which the receiver may be called again, if it must be left alone now.
    fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let pause = self.until.max(self.asked_until)?;
        if now < pause {
            return Some(pause);
        }
        let started = self.probe?;
        let lost_at = later(started, PROBE_TIMEOUT);
        (now < lost_at).then(|| self.line.likely_end(started, now).min(lost_at))
    }

    fn failed(&mut self, retry_after: Option<Duration>, probing: bool, now: Timestamp) -> Change {
        self.asked_until = self.asked_until.filter(|until| now < *until);
        // The receiver knows best when it can be called again, so its word replaces our own count.
        if let Some(pause) = retry_after.filter(|pause| !pause.is_zero()) {
            let until = Some(later(now, pause.min(DELIVERY_WINDOW)));
            self.asked_until = self.asked_until.max(until);
            return self.pause();
        }
        let is_consecutive = self
            .failed_at
            .is_some_and(|last| elapsed(last, now) < FAILURE_SERIES_GAP);
        self.failures = if is_consecutive { self.failures + 1 } else { 1 };
        self.failed_at = Some(now);
        let was_down = probing && self.until.is_some();
        if self.failures < FAILURE_THRESHOLD && !was_down {
            return Change::Nothing;
        }
        // Deliveries that were in flight together when the receiver went down cause one pause, not several.
        if self.until.is_none_or(|until| until <= now) {
            self.pauses += 1;
        }
        let doubled = FIRST_PAUSE * 2_u32.pow(self.pauses.saturating_sub(1).min(8));
        let until = later(now, doubled.min(MAX_PAUSE));
        self.until = self.until.max(Some(until));
        self.pause()
    }

    fn pause(&self) -> Change {
        let until = self.until.max(self.asked_until);
        until.map_or(Change::Nothing, Change::Paused)
    }

    fn answered(&mut self, now: Timestamp) -> Change {
        let was_down = self.failures > 0 || self.until.is_some() || self.asked_until.is_some();
        self.failures = 0;
        self.pauses = 0;
        self.until = None;
        self.asked_until = self.asked_until.filter(|until| now < *until);
        if was_down && self.asked_until.is_none() {
            Change::Recovered
        } else {
            Change::Nothing
        }
    }
}

impl Permit {
    /// Records how the delivery went and returns what this changes for the receiver.
    pub(crate) fn report(mut self, health: Health, now: Timestamp) -> Change {
        self.left = true;
        let mut all = lock(&self.breakers.all);
        let Some(breaker) = all.get_mut(&self.key) else {
            return Change::Nothing;
        };
        let took = elapsed(self.started, now);
        let took = (health != Health::Untried).then_some(took);
        breaker.line.leave(self.started, took);
        if self.probing {
            breaker.probe = None;
        }
        match health {
            Health::Untried => Change::Nothing,
            Health::Up => breaker.answered(now),
            Health::Down { retry_after } => breaker.failed(retry_after, self.probing, now),
        }
    }

    /// Makes sure that a delivery that was let in before its receiver's limit was known keeps the limit too.
    ///
    /// The error is the time at which to try again, because another delivery has taken the present start.
    pub(crate) fn keep_rate(&self, now: Timestamp) -> Result<(), Timestamp> {
        if self.keeps_rate {
            return Ok(());
        }
        let mut all = lock(&self.breakers.all);
        all.get_mut(&self.key).map_or(Ok(()), |breaker| {
            breaker.line.start_limited(&self.operation, now)
        })
    }
}

impl Drop for Permit {
    /// Gives the place back without a result: a delivery that was cancelled says nothing about the receiver.
    fn drop(&mut self) {
        if self.left {
            return;
        }
        if let Some(breaker) = lock(&self.breakers.all).get_mut(&self.key) {
            breaker.line.leave(self.started, None);
            if self.probing {
                breaker.probe = None;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
