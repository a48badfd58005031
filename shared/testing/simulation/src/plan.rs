//! The choices of a seed before anything runs: how many operations, which faults and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use graph_simulator::{Action, Durations, Fault};

use crate::random::Random;

/// The way in which a host takes part: as one program that lives on, or as functions that are ended by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Machine,
    Functions,
}

/// What is asked for, by its short name and its name in the catalogue.
pub(crate) const KINDS: [(&str, &str); 7] = [
    ("export", "user.exportPersonalData"),
    ("goals", "goals.exportJob"),
    ("schedule", "team.schedule"),
    // Looked for after a lost answer, and never sent twice.
    ("wipe", "device.wipe"),
    // Accepted without a word, so always looked for.
    ("workflow", "lifecycle.runWorkflow"),
    // Looked for, and sent again if it is not there.
    ("ediscovery", "ediscovery.exportResult"),
    // Refused when it is too early or there already, and followed until it can be seen.
    ("team", "team.fromGroup"),
];

/// Seconds after which Graph's lists show every job.
pub(crate) const LONGEST_LAG: u64 = 100;

/// Chances are per call, from 0 to 1; all are 0 once the faults stop.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub operations: u64,
    /// The short name of one kind, each for something else; all of them otherwise.
    pub operation: Option<&'static str>,
    pub host: Host,
    /// Faults stop so long after the beginning.
    pub faults_for: Duration,
    /// Callers look at their operations afterwards, cancel some and want some completions again.
    pub curious: bool,
    /// Requests come within this time.
    pub arrivals: Duration,
    /// A call takes up to three seconds instead of milliseconds, also when the faults have stopped.
    pub slow: f64,
    /// A peer answers only after nine tenths of its time limit, also when the faults have stopped.
    pub slow_peers: f64,
    pub kill: f64,
    /// A process stands still for up to twenty minutes and goes on as if nothing had been.
    pub freeze: f64,
    /// It does so at calls of this name only.
    pub freeze_at: Option<&'static str>,
    /// Clocks of processes are off by up to ten minutes, and jump.
    pub skewed: bool,
    pub store_refuses: f64,
    /// The write is applied, and the answer says that it is not known.
    pub store_ambiguous: f64,
    /// An index misses a record.
    pub index_stale: f64,
    pub send_refused: f64,
    pub send_ambiguous: f64,
    pub message_lost: f64,
    pub message_doubled: f64,
    pub message_resurrected: f64,
    pub not_connected: f64,
    pub cut_before: f64,
    pub cut_after: f64,
    /// Receives after which a message goes to the dead-letter queue.
    pub most_receives: u32,
    pub batch: u64,
    /// The chance of callbacks that are not taken.
    pub receiver_fails: f64,
    /// Callbacks that come earlier are answered 503, whatever the receiver's manners.
    pub receivers_down_for: Duration,
    /// The end of each operation is announced, to a target that is as moody as receivers are.
    pub announces: bool,
    pub graph_faults: Vec<Fault>,
    /// For a while Graph answers every poll 429.
    pub storm: Option<Storm>,
    pub durations: Durations,
    /// How the jobs of the catalogue's operations depart from the ordinary case, by the operation's name.
    pub variants: BTreeMap<String, String>,
    /// Messages in flight at which the queue would hand out no more, for functions that keep below it. So few that long
    /// waits are shelved.
    pub in_flight_limit: Option<u64>,
    /// Breaks the world or the program on purpose, to see that the checks see it.
    pub sabotage: Option<Sabotage>,
}

/// Graph throttles.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// After the beginning.
    pub from: Duration,
    pub until: Duration,
    /// The value of `Retry-After`: a number of seconds, or the date on which the storm ends.
    pub retry_after: Option<u32>,
}

/// The part that a test breaks to prove that the checks can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The store takes every write, whatever its revision.
    Unguarded,
    /// Nobody sweeps.
    NoSweeper,
    /// A start whose answer is lost is sent again by the transport.
    HiddenRetry,
    /// A message is deleted before its step, and nobody sweeps.
    DeletedFirst,
    /// Graph's lists of jobs are empty.
    EmptyList,
}

