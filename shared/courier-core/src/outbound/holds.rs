//! Endpoints that have asked us, by `Retry-After`, to send nothing for a while: nobody calls them before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time::{elapsed, later};

/// Longest time for which an endpoint is held, whatever it asks for.
const MAX_HOLD: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of endpoints that are remembered; the holds that are over make room first.
const MAX_ENDPOINTS: usize = 10_000;

/// The endpoints that are held at present, by a name that the caller chooses.
#[derive(Default)]
pub(crate) struct Holds(Mutex<HashMap<String, Hold>>);

#[derive(Clone, Copy)]
struct Hold {
    since: Timestamp,
    until: Timestamp,
}

impl Hold {
    /// A hold that began in the future belongs to a clock that has been set back since, and means nothing.
    fn binds(self, now: Timestamp) -> bool {
        now < self.until && elapsed(now, self.since) <= Duration::from_secs(2)
    }
}

impl Holds {
    /// Returns how long nothing may be sent to this endpoint; `None` if it may be called.
    pub(crate) fn left(&self, endpoint: &str, now: Timestamp) -> Option<Duration> {
        let hold = self.all().get(endpoint).copied()?;
        hold.binds(now).then(|| elapsed(now, hold.until))
    }

    /// Holds the endpoint for the pause that it has asked for, unless it is held longer already.
    pub(crate) fn hold(&self, endpoint: &str, retry_after: Duration, now: Timestamp) {
        let until = later(now, retry_after.min(MAX_HOLD));
        let mut all = self.all();
        if all.len() >= MAX_ENDPOINTS {
            all.retain(|_, hold| hold.binds(now));
        }
        let held = all.get(endpoint).filter(|hold| hold.binds(now));
        if held.is_none_or(|hold| hold.until < until) && all.len() < MAX_ENDPOINTS {
            all.insert(endpoint.to_owned(), Hold { since: now, until });
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn endpoint_is_held_for_the_longest_pause_it_has_asked_for() {
        let holds = Holds::default();
        let seconds = Duration::from_secs;
        holds.hold("a", seconds(120), at(0));
        holds.hold("a", seconds(10), at(1));
        assert_eq!(holds.left("a", at(20)), Some(seconds(100)));
        assert_eq!(holds.left("b", at(20)), None);
        assert_eq!(holds.left("a", at(120)), None);
        holds.hold("a", seconds(30 * 86_400), at(200));
        assert_eq!(holds.left("a", at(200)), Some(MAX_HOLD));
    }

    #[test]
    fn clock_set_back_ends_a_hold() {
        let holds = Holds::default();
        holds.hold("a", Duration::from_secs(120), at(0));
        assert_eq!(holds.left("a", at(-3600)), None);
    }
}
