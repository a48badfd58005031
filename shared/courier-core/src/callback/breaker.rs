//! What this process knows of each receiver: how many deliveries are under profile, and whether it is down.
//!
//! A receiver is one client's origin: what one client's host does never holds the deliveries of another client. All of
//! it is politeness, not truth: it is lost with the process, and a delivery that is held is parked, never given up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time::{elapsed, later};

/// Failures in a row, of any operations and none long after the one before, after which a receiver counts as down.
const FAILURES: u32 = 5;
/// A failure this long after the last one begins a new row: a single completion that is refused for days tells little.
const ROW: Duration = Duration::from_secs(60);
/// The first pause of a receiver that is down; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause, also of one that the receiver asks for by `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A probe that has not come back by then is lost (its process was frozen).
const PROBE: Duration = Duration::from_secs(30);
/// Until somebody looks again whether a delivery may go.
const CROWDED: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct CircuitBreakers {
    /// Deliveries at once to one receiver.
    in_flight: usize,
    all: Arc<Mutex<HashMap<Key, Breaker>>>,
}

/// Client and origin.
type Key = (String, String);

#[derive(Debug, Default)]
struct Breaker {
    in_flight: usize,
    failures: u32,
    failed_at: Option<Timestamp>,
    /// Pauses in a row.
    pauses: u32,
    /// Down until then; the first delivery after it is a probe.
    until: Option<Timestamp>,
    /// The probe under profile is lost after this.
    probe: Option<Timestamp>,
}

/// What one delivery tells of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers, whatever it says.
    Up,
    /// No answer, or one that tells of its own trouble.
    Down { retry_after: Option<Duration> },
    /// Nothing was sent.
    Untried,
}

impl Health {
    /// What a status that means no success, or no answer at all, tells: a 4xx is about one callback, 429 and 5xx are
    /// about whoever receives it.
    pub(crate) fn of(status: Option<u16>, retry_after: Option<Duration>) -> Self {
        match status {
            Some(429 | 503) => Self::Down { retry_after },
            None | Some(500..) => Self::Down { retry_after: None },
            Some(_) => Self::Up,
        }
    }
}

/// Leave to deliver once.
pub(crate) struct Permit {
    breakers: CircuitBreakers,
    key: Key,
    probing: bool,
    left: bool,
}

impl CircuitBreakers {
    /// At most `in_flight` deliveries at once to each.
    pub(crate) fn new(in_flight: u32) -> Self {
        Self {
            in_flight: usize::try_from(in_flight).unwrap_or(usize::MAX),
            all: Arc::default(),
        }
    }

    /// Leave to deliver now, or the time to look again.
    pub(crate) fn acquire(
        &self,
        client: &str,
        origin: &str,
        now: Timestamp,
    ) -> Result<Permit, Timestamp> {
        let key = (client.to_owned(), origin.to_owned());
        let mut all = lock(&self.all);
        let breaker = all.entry(key.clone()).or_default();
        // A time that lies further ahead is of a clock that was set back: nobody waits for it.
        let furthest = later(now, LONGEST_PAUSE);
        let held = breaker.until.filter(|until| now < *until);
        if let Some(until) = held.filter(|until| *until <= furthest) {
            return Err(until);
        }
        let probing = breaker.until.is_some();
        let lost_at = breaker.probe.filter(|lost| *lost <= later(now, PROBE));
        if probing && lost_at.is_some_and(|lost| now < lost) {
            return Err(later(now, CROWDED * 5));
        }
        if breaker.in_flight >= self.in_flight {
            return Err(later(now, CROWDED));
        }
        breaker.in_flight += 1;
        if probing {
            breaker.probe = Some(later(now, PROBE));
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
    /// Reports how the delivery went. Returns whether the receiver counts as down from now on.
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
        let row = breaker
            .failed_at
            .is_some_and(|last| elapsed(last, now) < ROW);
        breaker.failures = if row { breaker.failures + 1 } else { 1 };
        breaker.failed_at = Some(now);
        if breaker.failures < FAILURES && retry_after.is_none() && !self.probing {
            return false;
        }
        // Those that were under profile together when it went down are one pause.
        if breaker.until.is_none_or(|until| until <= now) {
            breaker.pauses += 1;
        }
        let doubled = FIRST_PAUSE * 2_u32.pow(breaker.pauses.saturating_sub(1).min(8));
        let pause = doubled
            .max(retry_after.unwrap_or_default())
            .min(LONGEST_PAUSE);
        breaker.until = breaker.until.max(Some(later(now, pause)));
        true
    }
}

impl Drop for Permit {
    /// A delivery that was cut off says nothing of the receiver.
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
        for _ in 0..FAILURES {
            deliver(breakers, 0, DOWN);
        }
    }