impl Plan {
    /// The plan of a seed: every eighth is calm, the others have some of the faults each.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let calm = random.chance(0.125);
        let some = |random: &mut Random, most: f64| {
            let on = random.chance(0.5) && !calm;
            let share = random.within(1..100) as f64 / 100.0;
            if on { most * share } else { 0.0 }
        };
        let operations = if random.chance(0.05) {
            random.within(60..200)
        } else {
            random.within(20..45)
        };
        Self {
            seed,
            operations,
            operation: None,
            curious: true,
            host: *random.pick(&[Host::Machine, Host::Functions]),
            faults_for: Duration::from_secs(random.within(600..6 * 3600)),
            arrivals: Duration::from_secs(random.within(60..3600)),
            slow: 0.01,
            slow_peers: if random.chance(0.1) {
                random.within(1..100) as f64 / 100.0
            } else {
                0.0
            },
            kill: some(&mut random, 0.03),
            freeze: some(&mut random, 0.01),
            skewed: random.chance(0.3) && !calm,
            freeze_at: None,
            receivers_down_for: Duration::ZERO,
            storm: None,
            store_refuses: some(&mut random, 0.2),
            store_ambiguous: some(&mut random, 0.1),
            index_stale: some(&mut random, 0.5),
            send_refused: some(&mut random, 0.2),
            send_ambiguous: some(&mut random, 0.1),
            message_lost: some(&mut random, 0.1),
            message_doubled: some(&mut random, 0.2),
            message_resurrected: some(&mut random, 0.2),
            not_connected: some(&mut random, 0.2),
            cut_before: some(&mut random, 0.1),
            cut_after: some(&mut random, 0.1),
            most_receives: *random.pick(&[1000, 1000, 1000, 20]),
            batch: random.within(1..11),
            receiver_fails: some(&mut random, 0.6),
            announces: Random::new(seed ^ 0xe7e7).chance(0.5),
            graph_faults: if calm {
                Vec::new()
            } else {
                graph_faults(&mut random)
            },
            durations: Durations {
                export_seconds: random.within(1..3 * 86_400) as f64,
                goals_seconds: random.within(1..3600) as f64,
                schedule_seconds: random.within(0..300) as f64,
                ..Durations::default()
            },
            in_flight_limit: random.chance(0.3).then(|| random.within(1..40)),
            variants: variants(seed, calm),
            sabotage: None,
        }
    }

    /// Nothing goes wrong but what a test adds: functions, everything asked for within `arrivals`.
    pub fn calm(operations: u64, arrivals: Duration) -> Self {
        let calm = (0..).map(Self::of).find(Self::is_calm);
        let calm = calm.unwrap_or_else(|| Self::of(0));
        Self {
            operations,
            arrivals,
            host: Host::Functions,
            batch: 10,
            most_receives: 1000,
            in_flight_limit: None,
            announces: false,
            ..calm
        }
    }

    /// Nothing goes wrong by this plan.
    pub(crate) fn is_calm(&self) -> bool {
        let chances = [
            self.kill,
            self.freeze,
            self.store_refuses,
            self.store_ambiguous,
            self.index_stale,
            self.send_refused,
            self.send_ambiguous,
            self.message_lost,
            self.message_doubled,
            self.message_resurrected,
            self.not_connected,
            self.cut_before,
            self.cut_after,
            self.receiver_fails,
        ];
        let none = chances.iter().all(|chance| *chance == 0.0);
        let there = self.storm.is_none() && self.receivers_down_for.is_zero();
        none && there && !self.skewed && self.graph_faults.is_empty()
    }
}

/// Graph names no job, lists it late, or finds that a team comes too early: no faults.
fn variants(seed: u64, calm: bool) -> BTreeMap<String, String> {
    let mut random = Random::new(seed ^ 0x100c);
    let lag = random.within(1..LONGEST_LAG);
    let all = [
        ("ediscovery.exportResult", "no-location".to_owned()),
        ("ediscovery.exportResult", format!("no-location+lag={lag}")),
        ("lifecycle.runWorkflow", format!("lag={lag}")),
        ("team.fromGroup", "early".to_owned()),
    ];
    let chosen = all.into_iter().filter(|_| random.chance(0.5) && !calm);
    chosen
        .map(|(operation, variant)| (operation.to_owned(), variant))
        .collect()
}

/// Faults of the Graph simulator and of its token endpoint, each of its kinds.
fn graph_faults(random: &mut Random) -> Vec<Fault> {
    let calls = [
        "export.start",
        "goals.start",
        "schedule.start",
        "export.poll",
        "goals.poll",
        "schedule.poll",
        "*.start",
        "*.poll",
        "*.then",
        "token",
        "*",
    ];
    let count = random.within(0..12);
    (0..count)
        .map(|_| {
            let on = *random.pick(&calls);
            let action = action(random, on);
            Fault::new(on, action)
                .skip(random.within(0..20) as u32)
                .times(random.within(1..12) as u32)
        })
        .collect()
}

fn action(random: &mut Random, on: &str) -> Action {
    let statuses = [
        400, 401, 403, 404, 408, 409, 410, 423, 429, 500, 502, 503, 504,
    ];
    let waits = [None, Some("1"), Some("17"), Some("600"), Some("soon")];
    let text = |text: &str| Some(text.to_owned());
    match random.within(0..16) {
        0 => Action::LostBefore,
        1 => Action::LostAfter,
        2 => Action::ResetBefore,
        3 => Action::ResetAfter,
        4 => Action::Hang {
            processed: random.chance(0.5),
        },
        5 => Action::Delay {
            ms: random.within(100..20_000),
        },
        6 => Action::Drip {
            ms_per_byte: random.within(1..200),
        },
        7 => Action::HalfBody,
        8 if on.ends_with("start") => Action::Location {
            value: text("https://evil.example/{path}"),
            twice: random.chance(0.5),
        },
        8 => Action::Word {
            value: "paused".to_owned(),
        },
        9 => Action::Redirect {
            status: 302,
            location: "https://evil.example{path}".to_owned(),
        },
        10 => Action::RetryAfter {
            value: random.pick(&waits).map(str::to_owned),
        },
        11 => Action::BigBody { bytes: 300 * 1024 },
        12 | 13 => Action::throttled(*random.pick(&[429, 503]), random.pick(&waits).as_deref()),
        _ => Action::status_only(*random.pick(&statuses)),
    }
}
