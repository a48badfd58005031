//! What this process knows of each receiver: how many deliveries are under way, and whether it is down.
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
pub(crate) struct Receivers {
    /// Deliveries at once to one receiver.
    in_flight: usize,
    known: Arc<Mutex<HashMap<Key, Known>>>,
}

/// Client and origin.
type Key = (String, String);

#[derive(Debug, Default)]
struct Known {
    in_flight: usize,
    failures: u32,
    failed_at: Option<Timestamp>,
    /// Pauses in a row.
    pauses: u32,
    /// Down until then; the first delivery after it is a probe.
    until: Option<Timestamp>,
    /// The probe under way is lost after this.
    probe: Option<Timestamp>,
}

/// How a receiver fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fared {
    /// It answers, whatever it says.
    Up,
    /// No answer, or one that tells of its own trouble.
    Down { retry_after: Option<Duration> },
    /// Nothing was sent.
    NotAsked,
}

impl Fared {
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
pub(crate) struct Pass {
    receivers: Receivers,
    key: Key,
    probing: bool,
    left: bool,
}

impl Receivers {
    /// At most `in_flight` deliveries at once to each.
    pub(crate) fn new(in_flight: u32) -> Self {
        Self {
            in_flight: usize::try_from(in_flight).unwrap_or(usize::MAX),
            known: Arc::default(),
        }
    }

