//! How many looks the learned timetable needs, and how late they see an end, beside looks at every tenth of the age.
//!
//! Only the rule is simulated, by the real `next_poll_at` and `Sketch`: one operation after the other, and the durations
//! that are learned are those at which a look saw the end.

use std::fmt;
use std::time::Duration;

use courier_core::catalogue::Operation;
use courier_core::lifecycle::forecast::Sketch;
use courier_core::lifecycle::schedule::next_poll_at;
use courier_core::operation::{OperationId, Record};
use courier_core::time::{elapsed, later};
use courier_testkit::sample::{at, running, sample_record};

use crate::random::Random;

const EXPORT: &str = include_str!("../../../courier-core/catalogue/user.exportPersonalData.toml");
/// Sequences of operations that are simulated for each row, each with its own learned durations.
const SEQUENCES: u64 = 20;

/// Durations of jobs, in seconds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Logarithms are normally distributed around the median's, with this deviation.
    Lognormal(f64, f64),
    /// Each as likely as the other.
    Either((f64, f64), (f64, f64)),
    /// The first from operation number 0, the second from operation number 100 on.
    Changing((f64, f64), (f64, f64)),
}

/// A kind of job, and which of a sequence's operations are counted.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub kind: Kind,
    /// Number of the first operation that counts, and of the first after it that does not.
    pub counted: (u64, u64),
    /// The catalogue's longest pause applies: six hours for an export.
    pub capped: bool,
}

/// Looks for each operation, and by how much they saw the end too late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub looks: f64,
    /// The sum of all lags as a part of the sum of all durations.
    pub lag: f64,
    /// The mean of each lag as a part of its duration.
    pub relative_lag: f64,
}

/// The figures of a case, with the learned timetable and with looks at every tenth of the age.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub case: Case,
    pub learned: Figures,
    pub tenth: Figures,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
/// Operations that are counted once the timetable knows its kind well, and while it has few samples.
const KNOWN: (u64, u64) = (100, 200);
const NEW: (u64, u64) = (8, 20);
const COLD: (u64, u64) = (0, 8);

/// Returns all cases of the table.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, median, deviation) in [
        ("5 min, 0.5", 5.0 * MINUTE, 0.5),
        ("5 min, 1.0", 5.0 * MINUTE, 1.0),
        ("1 h, 0.2", HOUR, 0.2),
        ("1 h, 0.5", HOUR, 0.5),
        ("1 h, 1.0", HOUR, 1.0),
        ("24 h, 0.2", DAY, 0.2),
        ("24 h, 0.5", DAY, 0.5),
        ("24 h, 1.0", DAY, 1.0),
        ("7 d, 0.5", 7.0 * DAY, 0.5),
        ("7 d, 1.0", 7.0 * DAY, 1.0),
    ] {
        let kind = Kind::Lognormal(median, deviation);
        for counted in [KNOWN, NEW, COLD] {
            for capped in [true, false] {
                if capped || median > DAY && counted == KNOWN {
                    cases.push(Case {
                        name,
                        kind,
                        counted,
                        capped,
                    });
                }
            }
        }
    }
    let mut other = |name, kind, counted| {
        cases.push(Case {
            name,
            kind,
            counted,
            capped: true,
        });
    };
    let (short, hour, day) = ((5.0 * MINUTE, 0.5), (HOUR, 0.5), (DAY, 0.5));
    let mixed = Kind::Either((10.0 * MINUTE, 0.3), day);
    other("10 min or 24 h", mixed, KNOWN);
    for (name, kind) in [
        ("1 h, then 24 h", Kind::Changing(hour, day)),
        ("24 h, then 1 h", Kind::Changing(day, hour)),
        ("24 h, then 5 min", Kind::Changing(day, short)),
    ] {
        for counted in [(100, 110), (110, 140), (140, 200)] {
            other(name, kind, counted);
        }
    }
    cases
}

/// Simulates a case; the same case has the same figures each time.
pub fn simulate(case: Case) -> Row {
    let text = if case.capped {
        EXPORT.to_owned()
    } else {
        EXPORT.replace("max_seconds = 21_600", "max_seconds = 2_592_000")
    };
    let operation = Operation::parse(&text, &[]).unwrap_or_else(|faults| panic!("{faults:?}"));
    let (mut learned, mut tenth) = (Sums::default(), Sums::default());
    for sequence in 0..SEQUENCES {
        let mut random = Random::new(sequence);
        let mut sketch = Sketch::default();
        for number in 0..case.counted.1 {
            let duration = case.kind.duration(number, &mut random);
            let id = OperationId::from_key("timetable", &format!("{sequence}/{number}"));
            let mut record = running(&sample_record(&id), at(60));
            record.deadline = later(at(1), duration * 20);
            let by_age = look(&record, &operation, duration);
            record.forecast = sketch.forecast();
            let by_forecast = look(&record, &operation, duration);
            sketch.add(duration + by_forecast.1);
            if number >= case.counted.0 {
                learned.add(duration, by_forecast);
                tenth.add(duration, by_age);
            }
        }
    }
    Row {
        case,
        learned: learned.figures(),
        tenth: tenth.figures(),
    }
}

/// Returns the number of looks until one comes after the end, and by how much it does.
fn look(record: &Record, operation: &Operation, duration: Duration) -> (u32, Duration) {
    let started_at = record.started_at.unwrap_or(record.created_at);
    let ended_at = later(started_at, duration);
    let (mut now, mut looks) = (started_at, 0);
    while now < ended_at {
        now = next_poll_at(record, &operation.poll, None, now);
        looks += 1;
    }
    (looks, elapsed(ended_at, now))
}

impl Kind {
    fn duration(self, number: u64, random: &mut Random) -> Duration {
        let (median, deviation) = match self {
            Self::Lognormal(median, deviation) => (median, deviation),
            Self::Either(one, _) if random.chance(0.5) => one,
            Self::Either(_, other) => other,
            Self::Changing(first, _) if number < 100 => first,
            Self::Changing(_, second) => second,
        };
        let seconds = median * (deviation * normal(random)).exp();
        Duration::from_secs_f64(seconds.max(1.0))
    }
}

/// Returns a normally distributed number, by the method of Box and Muller.
fn normal(random: &mut Random) -> f64 {
    let mut part = || (random.within(0..1 << 32) as f64 + 0.5) / (1_u64 << 32) as f64;
    let (radius, angle) = (part(), part());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[derive(Default)]
struct Sums {
    operations: f64,
    looks: f64,
    lag: f64,
    relative_lag: f64,
    durations: f64,
}

impl Sums {
    fn add(&mut self, duration: Duration, (looks, lag): (u32, Duration)) {
        self.operations += 1.0;
        self.looks += f64::from(looks);
        self.lag += lag.as_secs_f64();
        self.relative_lag += lag.as_secs_f64() / duration.as_secs_f64();
        self.durations += duration.as_secs_f64();
    }

    fn figures(&self) -> Figures {
        Figures {
            looks: self.looks / self.operations,
            lag: self.lag / self.durations,
            relative_lag: self.relative_lag / self.operations,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.case.counted;
        let cap = if self.case.capped { "6 h" } else { "none" };
        let cell = |figures: &Figures| {
            format!(
                "{:.1} looks, {:.1} %, {:.1} %",
                figures.looks,
                figures.lag * 100.0,
                figures.relative_lag * 100.0
            )
        };
        write!(
            formatter,
            "| {} | {}-{} | {cap} | {} | {} |",
            self.case.name,
            from + 1,
            to,
            cell(&self.learned),
            cell(&self.tenth)
        )
    }
}
