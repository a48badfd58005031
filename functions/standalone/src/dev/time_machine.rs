//! A clock that runs ahead: a month in a minute. It stands still while something is being done, so that no call, which
//! takes milliseconds of real time, seems to have lasted for hours.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use courier_core::time::{Clock, later};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::pace::Busy;

/// Real time between two looks at what is being done.
const TICK: Duration = Duration::from_millis(1);
/// Longest real time that one tick makes up for: after a pause the clock goes on and does not leap.
const LONGEST_TICK: Duration = Duration::from_millis(100);
/// Real time in which what comes due is done together, so that a hundred operations are not looked at one by one.
const GRAIN: Duration = Duration::from_millis(5);

/// How much simulated time passes in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed(Duration);

impl fmt::Display for Speed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
        let fits = units
            .into_iter()
            .find(|(unit, _)| seconds.is_multiple_of(*unit));
        let (unit, name) = fits.unwrap_or((1, "second"));
        match seconds / unit {
            1 => write!(formatter, "a {name} a second"),
            number => write!(formatter, "{number} {name}s a second"),
        }
    }
}

impl FromStr for Speed {
    type Err = anyhow::Error;

    /// Reads `1d/s`, `6h/s`, `90m/s` or `30s/s`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let per_second = text.strip_suffix("/s").unwrap_or_default();
        let unit = per_second.chars().last().unwrap_or_default();
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => 0,
        };
        let number: u64 = per_second
            .trim_end_matches(unit)
            .parse()
            .unwrap_or_default();
        let seconds = number.saturating_mul(seconds);
        if !(1..=7 * 86_400).contains(&seconds) {
            bail!("a speed is a number of s, m, h or d for each second, up to a week: 1d/s");
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

pub(crate) struct TimeMachine {
    now: Mutex<Timestamp>,
    speed: Speed,
    pub(crate) busy: Arc<Busy>,
}

impl TimeMachine {
    pub(crate) fn new(begin: Timestamp, speed: Speed) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(begin),
            speed,
            busy: Arc::default(),
        })
    }

    pub(crate) fn clock(self: &Arc<Self>) -> Clock {
        let machine = Arc::clone(self);
        Arc::new(move || *machine.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the clock on until this future is dropped. It waits at each time at which something is due until that is done.
    pub(crate) async fn run(&self, next_due: impl Fn() -> Option<Timestamp>) {
        let mut before = Instant::now();
        loop {
            sleep(TICK).await;
            let passed = before.elapsed().min(LONGEST_TICK);
            before = Instant::now();
            if !self.busy.is_idle() {
                continue;
            }
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            let ahead = |real: Duration| self.speed.0.mul_f64(real.as_secs_f64());
            let wanted = later(*now, ahead(passed));
            *now = match next_due() {
                // It has not been begun yet.
                Some(due) if due <= *now => *now,
                Some(due) => wanted.min(later(due, ahead(GRAIN))),
                None => wanted,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_time_for_each_second() {
        for (text, seconds) in [
            ("1d/s", 86_400),
            ("6h/s", 21_600),
            ("90m/s", 5_400),
            ("30s/s", 30),
        ] {
            assert_eq!(
                text.parse::<Speed>().unwrap().0.as_secs(),
                seconds,
                "{text}"
            );
        }
        for bad in [
            "", "1d", "d/s", "0d/s", "8d/s", "1y/s", "-1d/s", "1 d/s", "1d/m", "é/s",
        ] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_waits_for_what_is_due_and_while_something_is_being_done() {
        let begin = Timestamp::from_second(1_800_000_000).unwrap();
        let machine = TimeMachine::new(begin, "1d/s".parse().unwrap());
        let clock = machine.clock();
        let due = later(begin, Duration::from_secs(60));
        let run = |seconds| {
            let machine = Arc::clone(&machine);
            async move {
                let run = machine.run(|| Some(due));
                drop(tokio::time::timeout(Duration::from_secs(seconds), run).await);
            }
        };
        run(2).await;
        let stopped = clock();
        assert!(
            due <= stopped && stopped < later(due, Duration::from_secs(600)),
            "{stopped}"
        );
        let doing = machine.busy.begin();
        let run = machine.run(|| None);
        drop(tokio::time::timeout(Duration::from_secs(1), run).await);
        assert_eq!(clock(), stopped);
        drop(doing);
        let run = machine.run(|| None);
        drop(tokio::time::timeout(Duration::from_secs(1), run).await);
        assert!(
            clock() > later(due, Duration::from_secs(80_000)),
            "{}",
            clock()
        );
    }
}
