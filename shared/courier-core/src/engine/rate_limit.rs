//! Token buckets: requests of each client per minute, and Graph requests of each tenant and operation per hour.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::catalogue::BudgetSpec;
use crate::operation::OperationId;
use crate::time::{elapsed, later};

/// Limits the requests of each client (`requests_per_minute`).
#[derive(Default)]
pub(crate) struct RateLimiter {
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl RateLimiter {
    /// Takes one request of `client`, or returns how long to wait for the next.
    pub(crate) fn take(
        &self,
        client: &str,
        per_minute: u32,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let size = f64::from(per_minute);
        take(&mut lock(&self.buckets), client, size, size / 60.0, now)
    }
}

/// Limits the Graph requests of each tenant, for operations with a limit that Graph publishes.
///
/// A tenth of the limit may be used at once and the rest evenly, so its time has no more requests than the limit. When it is
/// used up, operations get their turns in the order in which they asked, however old they are.
#[derive(Default)]
pub(crate) struct Budget {
    buckets: Mutex<HashMap<String, Bucket>>,
    queues: Mutex<HashMap<String, Turns>>,
}

/// Time after its turn for which an operation keeps its place; one that comes later has been ended or taken over.
const TURN_LIFETIME: Duration = Duration::from_secs(120);
/// Largest number of operations that wait in order; more are told to come back when the last of them has had its turn.
const MAX_TURNS: usize = 20_000;

/// The operations that wait for a request, each with the time of its turn.
#[derive(Default)]
struct Turns {
    at: HashMap<OperationId, Timestamp>,
    /// The turn of the last one.
    last: Option<Timestamp>,
}

impl Budget {
    /// Takes one request of `tenant` for the operation `id`, or returns how long to wait for its turn.
    pub(crate) fn take(
        &self,
        tenant: &str,
        budget: &BudgetSpec,
        id: &OperationId,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let (key, burst, rate) = purse(tenant, budget);
        let mut queues = lock(&self.queues);
        let turns = queues.entry(key.clone()).or_default();
        let next = match turns.at.get(id).copied() {
            Some(turn) if now < turn => return Err(elapsed(now, turn)),
            Some(_) => None,
            None => turns.next(now, rate),
        };
        if next.is_none() && take(&mut lock(&self.buckets), &key, burst, rate, now).is_ok() {
            turns.at.remove(id);
            return Ok(());
        }
        let turn = next.unwrap_or_else(|| later(now, Duration::from_secs_f64(1.0 / rate)));
        turns.last = turns.last.max(Some(turn));
        if turns.at.len() < MAX_TURNS {
            turns.at.insert(id.clone(), turn);
        }
        Err(elapsed(now, turn))
    }

