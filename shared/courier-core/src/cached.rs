//! A value that is fetched from elsewhere once for everybody who needs it: an access token, a key set.
//!
//! One caller fetches and the others wait for it. They all get what it got: the value, or the failure with the time
//! before which nobody asks again. So a peer that is slow or down is asked once, not once by each operation.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::time::{Clock, elapsed, later};

/// Pause after the first failure that names none; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause after a failure that names none.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause that a peer may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Step back of the clock that is ignored; after a longer one the clock was set back, and a pause no longer means much.
const MAX_IGNORED_STEP_BACK: Duration = Duration::from_secs(2);

/// A cached value of type `T`; `E` says why it could not be fetched.
pub(crate) struct Cached<T, E> {
    /// Held by the caller that fetches.
    fetching: tokio::sync::Mutex<()>,
    held: Mutex<Held<T, E>>,
    /// Longest time that a caller waits for the fetch of another one.
    patience: Duration,
}

/// A fetched value and how long it may be used.
#[derive(Debug, Clone)]
pub(crate) struct Lease<T> {
    pub(crate) value: T,
    /// Time from which the value is fetched anew; it may be used while that fails.
    pub(crate) renew_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Time before which a value that does not suit the caller is not fetched again.
    pub(crate) refetch_at: Timestamp,
}

/// Why a fetch failed, and the pause that the peer asked for.
#[derive(Debug, Clone)]
pub(crate) struct Failure<E> {
    pub(crate) error: E,
    pub(crate) retry_after: Option<Duration>,
}

/// There is no value to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unavailable<E> {
    /// Why the last fetch failed; `None` while another caller's fetch is still under way.
    pub(crate) error: Option<E>,
    /// Time before which asking again is useless.
    pub(crate) not_before: Timestamp,
}

struct Held<T, E> {
    lease: Option<Lease<T>>,
    failure: Option<Failed<E>>,
    /// Number of failures in a row.
    failures: u32,
}

struct Failed<E> {
    error: E,
    at: Timestamp,
    not_before: Timestamp,
}

enum Next<T, E> {
    Use(T),
    Fail(Unavailable<E>),
    /// Fetch; the old value serves the others meanwhile.
    Fetch(Option<T>),
}

