//! Circuit breakers: how many deliveries to each receiver are in flight in this process, and whether it is down.
//!
//! A receiver is one client's origin, so one client's failing host never delays another client's deliveries. The state
//! lives in memory only and is lost with the process; a delivery that is held is postponed, never given up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time::{elapsed, later};

/// Number of consecutive failures, of any operations, after which a receiver counts as down.
const FAILURE_THRESHOLD: u32 = 5;
/// Longest time between two failures that count as consecutive.
///
/// A later failure starts a new series, because one completion that is refused for days says little of the receiver.
const FAILURE_SERIES_GAP: Duration = Duration::from_secs(60);
/// First pause for a receiver that is down; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause, also when the receiver requests a longer one by `Retry-After`.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Time after which a probe that has not been reported counts as lost (its process was frozen).
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time after which a delivery that found too many others in flight is tried again.
const BUSY_RETRY_DELAY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct CircuitBreakers {
    /// Maximum number of deliveries in flight to one receiver.
    in_flight: usize,
    all: Arc<Mutex<HashMap<Key, Breaker>>>,
}

/// Client name and origin: what identifies a receiver.
type Key = (String, String);

#[derive(Debug, Default)]
struct Breaker {
    in_flight: usize,
    failures: u32,
    failed_at: Option<Timestamp>,
    /// Number of consecutive pauses.
    pauses: u32,
    /// End of the present pause; the first delivery after it is a probe.
    until: Option<Timestamp>,
    /// Time at which the probe in flight counts as lost.
    probe: Option<Timestamp>,
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

impl Health {
    /// Classifies an attempt that did not succeed, by the status of the answer (`None`: no answer).
    ///
    /// A 4xx concerns one callback; 429, 5xx and a missing answer concern the receiver as a whole.
    pub(crate) fn of(status: Option<u16>, retry_after: Option<Duration>) -> Self {
        match status {
            Some(429 | 503) => Self::Down { retry_after },
            None | Some(500..) => Self::Down { retry_after: None },
            Some(_) => Self::Up,
        }
    }
}

/// Permission to deliver once; it occupies one of the receiver's places until it is reported or dropped.
pub(crate) struct Permit {
    breakers: CircuitBreakers,
    key: Key,
    /// The delivery is the probe of a receiver that was down.
    probing: bool,
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

