//! Token buckets: requests per client and minute, Graph requests per tenant and hour.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time::elapsed;

/// Requests of each client (`requests_per_minute`).
#[derive(Default)]
pub(crate) struct RateLimiter {
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl RateLimiter {
    /// Takes one request of `client`, or says how long to wait for it.
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

/// Requests Graph allows per hour and tenant, for operations where it publishes a number.
///
/// A minute's worth may go at once, so no hour sees more than the limit and one minute's worth.
#[derive(Default)]
pub(crate) struct Budget {
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Budget {
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

/// A clock that goes back further than this was set back: waiting for the old time could take hours.
const SET_BACK: Duration = Duration::from_secs(2);

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
    // Callers read the clock before they come here, so a little earlier is no news; much earlier is a clock set back.
    if now > bucket.at || elapsed(now, bucket.at) > SET_BACK {
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
    fn a_client_over_its_rate_is_told_how_long_to_wait_and_others_are_not_held() {
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
    fn a_clock_that_is_set_back_neither_refuses_for_hours_nor_gives_anything_away() {
        let limiter = RateLimiter::default();
        let before = Timestamp::UNIX_EPOCH + Duration::from_secs(7200);
        assert_eq!(limiter.take("a", 2, before), Ok(()));
        assert_eq!(limiter.take("a", 2, before), Ok(()));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(limiter.take("a", 2, now), Err(Duration::from_secs(30)));
        let later = now + Duration::from_secs(30);
        assert_eq!(limiter.take("a", 2, later), Ok(()));
        // Two callers that overtook each other are no clock set back.
        let earlier = later - Duration::from_secs(1);
        assert!(limiter.take("a", 2, earlier).is_err());
        let refusal = limiter.take("a", 2, later);
        assert_eq!(refusal, Err(Duration::from_secs(30)));
    }

    #[test]
    fn a_bucket_refills_evenly_and_holds_no_more_than_a_minute() {
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
    fn a_tenants_budget_is_spread_over_the_hour_and_of_each_operation() {
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
        // Less than one a minute: one may still go at once.
        assert_eq!(budget.take("v", "o", 6, at(0)), Ok(()));
        let wait = budget.take("v", "o", 6, at(0)).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 600.0);
    }
}
