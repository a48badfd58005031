//! What is known of how long jobs of one kind take, as a record keeps it from the start of its own job.
//!
//! It is a small histogram of past durations. `lifecycle::forecast` makes it, and computes the next look from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::Unknown;

/// Number of buckets in which a duration doubles.
pub(crate) const BUCKETS_PER_DOUBLING: f64 = 4.0;
/// Number of buckets. The first begins at one second, and the last ends after more than a year (2²⁵ s).
pub(crate) const BUCKETS: usize = 100;

/// Digits of a share, from 0 to 61.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The shares of all jobs that took about so long. As JSON it has at most 150 bytes.
///
/// One that cannot be read counts as none: the looks are then paced by the operation's age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The number of the first bucket that has a share.
    pub from: usize,
    /// The share of each bucket from there on, as a digit of base 62; the largest share is 61.
    pub shares: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Forecast {
    /// Rounds the shares of all buckets, in any unit, to digits. Returns `None` if no share is above zero.
    pub(crate) fn new(shares: &[f64; BUCKETS]) -> Option<Self> {
        let largest = shares.iter().copied().fold(0.0, f64::max);
        if largest <= 0.0 {
            return None;
        }
        let scale = (DIGITS.len() - 1) as f64 / largest;
        let digit = |share: &f64| DIGITS[((share * scale).round() as usize).min(DIGITS.len() - 1)];
        let digits: Vec<u8> = shares.iter().map(digit).collect();
        let from = digits.iter().position(|digit| *digit != DIGITS[0])?;
        let last = digits.iter().rposition(|digit| *digit != DIGITS[0])?;
        Some(Self {
            from,
            shares: digits[from..=last]
                .iter()
                .copied()
                .map(char::from)
                .collect(),
            unknown: Unknown::new(),
        })
    }

    /// Returns the share of each bucket; together they are 1.
    pub(crate) fn shares(&self) -> Option<[f64; BUCKETS]> {
        let mut shares = [0.0; BUCKETS];
        for (place, digit) in self.shares.bytes().enumerate() {
            let value = DIGITS.iter().position(|known| *known == digit)?;
            *shares.get_mut(self.from.checked_add(place)?)? = value as f64;
        }
        let sum: f64 = shares.iter().sum();
        (sum > 0.0).then(|| shares.map(|share| share / sum))
    }

    /// Returns the duration after which this `part` of the jobs had ended.
    pub(crate) fn ended_after(&self, part: f64) -> Option<Duration> {
        let mut ended = 0.0;
        for (bucket, share) in self.shares()?.into_iter().enumerate() {
            if share > 0.0 && ended + share >= part {
                let inside = ((part - ended) / share).clamp(0.0, 1.0);
                return Some(Duration::from_secs_f64(edge(bucket as f64 + inside)));
            }
            ended += share;
        }
        None
    }
}

/// Returns the duration in seconds at which a bucket begins; between two whole numbers lies a part of a bucket.
pub(crate) fn edge(bucket: f64) -> f64 {
    (bucket / BUCKETS_PER_DOUBLING).exp2()
}

/// Returns the bucket of a duration in seconds.
pub(crate) fn bucket(seconds: f64) -> usize {
    let number = seconds.max(1.0).log2() * BUCKETS_PER_DOUBLING;
    (number as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn forecast(from: usize, shares: &str) -> Forecast {
        serde_json::from_value(json!({ "from": from, "shares": shares })).unwrap()
    }

    #[test]
    fn a_duration_falls_between_the_edges_of_its_bucket() {
        for seconds in [1.0, 1.1, 2.0, 59.9, 3600.0, 86_400.0, 604_800.0] {
            let bucket = bucket(seconds) as f64;
            assert!(edge(bucket) <= seconds, "{seconds}");
            assert!(seconds < edge(bucket + 1.0), "{seconds}");
        }
        assert_eq!((bucket(0.0), bucket(1e12)), (0, BUCKETS - 1));
    }

    #[test]
    fn shares_are_kept_to_a_sixtieth_of_the_largest_in_few_bytes() {
        let mut shares = [0.0; BUCKETS];
        (shares[40], shares[41], shares[43], shares[99]) = (6.1, 3.0, 0.3, 0.01);
        let kept = Forecast::new(&shares).unwrap();
        assert_eq!((kept.from, kept.shares.as_str()), (40, "zU03"));
        let read = kept.shares().unwrap();
        assert!((read.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((read[41] / read[40] - 30.0 / 61.0).abs() < 1e-9);
        assert_eq!(Forecast::new(&[0.0; BUCKETS]), None);
        let longest = Forecast::new(&[1.0; BUCKETS]).unwrap();
        assert!(serde_json::to_string(&longest).unwrap().len() <= 150);
    }

    #[test]
    fn what_cannot_be_read_is_no_forecast() {
        for (from, shares) in [
            (0, ""),
            (0, "000"),
            (0, "1-1"),
            (0, "1é"),
            (99, "11"),
            (usize::MAX, "11"),
        ] {
            let unreadable = forecast(from, shares);
            assert_eq!(unreadable.shares(), None, "{shares:?}");
            assert_eq!(unreadable.ended_after(0.5), None, "{shares:?}");
        }
    }

    #[test]
    fn a_part_of_the_jobs_has_ended_at_its_place_between_two_edges() {
        // All jobs took from 1024 s to 2048 s.
        let even = forecast(40, "zzzz");
        for (part, seconds) in [(0.0, 1024.0), (0.5, 1448.2), (1.0, 2048.0)] {
            let told = even.ended_after(part).unwrap().as_secs_f64();
            assert!((told - seconds).abs() < 0.1, "{told} for {part}");
        }
    }
}