    /// Returns a permit to deliver now; the error is the time at which to try again.
    pub(crate) fn acquire(
        &self,
        client: &str,
        origin: &str,
        now: Timestamp,
    ) -> Result<Permit, Timestamp> {
        let key = (client.to_owned(), origin.to_owned());
        let mut all = lock(&self.all);
        let breaker = all.entry(key.clone()).or_default();
        // A pause that ends later than the longest possible one means that the clock was set back: it is ignored.
        let furthest = later(now, MAX_PAUSE);
        let open_until = breaker.until.filter(|until| now < *until);
        if let Some(until) = open_until.filter(|until| *until <= furthest) {
            return Err(until);
        }
        let probing = breaker.until.is_some();
        let lost_at = breaker
            .probe
            .filter(|lost| *lost <= later(now, PROBE_TIMEOUT));
        if probing && lost_at.is_some_and(|lost| now < lost) {
            return Err(later(now, BUSY_RETRY_DELAY * 5));
        }
        if breaker.in_flight >= self.in_flight {
            return Err(later(now, BUSY_RETRY_DELAY));
        }
        breaker.in_flight += 1;
        if probing {
            breaker.probe = Some(later(now, PROBE_TIMEOUT));
        }
        Ok(Permit {
            breakers: self.clone(),
            key,
            probing,
            left: false,
        })
    }
}

impl Permit {
    /// Records how the delivery went and returns whether the receiver counts as down from now on.
    pub(crate) fn report(mut self, health: Health, now: Timestamp) -> bool {
        self.left = true;
        let mut all = lock(&self.breakers.all);
        let Some(breaker) = all.get_mut(&self.key) else {
            return false;
        };
        breaker.in_flight = breaker.in_flight.saturating_sub(1);
        if self.probing {
            breaker.probe = None;
        }
        let retry_after = match health {
            Health::Untried => return false,
            Health::Up => {
                breaker.failures = 0;
                breaker.pauses = 0;
                breaker.until = None;
                if breaker.in_flight == 0 {
                    all.remove(&self.key);
                }
                return false;
            }
            Health::Down { retry_after } => retry_after,
        };
        let is_consecutive = breaker
            .failed_at
            .is_some_and(|last| elapsed(last, now) < FAILURE_SERIES_GAP);
        breaker.failures = if is_consecutive {
            breaker.failures + 1
        } else {
            1
        };
        breaker.failed_at = Some(now);
        if breaker.failures < FAILURE_THRESHOLD && retry_after.is_none() && !self.probing {
            return false;
        }
        // Deliveries that were in flight together when the receiver went down cause one pause, not several.
        if breaker.until.is_none_or(|until| until <= now) {
            breaker.pauses += 1;
        }
        let doubled = FIRST_PAUSE * 2_u32.pow(breaker.pauses.saturating_sub(1).min(8));
        let pause = doubled.max(retry_after.unwrap_or_default()).min(MAX_PAUSE);
        breaker.until = breaker.until.max(Some(later(now, pause)));
        true
    }
}

impl Drop for Permit {
    /// Gives the place back without a result: a delivery that was cancelled says nothing about the receiver.
    fn drop(&mut self) {
        if self.left {
            return;
        }
        if let Some(breaker) = lock(&self.breakers.all).get_mut(&self.key) {
            breaker.in_flight = breaker.in_flight.saturating_sub(1);
            if self.probing {
                breaker.probe = None;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Health = Health::Down { retry_after: None };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn acquire(breakers: &CircuitBreakers, second: i64) -> Result<Permit, Timestamp> {
        breakers.acquire("tickets", "https://tickets.example", at(second))
    }

    fn deliver(breakers: &CircuitBreakers, second: i64, health: Health) -> bool {
        let Ok(permit) = acquire(breakers, second) else {
            panic!("held at {second}");
        };
        permit.report(health, at(second))
    }

    fn held_until(breakers: &CircuitBreakers, second: i64) -> i64 {
        match acquire(breakers, second) {
            Ok(_) => panic!("not held at {second}"),
            Err(until) => until.as_second() - 1_000_000,
        }
    }

    fn down(breakers: &CircuitBreakers) {
        for _ in 0..FAILURE_THRESHOLD {
            deliver(breakers, 0, DOWN);
        }
    }

    #[test]
    fn only_a_missing_answer_429_and_5xx_count_as_down() {
        let retry_after = Some(Duration::from_secs(90));
        for status in [300, 302, 400, 401, 403, 404, 405, 410, 428, 430, 499] {
            assert_eq!(
                Health::of(Some(status), retry_after),
                Health::Up,
                "{status}"
            );
        }
        for status in [500, 502, 504, 599] {
            assert_eq!(Health::of(Some(status), retry_after), DOWN, "{status}");
        }
        assert_eq!(Health::of(None, None), DOWN);
        for status in [429, 503] {
            let pause = Health::Down { retry_after };
            assert_eq!(Health::of(Some(status), retry_after), pause, "{status}");
        }
    }

    #[test]
    fn five_consecutive_failures_pause_the_receiver_for_thirty_seconds() {
        let breakers = CircuitBreakers::new(10);
        for _ in 0..4 {
            assert!(!deliver(&breakers, 0, DOWN));
        }
        assert!(!deliver(&breakers, 0, Health::Up));
        for _ in 0..4 {
            assert!(!deliver(&breakers, 0, DOWN));
        }
        assert!(deliver(&breakers, 0, DOWN));
        assert_eq!(held_until(&breakers, 0), 30);
        assert_eq!(held_until(&breakers, 29), 30);
        assert!(acquire(&breakers, 30).is_ok());
    }

    #[test]
    fn failures_a_minute_apart_are_not_consecutive() {
        let breakers = CircuitBreakers::new(10);
        for minute in 0..20 {
            assert!(!deliver(&breakers, 60 * minute, DOWN));
        }
    }

    #[test]
    fn a_successful_probe_closes_the_breaker() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        let probe = acquire(&breakers, 31).ok().unwrap();
        assert_eq!(held_until(&breakers, 31), 36);
        assert!(!probe.report(Health::Up, at(32)));
        let permits: Vec<Permit> = (0..10)
            .filter_map(|_| acquire(&breakers, 32).ok())
            .collect();
        assert_eq!(permits.len(), 10);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_five_minutes() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        let mut now = 30;
        for pause in [60, 120, 240, 300, 300, 300] {
            assert!(deliver(&breakers, now, DOWN));
            assert_eq!(held_until(&breakers, now), now + pause);
            now += pause;
        }
        assert!(!deliver(&breakers, now, Health::Up));
        down(&breakers);
        assert_eq!(held_until(&breakers, 0), 30);
    }

    #[test]
    fn retry_after_starts_a_pause_at_once_of_at_most_five_minutes() {
        for (retry_after, pause) in [(1, 30), (90, 90), (7200, 300)] {
            let breakers = CircuitBreakers::new(10);
            let retry_after = Some(Duration::from_secs(retry_after));
            assert!(deliver(&breakers, 0, Health::Down { retry_after }));
            assert_eq!(held_until(&breakers, 0), pause);
        }
    }

    #[test]
    fn deliveries_that_fail_together_cause_one_pause() {
        let breakers = CircuitBreakers::new(10);
        let permits: Vec<Permit> = (0..10).filter_map(|_| acquire(&breakers, 0).ok()).collect();
        for permit in permits {
            permit.report(DOWN, at(1));
        }
        assert_eq!(held_until(&breakers, 1), 31);
        deliver(&breakers, 31, DOWN);
        assert_eq!(held_until(&breakers, 31), 31 + 60);
    }

    #[test]
    fn deliveries_in_flight_are_limited_for_each_receiver_of_each_client() {
        let breakers = CircuitBreakers::new(2);
        let first = acquire(&breakers, 0).ok().unwrap();
        let _second = acquire(&breakers, 0).ok().unwrap();
        assert_eq!(held_until(&breakers, 0), 1);
        let elsewhere = breakers.acquire("tickets", "https://other.example", at(0));
        let another = breakers.acquire("hr", "https://tickets.example", at(0));
        assert!(elsewhere.is_ok() && another.is_ok());
        drop(first);
        assert!(acquire(&breakers, 0).is_ok());
    }

    #[test]
    fn breaker_of_one_client_does_not_hold_another_client_at_the_same_host() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        assert!(
            breakers
                .acquire("hr", "https://tickets.example", at(0))
                .is_ok()
        );
    }

    #[test]
    fn cancelled_or_lost_probe_is_followed_by_another() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        drop(acquire(&breakers, 30));
        std::mem::forget(acquire(&breakers, 30));
        assert_eq!(held_until(&breakers, 31), 36);
        assert!(acquire(&breakers, 60).is_ok());
    }

    #[test]
    fn clock_set_back_ends_the_pause_with_a_probe() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        assert!(!deliver(&breakers, -7200, Health::Up));
        assert!(acquire(&breakers, -7200).is_ok());
    }

    #[test]
    fn clock_set_back_ends_the_wait_for_a_lost_probe() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        std::mem::forget(acquire(&breakers, 30));
        assert_eq!(held_until(&breakers, 31), 36);
        assert!(acquire(&breakers, -7200).is_ok());
    }

    #[test]
    fn breaker_of_a_healthy_receiver_is_removed() {
        let breakers = CircuitBreakers::new(10);
        deliver(&breakers, 0, DOWN);
        deliver(&breakers, 0, Health::Up);
        assert!(lock(&breakers.all).is_empty());
    }
}