impl<T: Clone, E: Clone> Cached<T, E> {
    /// Creates an empty cache, whose callers wait at most `patience` for the fetch of another one.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            fetching: tokio::sync::Mutex::default(),
            held: Mutex::new(Held {
                lease: None,
                failure: None,
                failures: 0,
            }),
            patience,
        }
    }

    /// Returns the cached value if it is current and `suits`, else fetches it.
    ///
    /// A value that is due for renewal but not expired is returned while another caller fetches, and when the fetch
    /// fails. A current value that does not suit is returned too while it is too early to fetch another.
    pub(crate) async fn get<F>(
        &self,
        clock: &Clock,
        suits: impl Fn(&T) -> bool,
        fetch: impl FnOnce() -> F,
    ) -> Result<T, Unavailable<E>>
    where
        F: Future<Output = Result<Lease<T>, Failure<E>>>,
    {
        let old = match self.held().next(&suits, clock()) {
            Next::Use(value) => return Ok(value),
            Next::Fail(unavailable) => return Err(unavailable),
            Next::Fetch(old) => old,
        };
        let fetching = match (self.fetching.try_lock(), old) {
            (Ok(guard), _) => guard,
            (Err(_), Some(old)) if suits(&old) => return Ok(old),
            (Err(_), _) => match timeout(self.patience, self.fetching.lock()).await {
                Ok(guard) => guard,
                Err(_) => {
                    return Err(Unavailable {
                        error: None,
                        not_before: later(clock(), FIRST_PAUSE),
                    });
                }
            },
        };
        match self.held().next(&suits, clock()) {
            Next::Use(value) => return Ok(value),
            Next::Fail(unavailable) => return Err(unavailable),
            Next::Fetch(_) => {}
        }
        let fetched = fetch().await;
        let now = clock();
        let mut held = self.held();
        drop(fetching);
        held.settle(fetched, suits, now)
    }

    /// Returns the cached value if it is current, and fetches nothing.
    pub(crate) fn current(&self, now: Timestamp) -> Option<T> {
        match self.held().next(|_: &T| true, now) {
            Next::Use(value) => Some(value),
            Next::Fail(_) | Next::Fetch(_) => None,
        }
    }

    /// Drops the value if it `is_refused`, so that the next caller fetches another.
    pub(crate) fn forget(&self, is_refused: impl Fn(&T) -> bool) {
        let mut held = self.held();
        held.lease.take_if(|lease| is_refused(&lease.value));
    }

    /// Drops the value if it `is_refused` and was not fetched just now.
    pub(crate) fn forget_old(&self, is_refused: impl Fn(&T) -> bool, now: Timestamp) {
        let mut held = self.held();
        let is_old = |lease: &mut Lease<T>| lease.refetch_at <= now && is_refused(&lease.value);
        held.lease.take_if(is_old);
    }

    /// Returns how long nobody asks again after a failure, if there is no value to use meanwhile.
    pub(crate) fn pause_left(&self, now: Timestamp) -> Option<Duration> {
        match self.held().next(|_| true, now) {
            Next::Fail(unavailable) => Some(elapsed(now, unavailable.not_before)),
            Next::Use(_) | Next::Fetch(_) => None,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held<T, E>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone, E: Clone> Held<T, E> {
    fn next(&self, suits: impl Fn(&T) -> bool, now: Timestamp) -> Next<T, E> {
        let usable = self.lease.as_ref().filter(|lease| now < lease.expires_at);
        if let Some(lease) = usable
            && now < lease.renew_at
            && (suits(&lease.value) || now < lease.refetch_at)
        {
            return Next::Use(lease.value.clone());
        }
        let old = usable.map(|lease| lease.value.clone());
        let failed = self.failure.as_ref().filter(|failed| {
            now < failed.not_before && elapsed(now, failed.at) <= MAX_IGNORED_STEP_BACK
        });
        match (failed, old) {
            (Some(_), Some(old)) if suits(&old) => Next::Use(old),
            (Some(failed), _) => Next::Fail(failed.unavailable()),
            (None, old) => Next::Fetch(old),
        }
    }

    /// Keeps what a fetch brought, and returns what its caller gets.
    fn settle(
        &mut self,
        fetched: Result<Lease<T>, Failure<E>>,
        suits: impl Fn(&T) -> bool,
        now: Timestamp,
    ) -> Result<T, Unavailable<E>> {
        let Failure { error, retry_after } = match fetched {
            Ok(lease) => {
                let value = lease.value.clone();
                self.lease = Some(lease);
                self.failure = None;
                self.failures = 0;
                return Ok(value);
            }
            Err(failure) => failure,
        };
        let doubled = FIRST_PAUSE * 2_u32.pow(self.failures.min(8));
        let pause = match retry_after {
            Some(pause) => pause.clamp(FIRST_PAUSE, MAX_RETRY_AFTER),
            None => doubled.min(MAX_PAUSE),
        };
        self.failures = self.failures.saturating_add(1);
        let failed = Failed {
            error,
            at: now,
            not_before: later(now, pause),
        };
        let unavailable = failed.unavailable();
        self.failure = Some(failed);
        let usable = self.lease.as_ref().filter(|lease| now < lease.expires_at);
        let old = usable.map(|lease| lease.value.clone());
        old.filter(suits).ok_or(unavailable)
    }
}

impl<E: Clone> Failed<E> {
    fn unavailable(&self) -> Unavailable<E> {
        Unavailable {
            error: Some(self.error.clone()),
            not_before: self.not_before,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

    use tokio::time::{Instant, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct World {
        second: Arc<AtomicI64>,
        clock: Clock,
        fetches: AtomicU32,
        cached: Cached<u32, &'static str>,
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn world() -> World {
        let second = Arc::new(AtomicI64::new(1000));
        let now = Arc::clone(&second);
        World {
            second,
            clock: Arc::new(move || at(now.load(SeqCst))),
            fetches: AtomicU32::new(0),
            cached: Cached::new(PATIENCE),
        }
    }

    impl World {
        fn set(&self, second: i64) {
            self.second.store(second, SeqCst);
        }

        async fn get(
            &self,
            answer: Result<u32, Option<u64>>,
        ) -> Result<u32, Unavailable<&'static str>> {
            let fetch = async || {
                self.fetches.fetch_add(1, SeqCst);
                sleep(Duration::from_secs(9)).await;
                let now = (self.clock)();
                match answer {
                    Ok(value) => Ok(Lease {
                        value,
                        renew_at: later(now, Duration::from_secs(100)),
                        expires_at: later(now, Duration::from_secs(200)),
                        refetch_at: now,
                    }),
                    Err(seconds) => Err(Failure {
                        error: "down",
                        retry_after: seconds.map(Duration::from_secs),
                    }),
                }
            };
            self.cached.get(&self.clock, |_| true, fetch).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_wait_share_one_fetch_and_its_failure() {
        for (answer, shared) in [
            (Ok(7), Ok(7)),
            (
                Err(Some(120)),
                Err(Unavailable {
                    error: Some("down"),
                    not_before: at(1120),
                }),
            ),
        ] {
            let world = world();
            let begun = Instant::now();
            let calls = (0..64).map(|_| world.get(answer));
            let all = futures_util::future::join_all(calls).await;
            assert!(all.iter().all(|one| *one == shared), "{all:?}");
            assert_eq!(world.fetches.load(SeqCst), 1);
            assert_eq!(begun.elapsed(), Duration::from_secs(9));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_asks_before_the_pause_is_over_and_the_pause_doubles_up_to_a_minute() {
        let world = world();
        let mut now = 1000;
        for pause in [5, 10, 20, 40, 60, 60] {
            let unavailable = world.get(Err(None)).await.unwrap_err();
            assert_eq!(unavailable.not_before, at(now + pause));
            world.set(now + pause - 1);
            assert_eq!(world.get(Ok(1)).await, Err(unavailable));
            now += pause;
            world.set(now);
        }
        assert_eq!(world.fetches.load(SeqCst), 6);
        assert_eq!(world.get(Ok(1)).await, Ok(1));
        world.set(now + 200);
        let unavailable = world.get(Err(None)).await.unwrap_err();
        assert_eq!(unavailable.not_before, at(now + 205));
    }

    #[tokio::test(start_paused = true)]
    async fn value_due_for_renewal_serves_until_it_expires_while_the_peer_is_down() {
        let world = world();
        assert_eq!(world.get(Ok(1)).await, Ok(1));
        world.set(1150);
        let begun = Instant::now();
        let (slow, quick) = futures_util::future::join(world.get(Err(None)), async {
            let quick = world.get(Ok(2)).await;
            (quick, begun.elapsed())
        })
        .await;
        assert_eq!((slow, quick), (Ok(1), (Ok(1), Duration::ZERO)));
        world.set(1200);
        assert!(world.get(Err(None)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn caller_waits_only_so_long_for_the_fetch_of_another() {
        let world = world();
        let never = world.cached.get(&world.clock, |_| true, pending);
        let begun = Instant::now();
        tokio::select! {
            biased;
            _ = never => panic!("a fetch that never ends"),
            waited = world.get(Ok(1)) => assert_eq!(waited.unwrap_err().error, None),
        }
        assert_eq!(begun.elapsed(), PATIENCE);
        // The caller that fetched is gone, so the next one fetches.
        assert_eq!(world.get(Ok(1)).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_back_ends_the_pause() {
        let world = world();
        assert!(world.get(Err(Some(3600))).await.is_err());
        world.set(900);
        assert_eq!(world.get(Ok(1)).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_value_is_fetched_anew_unless_another_has_replaced_it() {
        let world = world();
        assert_eq!(world.get(Ok(1)).await, Ok(1));
        world.cached.forget(|value| *value == 2);
        assert_eq!(world.get(Ok(3)).await, Ok(1));
        world.cached.forget(|value| *value == 1);
        assert_eq!(world.get(Ok(3)).await, Ok(3));
    }
}
