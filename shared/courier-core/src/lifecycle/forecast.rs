//! The learned timetable: how long jobs of one kind took, and when the next look at a running one is worth its call.
//!
//! Looks lie densest where most of the jobs that still run are about to end. In a small step of an age's logarithm, let
//! `share` be the part of all jobs that ended in it, and `running` the part that had not ended before. Looks that cost
//! [`LOOK_COST`] of a duration each cause the least cost and lag together if `sqrt(share / (2 × LOOK_COST × running))` of
//! them lie in that step. The next look is where this sum, from the present look on, is one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::Forecast;
use crate::operation::forecast::{BUCKETS, BUCKETS_PER_DOUBLING, bucket, edge};

/// Part of a duration by which the end has to be noticed earlier for one more look to be worth it.
const LOOK_COST: f64 = 1.0 / 600.0;
/// Longest pause while jobs may end that ended early before, as a part of the operation's age.
const LONGEST_OF_AGE: f64 = 0.5;
/// Part of the jobs that counts as the early ones.
const EARLY: f64 = 0.1;
/// Longest pause of a young operation, as a part of the duration after which the early jobs had ended.
const LONGEST_OF_EARLY: f64 = 1.0 / 32.0;
/// Shortest pause, as a part of the operation's age.
const SHORTEST_OF_AGE: f64 = 0.01;
/// Pause after the longest known duration, as a part of the operation's age: as without a forecast.
const LATE_OF_AGE: f64 = 0.1;

/// Returns our own pause until the next look at an operation of this age, or `None` if the forecast cannot be read.
///
/// The later the look that the pause follows, the later is the next one. A wrong forecast costs little: a pause is at most
/// half of the age (or, for a young operation, 1/32 of the duration of jobs that ended early), and once the operation is
/// older than all jobs of the forecast it is a tenth of the age.
pub fn pause(forecast: &Forecast, age: Duration) -> Option<Duration> {
    let shares = forecast.shares()?;
    let early = forecast.ended_after(EARLY)?.as_secs_f64();
    let age = age.as_secs_f64();
    let longest = (age * LONGEST_OF_AGE).max(early * LONGEST_OF_EARLY);
    let next = next_look(&shares, age.max(1.0), age + longest);
    let pause = (next - age).clamp(age * SHORTEST_OF_AGE, longest);
    Some(Duration::from_secs_f64(pause))
}

/// Returns the age in seconds at which the next look after the one at `age` is worth its call, `latest` at most.
fn next_look(shares: &[f64; BUCKETS], age: f64, latest: f64) -> f64 {
    let first = bucket(age);
    let mut running: f64 = shares[first..].iter().sum();
    let (mut age, mut missing) = (age, 1.0);
    for (place, share) in shares.iter().enumerate().skip(first) {
        let end = edge(place as f64 + 1.0);
        let looks = looks_per_step(*share, running);
        let within = looks * (end / age).max(1.0).ln();
        if within >= missing {
            return age * (missing / looks).exp();
        }
        if end >= latest {
            return latest;
        }
        missing -= within;
        running -= share;
        age = age.max(end);
    }
    age * (1.0 + LATE_OF_AGE).powf(missing)
}

/// Returns how many looks are worth their calls while the age grows by the factor *e*.
fn looks_per_step(share: f64, running: f64) -> f64 {
    // Digits of shares are no smaller than this, so that here no job is left.
    if running < 1e-9 {
        return 1.0 / (1.0 + LATE_OF_AGE).ln();
    }
    let bucket_width = std::f64::consts::LN_2 / BUCKETS_PER_DOUBLING;
    let share_of_running = share / (running - share / 2.0);
    (share_of_running / bucket_width / (2.0 * LOOK_COST)).sqrt()
}

/// Version of the stored form. One that does not have it is neither read nor replaced.
const VERSION: u32 = 1;
/// What is left of a sample's weight after the next sample: the newest 22 samples weigh as much as all before them.
const KEPT_WEIGHT: f64 = 31.0 / 32.0;
/// Least number of samples from which there is a forecast.
const MIN_SAMPLES: u64 = 8;
/// Weight below which a bucket is left out of the stored form.
const MIN_WEIGHT: f64 = 0.001;
/// How a sample is spread over its bucket and the two on each side, as few samples say little about single buckets.
const SPREAD: [f64; 5] = [0.1, 0.2, 0.4, 0.2, 0.1];

/// Durations of jobs of one kind that have ended, counted in buckets; the older a sample, the less it counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    version: u32,
    /// Number of all samples so far.
    samples: u64,
    /// The weight of each bucket that has one.
    weights: BTreeMap<usize, f64>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            version: VERSION,
            samples: 0,
            weights: BTreeMap::new(),
        }
    }
}