    /// Takes one request that is sent at once, such as one for the next page of an answer.
    ///
    /// What is not there for it is owed, and whoever comes next waits longer.
    pub(crate) fn charge(&self, tenant: &str, budget: &BudgetSpec, now: Timestamp) {
        let (key, burst, rate) = purse(tenant, budget);
        let mut buckets = lock(&self.buckets);
        refilled(&mut buckets, &key, burst, rate, now).left -= 1.0;
    }
}

/// Returns the key of a budget, how many requests may be sent at once, and how many in a second.
fn purse(tenant: &str, budget: &BudgetSpec) -> (String, f64, f64) {
    let requests = f64::from(budget.requests);
    (
        format!("{tenant}/{}", budget.name),
        (requests / 10.0).max(1.0),
        requests * 0.9 / f64::from(budget.seconds),
    )
}

impl Turns {
    /// Returns the turn after the last one that is still to come; `None` if nobody waits.
    fn next(&mut self, now: Timestamp, rate: f64) -> Option<Timestamp> {
        let far = later(now, Duration::from_secs(24 * 3600));
        // A turn that far ahead belongs to a clock that has been set back since.
        self.last = self.last.filter(|last| now < *last && *last < far);
        if self.last.is_none() {
            self.at
                .retain(|_, turn| elapsed(*turn, now) < TURN_LIFETIME && *turn < far);
        }
        let step = Duration::from_secs_f64(1.0 / rate);
        self.last.map(|last| later(last, step))
    }
}

/// Longest step back of the time that is ignored.
///
/// After a longer one the clock was set back, and waiting for the old time could take hours.
const MAX_IGNORED_STEP_BACK: Duration = Duration::from_secs(2);

struct Bucket {
    left: f64,
    at: Timestamp,
}

fn take(
    buckets: &mut HashMap<String, Bucket>,
    key: &str,
    size: f64,
    per_second: f64,
    now: Timestamp,
) -> Result<(), Duration> {
    let bucket = refilled(buckets, key, size, per_second, now);
    if bucket.left >= 1.0 {
        bucket.left -= 1.0;
        return Ok(());
    }
    Err(Duration::from_secs_f64((1.0 - bucket.left) / per_second))
}

/// Returns the bucket with what has come in until now; a new one is full.
fn refilled<'a>(
    buckets: &'a mut HashMap<String, Bucket>,
    key: &str,
    size: f64,
    per_second: f64,
    now: Timestamp,
) -> &'a mut Bucket {
    let bucket = buckets.entry(key.to_owned()).or_insert(Bucket {
        left: size,
        at: now,
    });
    let refilled = bucket.left + elapsed(bucket.at, now).as_secs_f64() * per_second;
    bucket.left = refilled.min(size);
    // Callers read the clock before they take the lock, so `now` may be a little earlier than the last one; when it is
    // much earlier, the clock was set back.
    if now > bucket.at || elapsed(now, bucket.at) > MAX_IGNORED_STEP_BACK {
        bucket.at = now;
    }
    bucket
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(name: &str, requests: u32) -> BudgetSpec {
        BudgetSpec {
            name: name.to_owned(),
            requests,
            seconds: 3600,
        }
    }

    #[test]
    fn client_over_its_rate_gets_the_time_to_wait_and_others_are_not_limited() {
        let limiter = RateLimiter::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(limiter.take("a", 2, now), Ok(()));
        assert_eq!(limiter.take("a", 2, now), Ok(()));
        assert_eq!(limiter.take("a", 2, now), Err(Duration::from_secs(30)));
        assert_eq!(limiter.take("b", 2, now), Ok(()));
        let later = now + Duration::from_secs(30);
        assert_eq!(limiter.take("a", 2, later), Ok(()));
    }

    #[test]
    fn clock_set_back_neither_blocks_a_client_for_hours_nor_grants_extra_requests() {
        let limiter = RateLimiter::default();
        let before = Timestamp::UNIX_EPOCH + Duration::from_secs(7200);
        assert_eq!(limiter.take("a", 2, before), Ok(()));
        assert_eq!(limiter.take("a", 2, before), Ok(()));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(limiter.take("a", 2, now), Err(Duration::from_secs(30)));
        let later = now + Duration::from_secs(30);
        assert_eq!(limiter.take("a", 2, later), Ok(()));
        // A caller that read the clock a second before another one does not count as a clock set back.
        let earlier = later - Duration::from_secs(1);
        assert!(limiter.take("a", 2, earlier).is_err());
        let refusal = limiter.take("a", 2, later);
        assert_eq!(refusal, Err(Duration::from_secs(30)));
    }

    #[test]
    fn bucket_refills_evenly_and_holds_at_most_one_minute() {
        let limiter = RateLimiter::default();
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        let taken = |second| {
            (0..9)
                .filter(|_| limiter.take("a", 6, at(second)).is_ok())
                .count()
        };
        assert_eq!(taken(0), 6);
        assert_eq!(limiter.take("a", 6, at(4)), Err(Duration::from_secs(6)));
        assert_eq!(limiter.take("a", 6, at(10)), Ok(()));
        assert_eq!(taken(30), 2);
        assert_eq!(taken(90), 6);
        assert_eq!(taken(9000), 6);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn id(number: u32) -> OperationId {
        OperationId::parse(&format!("op_{number:032x}")).unwrap()
    }

    #[test]
    fn tenth_of_the_hours_budget_is_there_at_once_and_no_hour_has_more_than_the_limit() {
        let budget = Budget::default();
        let mut taken = 0;
        for second in 0..3600 {
            for number in 0..3 {
                let id = id(second * 10 + number);
                let ok = budget
                    .take("t", &hourly("o", 600), &id, at(second.into()))
                    .is_ok();
                taken += u32::from(ok);
            }
            if second == 20 {
                assert!((60..=65).contains(&taken), "{taken}");
            }
        }
        assert!(taken <= 600, "{taken}");
        for (tenant, operation) in [("t", "p"), ("u", "o")] {
            assert_eq!(
                budget.take(tenant, &hourly(operation, 600), &id(0), at(0)),
                Ok(())
            );
        }
    }

    #[test]
    fn operations_get_their_turns_in_the_order_in_which_they_asked() {
        let budget = Budget::default();
        let take = |number, now| budget.take("t", &hourly("o", 400), &id(number), now);
        for number in 0..40 {
            assert_eq!(take(number, at(0)), Ok(()));
        }
        // 360 in an hour, after the 40 at once, are one in ten seconds.
        let mut waits = Vec::new();
        for number in 100..150 {
            waits.push((number, take(number, at(0)).unwrap_err()));
        }
        for (index, (_, wait)) in waits.iter().enumerate() {
            let expected = 10.0 * (index + 1) as f64;
            assert!((wait.as_secs_f64() - expected).abs() < 0.1, "{index}");
        }
        for (number, wait) in waits {
            let turn = later(at(0), wait + Duration::from_millis(10));
            // One that has just come waits behind all others, and nobody's turn is taken.
            assert!(take(number + 1000, turn).is_err());
            assert_eq!(take(number, turn), Ok(()), "{number}");
        }
    }

    #[test]
    fn limit_below_ten_an_hour_lets_one_request_through_at_once() {
        let budget = Budget::default();
        assert_eq!(budget.take("v", &hourly("o", 6), &id(1), at(0)), Ok(()));
        let wait = budget
            .take("v", &hourly("o", 6), &id(2), at(0))
            .unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 667.0);
    }

    #[test]
    fn turns_of_a_clock_that_was_set_back_are_forgotten() {
        let budget = Budget::default();
        for number in 0..3 {
            let _ = budget.take("t", &hourly("o", 6), &id(number), at(0));
        }
        let long_ago = at(-1_000_000);
        let wait = budget
            .take("t", &hourly("o", 6), &id(9), long_ago)
            .unwrap_err();
        assert!(wait < Duration::from_secs(700), "{wait:?}");
    }
}
