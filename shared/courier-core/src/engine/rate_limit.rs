//! Token buckets: requests of each client per minute, and Graph requests of each tenant and operation per hour.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time::elapsed;

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

/// Limits the Graph requests of each tenant per hour, for operations with a limit that Graph publishes.
///
/// One minute's share may be sent at once, so no hour has more requests than the limit and one minute's share.
#[derive(Default)]
pub(crate) struct Budget {
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Budget {
    /// Takes one request of `tenant` for `operation`, or returns how long to wait for the next.
    pub(crate) fn take(
        &self,
        tenant: &str,
        operation: &str,
        per_hour: u32,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let key = format!("{tenant}/{operation}");
        let rate = f64::from(per_hour) / 3600.0;
        take(
            &mut lock(&self.buckets),
            &key,
            (rate * 60.0).max(1.0),
            rate,
            now,
        )
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
    if !buckets.contains_key(key) {
        buckets.insert(
            key.to_owned(),
            Bucket {
                left: size,
                at: now,
            },
        );
    }
    let Some(bucket) = buckets.get_mut(key) else {
        return Ok(());
    };
    let refilled = bucket.left + elapsed(bucket.at, now).as_secs_f64() * per_second;
    bucket.left = refilled.min(size);
    // Callers read the clock before they take the lock, so `now` may be a little earlier than the last one; when it is
    // much earlier, the clock was set back.
    if now > bucket.at || elapsed(now, bucket.at) > MAX_IGNORED_STEP_BACK {
        bucket.at = now;
    }
    if bucket.left >= 1.0 {
        bucket.left -= 1.0;
        return Ok(());
    }
    Err(Duration::from_secs_f64((1.0 - bucket.left) / per_second))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn budget_of_each_tenant_and_operation_is_spread_over_the_hour() {
        let budget = Budget::default();
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        let take = |tenant, operation, second| budget.take(tenant, operation, 600, at(second));
        for _ in 0..10 {
            assert_eq!(take("t", "o", 0), Ok(()));
        }
        assert_eq!(take("t", "o", 0), Err(Duration::from_secs(6)));
        assert_eq!(take("t", "p", 0), Ok(()));
        assert_eq!(take("u", "o", 0), Ok(()));
        assert_eq!(take("t", "o", 6), Ok(()));
        assert_eq!(take("t", "o", 7), Err(Duration::from_secs(5)));
        // A limit below one request a minute still lets one through at once.
        assert_eq!(budget.take("v", "o", 6, at(0)), Ok(()));
        let wait = budget.take("v", "o", 6, at(0)).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 600.0);
    }
}
