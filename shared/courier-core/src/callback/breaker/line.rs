//! The line of deliveries to one receiver: those in flight, and those that wait, first in, first out.
//!
//! A delivery that waits is told to look again when its turn is likely to have come: by the number of deliveries before
//! it, and by the time that a delivery to this receiver takes. So it looks a few times, however long the line is.

use std::time::Duration;

use jiff::Timestamp;

use crate::operation::OperationId;
use crate::time::{elapsed, later};

/// Assumed duration of a delivery before the first one has ended.
const FIRST_GUESS: Duration = Duration::from_secs(1);
/// Longest wait by that guess: by then the first delivery has ended, or most likely so.
const GUESSED_WAIT: Duration = Duration::from_secs(15);
/// Shortest wait of a delivery that was not let in.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// Waits of up to this long are waited at once; of a longer one only half, because the line may move faster by then.
const WAITED_AT_ONCE: Duration = Duration::from_secs(600);
/// Time for which a place is kept for a delivery whose turn has come.
const PLACE_KEPT: Duration = Duration::from_secs(2);
/// Time after its turn at which a delivery loses its position: another process may have made it.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Maximum number of positions that are remembered. A delivery beyond it has none, and waits as if it were the last.
const MAX_WAITING: usize = 5_000;

#[derive(Debug)]
pub(super) struct Line {
    /// Maximum number of deliveries in flight.
    places: usize,
    /// Start times of the deliveries in flight.
    in_flight: Vec<Timestamp>,
    /// The deliveries that wait, first come first.
    waiting: Vec<Waiting>,
    /// Average duration of a delivery, in which the latest ones weigh most; `None` before one has ended.
    average: Option<Duration>,
    /// Least time between the starts of two deliveries, for a receiver that limits requests per minute.
    spacing: Duration,
    /// Earliest start of the next delivery to such a receiver.
    next_start: Timestamp,
}

#[derive(Debug)]
struct Waiting {
    operation: OperationId,
    /// The time at which the delivery was told to look again.
    turn: Timestamp,
}

