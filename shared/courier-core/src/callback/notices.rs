//! Which lines go to the log: at most one a minute of a kind about a receiver, with the number of those left out.
//!
//! A receiver that fails a thousand times an hour would otherwise hide the one line that matters.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time::elapsed;

/// Least time between two lines of a kind about a receiver.
const PAUSE: Duration = Duration::from_secs(60);

/// The last line of each kind about each receiver or tenant, of which there are as many as the configuration names.
#[derive(Default)]
pub(crate) struct Notices(Mutex<HashMap<(&'static str, String), Last>>);

struct Last {
    at: Timestamp,
    left_out: u64,
}

impl Notices {
    /// Returns the number of lines left out since the last one if a line may be written now, and counts it otherwise.
    pub(crate) fn take(&self, kind: &'static str, whom: &str, now: Timestamp) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, whom.to_owned());
        let left_out = match lines.get_mut(&key) {
            // A clock that was set back ends the pause.
            Some(last) if last.at <= now && elapsed(last.at, now) < PAUSE => {
                last.left_out += 1;
                return None;
            }
            Some(last) => last.left_out,
            None => 0,
        };
        lines.insert(
            key,
            Last {
                at: now,
                left_out: 0,
            },
        );
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_is_written_and_says_how_many_were_left_out() {
        let notices = Notices::default();
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        assert_eq!(notices.take("failed", "a", at(0)), Some(0));
        for second in 1..60 {
            assert_eq!(notices.take("failed", "a", at(second)), None);
        }
        assert_eq!(notices.take("failed", "b", at(1)), Some(0));
        assert_eq!(notices.take("paused", "a", at(1)), Some(0));
        assert_eq!(notices.take("failed", "a", at(60)), Some(59));
        assert_eq!(notices.take("failed", "a", at(120)), Some(0));
        assert_eq!(notices.take("failed", "a", at(-7200)), Some(0));
    }
}