    /// Leave to deliver now, or the time to look again.
    pub(crate) fn enter(
        &self,
        client: &str,
        origin: &str,
        now: Timestamp,
    ) -> Result<Pass, Timestamp> {
        let key = (client.to_owned(), origin.to_owned());
        let mut known = lock(&self.known);
        let receiver = known.entry(key.clone()).or_default();
        // A time that lies further ahead is of a clock that was set back: nobody waits for it.
        let furthest = later(now, LONGEST_PAUSE);
        let held = receiver.until.filter(|until| now < *until);
        if let Some(until) = held.filter(|until| *until <= furthest) {
            return Err(until);
        }
        let probing = receiver.until.is_some();
        let lost_at = receiver.probe.filter(|lost| *lost <= later(now, PROBE));
        if probing && lost_at.is_some_and(|lost| now < lost) {
            return Err(later(now, CROWDED * 5));
        }
        if receiver.in_flight >= self.in_flight {
            return Err(later(now, CROWDED));
        }
        receiver.in_flight += 1;
        if probing {
            receiver.probe = Some(later(now, PROBE));
        }
        Ok(Pass {
            receivers: self.clone(),
            key,
            probing,
            left: false,
        })
    }
}

impl Pass {
    /// Says how it went; `true` when the receiver counts as down from now on.
    pub(crate) fn leave(mut self, fared: Fared, now: Timestamp) -> bool {
        self.left = true;
        let mut known = lock(&self.receivers.known);
        let Some(receiver) = known.get_mut(&self.key) else {
            return false;
        };
        receiver.in_flight = receiver.in_flight.saturating_sub(1);
        if self.probing {
            receiver.probe = None;
        }
        let asked = match fared {
            Fared::NotAsked => return false,
            Fared::Up => {
                receiver.failures = 0;
                receiver.pauses = 0;
                receiver.until = None;
                if receiver.in_flight == 0 {
                    known.remove(&self.key);
                }
                return false;
            }
            Fared::Down { retry_after } => retry_after,
        };
        let row = receiver
            .failed_at
            .is_some_and(|last| elapsed(last, now) < ROW);
        receiver.failures = if row { receiver.failures + 1 } else { 1 };
        receiver.failed_at = Some(now);
        if receiver.failures < FAILURES && asked.is_none() && !self.probing {
            return false;
        }
        // Those that were under way together when it went down are one pause.
        if receiver.until.is_none_or(|until| until <= now) {
            receiver.pauses += 1;
        }
        let doubled = FIRST_PAUSE * 2_u32.pow(receiver.pauses.saturating_sub(1).min(8));
        let pause = doubled.max(asked.unwrap_or_default()).min(LONGEST_PAUSE);
        receiver.until = receiver.until.max(Some(later(now, pause)));
        true
    }
}

impl Drop for Pass {
    /// A delivery that was cut off says nothing of the receiver.
    fn drop(&mut self) {
        if self.left {
            return;
        }
        if let Some(receiver) = lock(&self.receivers.known).get_mut(&self.key) {
            receiver.in_flight = receiver.in_flight.saturating_sub(1);
            if self.probing {
                receiver.probe = None;
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

    const DOWN: Fared = Fared::Down { retry_after: None };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn enter(receivers: &Receivers, second: i64) -> Result<Pass, Timestamp> {
        receivers.enter("tickets", "https://tickets.example", at(second))
    }

    fn deliver(receivers: &Receivers, second: i64, fared: Fared) -> bool {
        let Ok(pass) = enter(receivers, second) else {
            panic!("held at {second}");
        };
        pass.leave(fared, at(second))
    }

    fn held_until(receivers: &Receivers, second: i64) -> i64 {
        match enter(receivers, second) {
            Ok(_) => panic!("not held at {second}"),
            Err(until) => until.as_second() - 1_000_000,
        }
    }

    fn down(receivers: &Receivers) {
        for _ in 0..FAILURES {
            deliver(receivers, 0, DOWN);
        }
    }

    #[test]
    fn only_no_answer_429_and_5xx_tell_of_the_receiver() {
        let asked = Some(Duration::from_secs(90));
        for status in [300, 302, 400, 401, 403, 404, 405, 410, 428, 430, 499] {
            assert_eq!(Fared::of(Some(status), asked), Fared::Up, "{status}");
        }
        for status in [500, 502, 504, 599] {
            assert_eq!(Fared::of(Some(status), asked), DOWN, "{status}");
        }
        assert_eq!(Fared::of(None, None), DOWN);
        for status in [429, 503] {
            let pause = Fared::Down { retry_after: asked };
            assert_eq!(Fared::of(Some(status), asked), pause, "{status}");
        }
    }

    #[test]
    fn a_receiver_that_fails_five_times_in_a_row_is_left_alone_for_half_a_minute() {
        let receivers = Receivers::new(10);
        for _ in 0..4 {
            assert!(!deliver(&receivers, 0, DOWN));
        }
        assert!(!deliver(&receivers, 0, Fared::Up));
        for _ in 0..4 {
            assert!(!deliver(&receivers, 0, DOWN));
        }
        assert!(deliver(&receivers, 0, DOWN));
        assert_eq!(held_until(&receivers, 0), 30);
        assert_eq!(held_until(&receivers, 29), 30);
        assert!(enter(&receivers, 30).is_ok());
    }

    #[test]
    fn failures_far_apart_are_no_row() {
        let receivers = Receivers::new(10);
        for minute in 0..20 {
            assert!(!deliver(&receivers, 60 * minute, DOWN));
        }
    }

    #[test]
    fn one_probe_goes_first_and_opens_the_way_for_all() {
        let receivers = Receivers::new(10);
        down(&receivers);
        let probe = enter(&receivers, 31).ok().unwrap();
        assert_eq!(held_until(&receivers, 31), 36);
        assert!(!probe.leave(Fared::Up, at(32)));
        let passes: Vec<Pass> = (0..10).filter_map(|_| enter(&receivers, 32).ok()).collect();
        assert_eq!(passes.len(), 10);
    }

    #[test]
    fn every_probe_that_fails_doubles_the_pause_up_to_five_minutes() {
        let receivers = Receivers::new(10);
        down(&receivers);
        let mut now = 30;
        for pause in [60, 120, 240, 300, 300, 300] {
            assert!(deliver(&receivers, now, DOWN));
            assert_eq!(held_until(&receivers, now), now + pause);
            now += pause;
        }
        assert!(!deliver(&receivers, now, Fared::Up));
        down(&receivers);
        assert_eq!(held_until(&receivers, 0), 30);
    }

    #[test]
    fn a_receiver_that_asks_for_a_pause_gets_it_at_once_up_to_five_minutes() {
        for (asked, pause) in [(1, 30), (90, 90), (7200, 300)] {
            let receivers = Receivers::new(10);
            let retry_after = Some(Duration::from_secs(asked));
            assert!(deliver(&receivers, 0, Fared::Down { retry_after }));
            assert_eq!(held_until(&receivers, 0), pause);
        }
    }

    #[test]
    fn those_that_failed_together_are_one_pause() {
        let receivers = Receivers::new(10);
        let passes: Vec<Pass> = (0..10).filter_map(|_| enter(&receivers, 0).ok()).collect();
        for pass in passes {
            pass.leave(DOWN, at(1));
        }
        assert_eq!(held_until(&receivers, 1), 31);
        deliver(&receivers, 31, DOWN);
        assert_eq!(held_until(&receivers, 31), 31 + 60);
    }

    #[test]
    fn no_more_than_so_many_go_at_once_to_one_receiver_of_one_client() {
        let receivers = Receivers::new(2);
        let first = enter(&receivers, 0).ok().unwrap();
        let _second = enter(&receivers, 0).ok().unwrap();
        assert_eq!(held_until(&receivers, 0), 1);
        let elsewhere = receivers.enter("tickets", "https://other.example", at(0));
        let another = receivers.enter("hr", "https://tickets.example", at(0));
        assert!(elsewhere.is_ok() && another.is_ok());
        drop(first);
        assert!(enter(&receivers, 0).is_ok());
    }

    #[test]
    fn another_clients_receiver_at_the_same_host_is_not_held() {
        let receivers = Receivers::new(10);
        down(&receivers);
        assert!(
            receivers
                .enter("hr", "https://tickets.example", at(0))
                .is_ok()
        );
    }

    #[test]
    fn a_probe_that_is_cut_off_lets_the_next_one_go() {
        let receivers = Receivers::new(10);
        down(&receivers);
        drop(enter(&receivers, 30));
        std::mem::forget(enter(&receivers, 30));
        assert_eq!(held_until(&receivers, 31), 36);
        assert!(enter(&receivers, 60).is_ok());
    }

    #[test]
    fn a_clock_set_back_ends_the_pause_with_a_probe() {
        let receivers = Receivers::new(10);
        down(&receivers);
        assert!(!deliver(&receivers, -7200, Fared::Up));
        assert!(enter(&receivers, -7200).is_ok());
    }

    #[test]
    fn a_clock_set_back_ends_the_wait_for_a_probe_that_was_lost() {
        let receivers = Receivers::new(10);
        down(&receivers);
        std::mem::forget(enter(&receivers, 30));
        assert_eq!(held_until(&receivers, 31), 36);
        assert!(enter(&receivers, -7200).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_a_receiver_that_is_well() {
        let receivers = Receivers::new(10);
        deliver(&receivers, 0, DOWN);
        deliver(&receivers, 0, Fared::Up);
        assert!(lock(&receivers.known).is_empty());
    }
}