impl Line {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            in_flight: Vec::new(),
            waiting: Vec::new(),
            average: None,
            spacing: Duration::ZERO,
            next_start: Timestamp::MIN,
        }
    }

    /// Lets a delivery in if it is its turn; the error is the time at which to look again.
    pub(super) fn enter(
        &mut self,
        operation: &OperationId,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        self.forget_lost(now);
        let ahead = self.ahead_of(operation);
        let soon = later(now, self.usual(now) / 4);
        let at_hand = |one: &&Waiting| one.turn <= soon && now <= later(one.turn, PLACE_KEPT);
        let rivals = self.waiting[..ahead].iter().filter(at_hand).count();
        if rivals >= self.free_places() || now < self.earliest_start(rivals) {
            let turn = self.turn(ahead, now);
            return Err(self.wait(operation, turn, now, now));
        }
        if ahead < self.waiting.len() {
            self.waiting.remove(ahead);
        }
        self.in_flight.push(now);
        self.take_start(now);
        Ok(())
    }

    /// Has a delivery wait although no other one may be made before `opens`, and returns when to look again.
    pub(super) fn wait_for(
        &mut self,
        operation: &OperationId,
        opens: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        self.forget_lost(now);
        let ahead = self.ahead_of(operation);
        let opens = opens.max(later(now, SHORTEST_WAIT));
        // The first delivery tries the receiver. The others follow when it has ended, not all at once.
        let usual = self.usual(now).max(SHORTEST_WAIT);
        let behind = match ahead.checked_sub(1) {
            Some(others) => usual + times(usual, others) / count(self.places),
            None => Duration::ZERO,
        };
        self.wait(operation, later(opens, behind), opens, now)
    }

    /// Ends a delivery that was started at `started`; `took` is its duration, if it says something about the receiver.
    pub(super) fn leave(&mut self, started: Timestamp, took: Option<Duration>) {
        let place = self.in_flight.iter().position(|start| *start == started);
        // The start is another one if the clock was set back meanwhile; then any place is as good.
        if !self.in_flight.is_empty() {
            self.in_flight.swap_remove(place.unwrap_or_default());
        }
        if let Some(took) = took {
            let average = self.average.unwrap_or(took);
            self.average = Some(average * 4 / 5 + took / 5);
        }
    }

    /// Returns the likely end of a delivery that was started at `started`.
    pub(super) fn likely_end(&self, started: Timestamp, now: Timestamp) -> Timestamp {
        let usual = self.usual(now);
        later(started, usual).max(later(now, usual / 2))
    }

    /// Limits the starts of deliveries to `per_minute`, evenly spaced; `None` is no limit.
    pub(super) fn limit_rate(&mut self, per_minute: Option<u32>) {
        let minute = Duration::from_secs(60);
        self.spacing = per_minute.map_or(Duration::ZERO, |most| minute / most.max(1));
    }

    pub(super) fn is_limited(&self) -> bool {
        !self.spacing.is_zero()
    }

    /// Takes the start of a delivery that was let in before the limit was known; the error is the time to look again.
    pub(super) fn start_limited(
        &mut self,
        operation: &OperationId,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        if now < self.earliest_start(0) {
            return Err(self.wait(operation, now, now, now));
        }
        self.take_start(now);
        Ok(())
    }

    /// Forgets everything that is tied to a time, after the clock was set back. What is in flight stays in flight.
    pub(super) fn clock_was_set_back(&mut self, now: Timestamp) {
        self.waiting.clear();
        for started in &mut self.in_flight {
            *started = now.min(*started);
        }
        self.next_start = self.next_start.min(later(now, self.spacing));
    }

    fn take_start(&mut self, now: Timestamp) {
        if self.is_limited() {
            self.next_start = later(self.next_start.max(now), self.spacing);
        }
    }

    /// Remembers that a delivery waits for `turn`, and returns the time at which it looks again.
    ///
    /// That is earlier when `turn` lies far behind `opens`, the earliest time at which any delivery may be made. A limit
    /// of requests per minute is no estimate, so it is waited for at once.
    fn wait(
        &mut self,
        operation: &OperationId,
        turn: Timestamp,
        opens: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let behind = elapsed(opens, turn);
        let longest = match self.average {
            None => GUESSED_WAIT,
            Some(_) => WAITED_AT_ONCE.max(behind / 2),
        };
        let turn = later(opens, behind.min(longest));
        let ahead = self.ahead_of(operation);
        let soonest = self.earliest_start(ahead).max(later(now, SHORTEST_WAIT));
        let turn = turn.max(soonest);
        match self.waiting.get_mut(ahead) {
            Some(waiting) => waiting.turn = turn,
            None if ahead < MAX_WAITING => self.waiting.push(Waiting {
                operation: operation.clone(),
                turn,
            }),
            None => {}
        }
        turn
    }

    /// Returns the likely time at which a delivery with `ahead` others before it gets a place.
    fn turn(&self, ahead: usize, now: Timestamp) -> Timestamp {
        let mut ends: Vec<Timestamp> = self
            .in_flight
            .iter()
            .map(|started| self.likely_end(*started, now))
            .collect();
        ends.sort_unstable();
        let (rounds, place) = (ahead / self.places, ahead % self.places);
        let end = place
            .checked_sub(self.free_places())
            .and_then(|place| ends.get(place).copied());
        let first = end.unwrap_or_else(|| later(now, self.interval(now)));
        let wait = times(self.usual(now), rounds);
        // A place that becomes free is taken a little later, so a long line moves a little slower than that.
        later(first, wait + wait / 32)
    }

    /// Returns how long a delivery takes by what is known now.
    ///
    /// When most deliveries in flight have taken longer than the average, the receiver has become slower.
    fn usual(&self, now: Timestamp) -> Duration {
        let average = self.average.unwrap_or(FIRST_GUESS);
        let mut ages: Vec<Duration> = self
            .in_flight
            .iter()
            .map(|started| elapsed(*started, now))
            .collect();
        ages.sort_unstable();
        let age = ages.get(ages.len() / 2).copied().unwrap_or_default();
        age.max(average)
    }

    /// Returns the time between the turns of two deliveries that follow each other, at most a second.
    fn interval(&self, now: Timestamp) -> Duration {
        let interval = self.usual(now) / count(self.places);
        interval.clamp(SHORTEST_WAIT, Duration::from_secs(1))
    }

    /// Returns the earliest start that a limit of requests per minute leaves to a delivery with `ahead` others before it.
    fn earliest_start(&self, ahead: usize) -> Timestamp {
        if !self.is_limited() {
            return Timestamp::MIN;
        }
        later(self.next_start, times(self.spacing, ahead))
    }

    fn free_places(&self) -> usize {
        self.places.saturating_sub(self.in_flight.len())
    }

    /// Returns the number of deliveries that wait before this one; all, if it does not wait yet.
    fn ahead_of(&self, operation: &OperationId) -> usize {
        let position = self
            .waiting
            .iter()
            .position(|one| one.operation == *operation);
        position.unwrap_or(self.waiting.len())
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn forget_lost(&mut self, now: Timestamp) {
        self.waiting
            .retain(|one| now <= later(one.turn, LOST_AFTER));
    }
}

fn count(places: usize) -> u32 {
    u32::try_from(places).unwrap_or(u32::MAX)
}

fn times(duration: Duration, factor: usize) -> Duration {
    duration.saturating_mul(count(factor))
}
