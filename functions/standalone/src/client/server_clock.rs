//! The time of the server that is asked: as `Date` in its answers tells it, and as fast as it goes by there.
//!
//! The clock of this machine may be wrong, and that of `courier dev --speed` runs ahead of all others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use courier_core::time::{Clock, later, parse_http_date};
use http::{HeaderMap, header};
use jiff::Timestamp;
use tokio::time::Instant;

/// The shortest real time over which the speed is measured: `Date` has whole seconds.
const SPAN: Duration = Duration::from_secs(1);
/// A clock that seems to be no faster than this may be an ordinary one that was read in whole seconds.
const ORDINARY: f64 = 3.0;

pub(crate) struct ServerClock {
    own: Clock,
    told: Mutex<Option<Told>>,
}

/// What the answers have told so far.
#[derive(Clone, Copy)]
struct Told {
    newest: Reading,
    /// The reading since which the speed is measured next.
    since: Reading,
    /// `None` until it is measured.
    speed: Option<f64>,
}

/// The time on the server's clock, and when it was read.
#[derive(Clone, Copy)]
struct Reading {
    time: Timestamp,
    at: Instant,
}

impl ServerClock {
    /// Returns a clock that is this machine's own until a server has told its time.
    pub(crate) fn new(own: Clock) -> Self {
        Self {
            own,
            told: Mutex::default(),
        }
    }

    /// Returns the server's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.now_at(Instant::now())
    }

    /// Returns how long that what lasts `duration` on the server's clock lasts here.
    pub(crate) fn here(&self, duration: Duration) -> Duration {
        let speed = self.lock().and_then(|told| told.speed);
        duration.div_f64(speed.unwrap_or(1.0))
    }

    /// Returns how long to wait at most until a further answer can tell the speed; `None` if it is known, or no answer
    /// has told a time.
    pub(crate) fn measured_after(&self) -> Option<Duration> {
        self.lock()
            .is_some_and(|told| told.speed.is_none())
            .then_some(SPAN)
    }

    /// Notes the time that an answer tells.
    pub(crate) fn read(&self, headers: &HeaderMap) {
        let date = headers.get(header::DATE);
        let time = date.and_then(|date| parse_http_date(date.to_str().ok()?));
        if let Some(time) = time {
            let at = Instant::now();
            self.note(Reading { time, at });
        }
    }

    fn now_at(&self, at: Instant) -> Timestamp {
        match *self.lock() {
            Some(told) => {
                let passed = at
                    .duration_since(told.newest.at)
                    .mul_f64(told.speed.unwrap_or(1.0));
                later(told.newest.time, passed)
            }
            None => (self.own)(),
        }
    }

    fn note(&self, newest: Reading) {
        let mut told = self.lock();
        let mut next = told.unwrap_or(Told {
            newest,
            since: newest,
            speed: None,
        });
        next.newest = newest;
        let real = newest.at.duration_since(next.since.at);
        if real >= SPAN {
            let passed = newest.time.duration_since(next.since.time).as_secs_f64();
            let speed = passed / real.as_secs_f64();
            next.speed = Some(if speed > ORDINARY { speed } else { 1.0 });
            next.since = newest;
        }
        *told = Some(next);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_runs_ahead_is_followed_between_answers_and_an_ordinary_one_goes_on_in_seconds()
    {
        let clock = ServerClock::new(Arc::new(|| time("2026-11-21T20:00:00Z")));
        let begin = Instant::now();
        assert_eq!(clock.now(), time("2026-11-21T20:00:00Z"));
        let note = |text: &str, after: Duration| {
            let at = begin + after;
            clock.note(Reading {
                time: time(text),
                at,
            });
        };
        note("2030-01-01T00:00:00Z", Duration::ZERO);
        assert_eq!(clock.now_at(begin + SECOND), time("2030-01-01T00:00:01Z"));
        assert_eq!(clock.measured_after(), Some(SPAN));
        // Two readings of an ordinary clock that are just above a second apart may differ by two.
        note("2030-01-01T00:00:02Z", SECOND);
        assert_eq!(clock.here(DAY), DAY);
        assert_eq!(clock.measured_after(), None);
        note("2030-01-03T00:00:02Z", SECOND * 3);
        assert_eq!(clock.here(DAY), SECOND);
        let half = SECOND * 3 + SECOND / 2;
        assert_eq!(clock.now_at(begin + half), time("2030-01-03T12:00:02Z"));
        note("2030-01-03T00:00:05Z", SECOND * 6);
        assert_eq!(clock.here(DAY), DAY, "it runs as ours again");
        note("2029-01-01T00:00:00Z", SECOND * 8);
        assert_eq!(
            clock.now_at(begin + SECOND * 8),
            time("2029-01-01T00:00:00Z")
        );
    }
}