    #[test]
    fn only_no_answer_429_and_5xx_tell_of_the_receiver() {
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
    fn a_receiver_that_fails_five_times_in_a_row_is_left_alone_for_half_a_minute() {
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
    fn failures_far_apart_are_no_row() {
        let breakers = CircuitBreakers::new(10);
        for minute in 0..20 {
            assert!(!deliver(&breakers, 60 * minute, DOWN));
        }
    }

    #[test]
    fn one_probe_goes_first_and_opens_the_way_for_all() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        let probe = acquire(&breakers, 31).ok().unwrap();
        assert_eq!(held_until(&breakers, 31), 36);
        assert!(!probe.report(Health::Up, at(32)));
        let passes: Vec<Permit> = (0..10)
            .filter_map(|_| acquire(&breakers, 32).ok())
            .collect();
        assert_eq!(passes.len(), 10);
    }

    #[test]
    fn every_probe_that_fails_doubles_the_pause_up_to_five_minutes() {
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
    fn a_receiver_that_asks_for_a_pause_gets_it_at_once_up_to_five_minutes() {
        for (retry_after, pause) in [(1, 30), (90, 90), (7200, 300)] {
            let breakers = CircuitBreakers::new(10);
            let retry_after = Some(Duration::from_secs(retry_after));
            assert!(deliver(&breakers, 0, Health::Down { retry_after }));
            assert_eq!(held_until(&breakers, 0), pause);
        }
    }

    #[test]
    fn those_that_failed_together_are_one_pause() {
        let breakers = CircuitBreakers::new(10);
        let passes: Vec<Permit> = (0..10).filter_map(|_| acquire(&breakers, 0).ok()).collect();
        for permit in passes {
            permit.report(DOWN, at(1));
        }
        assert_eq!(held_until(&breakers, 1), 31);
        deliver(&breakers, 31, DOWN);
        assert_eq!(held_until(&breakers, 31), 31 + 60);
    }

    #[test]
    fn no_more_than_so_many_go_at_once_to_one_receiver_of_one_client() {
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
    fn another_clients_receiver_at_the_same_host_is_not_held() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        assert!(
            breakers
                .acquire("hr", "https://tickets.example", at(0))
                .is_ok()
        );
    }

    #[test]
    fn a_probe_that_is_cut_off_lets_the_next_one_go() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        drop(acquire(&breakers, 30));
        std::mem::forget(acquire(&breakers, 30));
        assert_eq!(held_until(&breakers, 31), 36);
        assert!(acquire(&breakers, 60).is_ok());
    }

    #[test]
    fn a_clock_set_back_ends_the_pause_with_a_probe() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        assert!(!deliver(&breakers, -7200, Health::Up));
        assert!(acquire(&breakers, -7200).is_ok());
    }

    #[test]
    fn a_clock_set_back_ends_the_wait_for_a_probe_that_was_lost() {
        let breakers = CircuitBreakers::new(10);
        down(&breakers);
        std::mem::forget(acquire(&breakers, 30));
        assert_eq!(held_until(&breakers, 31), 36);
        assert!(acquire(&breakers, -7200).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_a_receiver_that_is_well() {
        let breakers = CircuitBreakers::new(10);
        deliver(&breakers, 0, DOWN);
        deliver(&breakers, 0, Health::Up);
        assert!(lock(&breakers.all).is_empty());
    }
}
