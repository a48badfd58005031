//! Graph's documented limits, which several operations may share: so many requests in so many seconds.

use std::collections::{HashMap, VecDeque};

use http::StatusCode;
use http::header::RETRY_AFTER;
use jiff::Timestamp;

use super::simulation::Limit;
use crate::answer::Failure;

/// The times of the latest requests below each limit.
#[derive(Default)]
pub(super) struct Limits {
    spent: HashMap<String, VecDeque<Timestamp>>,
}

impl Limits {
    /// Counts a request, and refuses it if there were too many; refused ones count as well.
    pub(super) fn count(&mut self, limit: &Limit, now: Timestamp) -> Result<(), Failure> {
        let spent = self.spent.entry(limit.name.clone()).or_default();
        let age = |at: &Timestamp| now.duration_since(*at).as_secs_f64();
        while spent.front().is_some_and(|at| age(at) >= limit.seconds) {
            spent.pop_front();
        }
        spent.push_back(now);
        let excess = spent.len().saturating_sub(limit.requests);
        let Some(at) = excess.checked_sub(1).and_then(|index| spent.get(index)) else {
            return Ok(());
        };
        // Then one more has room.
        let wait = (limit.seconds - age(at)).ceil();
        let refused = Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Please retry again later.",
        );
        Err(refused.inner("429").header(RETRY_AFTER, wait.to_string()))
    }
}