impl Sketch {
    /// Reads the stored form; `None` if it is damaged, or if another version wrote it.
    pub fn parse(body: &str) -> Option<Self> {
        let sketch: Self = serde_json::from_str(body).ok()?;
        let is_weight = |(bucket, weight): (&usize, &f64)| *bucket < BUCKETS && *weight >= 0.0;
        (sketch.version == VERSION && sketch.weights.iter().all(is_weight)).then_some(sketch)
    }

    /// Adds the duration of a job that has ended.
    pub fn add(&mut self, duration: Duration) {
        self.samples = self.samples.saturating_add(1);
        for weight in self.weights.values_mut() {
            *weight *= KEPT_WEIGHT;
        }
        self.weights.retain(|_, weight| *weight >= MIN_WEIGHT);
        let bucket = bucket(duration.as_secs_f64());
        *self.weights.entry(bucket).or_default() += 1.0;
    }

    /// Returns the forecast for a job that starts now; `None` while there are too few samples.
    pub fn forecast(&self) -> Option<Forecast> {
        if self.samples < MIN_SAMPLES {
            return None;
        }
        let mut shares = [0.0; BUCKETS];
        for (bucket, weight) in &self.weights {
            for (place, part) in SPREAD.iter().enumerate() {
                let place = (bucket + place).saturating_sub(SPREAD.len() / 2);
                shares[place.min(BUCKETS - 1)] += weight * part;
            }
        }
        Forecast::new(&shares)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn sketch(durations: impl IntoIterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        durations
            .into_iter()
            .for_each(|one| sketch.add(seconds(one)));
        sketch
    }

    #[test]
    fn there_is_no_forecast_from_fewer_than_eight_samples() {
        assert_eq!(sketch(std::iter::repeat_n(3600, 7)).forecast(), None);
        assert!(sketch(std::iter::repeat_n(3600, 8)).forecast().is_some());
    }

    #[test]
    fn looks_are_rare_before_jobs_end_dense_where_they_do_and_a_tenth_of_the_age_after() {
        let forecast = sketch(std::iter::repeat_n(86_400, 20)).forecast().unwrap();
        let pause = |age| pause(&forecast, seconds(age)).unwrap().as_secs_f64() / age as f64;
        assert_eq!(pause(20_000), 0.5);
        assert!((0.01..0.05).contains(&pause(86_400)), "{}", pause(86_400));
        assert!((pause(300_000) - 0.1).abs() < 1e-6, "{}", pause(300_000));
    }

    #[test]
    fn new_durations_outweigh_old_ones_after_some_twenty_samples() {
        let half = |sketch: &Sketch| sketch.forecast().unwrap().ended_after(0.5).unwrap();
        let old = sketch(std::iter::repeat_n(86_400, 500));
        assert!(half(&old) > seconds(60_000));
        let mut mixed = old.clone();
        (0..18).for_each(|_| mixed.add(seconds(600)));
        assert!(half(&mixed) > seconds(60_000));
        (0..8).for_each(|_| mixed.add(seconds(600)));
        assert!(half(&mixed) < seconds(1000));
        (0..400).for_each(|_| mixed.add(seconds(600)));
        assert_eq!(mixed.weights.len(), 1, "{mixed:?}");
    }

    #[test]
    fn stored_form_is_read_again_and_no_other_is() {
        let known = sketch([60, 3600, 86_400, 86_400, 1_000_000_000]);
        let body = serde_json::to_string(&known).unwrap();
        assert_eq!(Sketch::parse(&body), Some(known));
        assert!(!body.contains("e-"), "{body}");
        for other in [
            "",
            "{}",
            "[]",
            &body[1..],
            &body.replace("\"version\":1", "\"version\":2"),
            r#"{"version":1,"samples":9,"weights":{"100":1.0}}"#,
            r#"{"version":1,"samples":9,"weights":{"5":-1.0}}"#,
            r#"{"version":1,"samples":9,"weights":{"a":1.0}}"#,
        ] {
            assert_eq!(Sketch::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_wrong_forecast_costs_little_at_any_age(
            durations in prop::collection::vec(1_u64..3_000_000, 8..80),
            age in 0_u64..10_000_000,
        ) {
            let forecast = sketch(durations).forecast().unwrap();
            let early = forecast.ended_after(EARLY).unwrap();
            let pause = pause(&forecast, seconds(age)).unwrap();
            let longest = (seconds(age) / 2).max(early / 32);
            prop_assert!(pause <= longest + Duration::from_micros(1));
            prop_assert!(pause >= seconds(age) / 101);
        }

        #[test]
        fn a_later_look_is_never_followed_by_an_earlier_one(
            durations in prop::collection::vec(1_u64..3_000_000, 8..80),
            (age, more) in (0_u64..10_000_000, 1_u64..100_000),
        ) {
            let forecast = sketch(durations).forecast().unwrap();
            let next = |age| seconds(age) + pause(&forecast, seconds(age)).unwrap();
            prop_assert!(next(age) <= next(age + more) + Duration::from_micros(1));
        }
    }
}
