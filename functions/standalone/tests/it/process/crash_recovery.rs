//! The program dies while it recovers from an earlier crash, or from a failure of Graph, Entra or the receiver. The
//! results are in `docs/crash-matrix.md` too.

use courier_testkit::crash_matrix::{self, Death, Fate, Fates};
use courier_testkit::receiver::Answer;
use courier_testkit::tenants::OPERATIONS;
use graph_simulator::{Action, Fault};
use tokio::task::JoinSet;

use crate::process::crash::run_all;
use crate::process::crash_run::{ANSWERED, Scenario, run_scenario};

/// The number of times that the clock has advanced when an operation ends.
const LAST_LIFE: usize = 2;
const SECTION: &str = "One machine, recovering";

/// A failure that precedes the crash, and the crash points at which the program dies then.
struct Failure {
    title: &'static str,
    apply: fn(Scenario) -> Scenario,
    /// Crash points at which the process that got the request dies, if it survived the failure.
    first: &'static [&'static str],
    /// Crash points at which a later process dies.
    later: &'static [&'static str],
    /// The fate without a second crash.
    base: fn(&'static str) -> Fate,
}

const FAILURES: [Failure; 5] = [
    Failure {
        title: "after a death between start and result",
        apply: |scenario| scenario.then(Death::Abort, "start.call.after", 0),
        first: &[],
        later: &[
            "claim.write",
            "start.call",
            "hold.write",
            "result.write",
            "line.leave",
            "poll-message.send",
            "ended.write",
            "callback.call",
            "closed.write",
        ],
        base: |operation| Fate {
            requests: 2,
            ..fate_of_lost_start(operation)
        },
    },
    Failure {
        title: "after a start that Graph has throttled",
        apply: |scenario| scenario.with_fault("start", Action::throttled(429, Some("30"))),
        first: &["again.write"],
        later: &["claim.write", "start.call", "result.write"],
        base: |_| Fate {
            starts: 2,
            ..Fate::usual()
        },
    },
    Failure {
        title: "after a start whose answer was lost on the way",
        apply: |scenario| scenario.with_fault("start", Action::LostAfter),
        first: &["lost.write", "hold.write"],
        later: &["claim.write", "start.call", "result.write", "ended.write"],
        base: fate_of_lost_start,
    },
    Failure {
        title: "after a callback that the receiver has refused",
        apply: |scenario| Scenario {
            receiver: Some(Answer::status(503)),
            ..scenario
        },
        first: &[],
        later: &["callback.call", "attempt.write", "closed.write"],
        base: |_| Fate {
            callbacks: 2,
            ..Fate::usual()
        },
    },
    Failure {
        title: "after Entra has refused the secret",
        apply: |scenario| Scenario {
            fault: Some(Fault::new("token", Action::throttled(401, None))),
            ..scenario
        },
        first: &["postpone.write"],
        later: &[],
        base: |_| Fate::usual(),
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_during_recovery_ends_as_the_crash_matrix_says() {
    crash_matrix::document(SECTION, &run_matrix().await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document(SECTION, &run_matrix().await, true);
}

/// The callback is made first, so `callback.call` is passed by it and then by the announcement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_announced_although_the_program_dies_between_the_end_and_the_announcement() {
    let scenario = Scenario {
        operation: "goals",
        announced: true,
        ..Scenario::default()
    };
    let mut running = JoinSet::new();
    for (point, callbacks, announcements) in [
        ("ended.write.after", 1, 1),
        ("callback.call.after", 2, 1),
        ("attempt.write.after", 1, 1),
        ("callback.call.before:2", 1, 1),
        ("callback.call.after:2", 1, 2),
        ("closed.write.before", 1, 2),
    ] {
        let scenario = scenario.then(Death::Kill, point, LAST_LIFE);
        running.spawn(async move {
            let finished = run_scenario(scenario).await;
            let found = (finished.fate.callbacks, finished.announcements);
            assert_eq!(found, (callbacks, announcements), "{point}");
        });
    }
    running.join_all().await;
}

async fn run_matrix() -> String {
    let mut text = String::new();
    for failure in &FAILURES {
        let (expected, found) = failure.fates().await;
        crash_matrix::compare(&expected, &found);
        text.push_str(&crash_matrix::part(failure.title, &found));
    }
    text
}

impl Scenario {
    /// Returns the scenario in which the first such call of the operation meets this fault.
    fn with_fault(self, call: &str, action: Action) -> Self {
        let call = format!("{}.{call}", self.operation);
        Self {
            fault: Some(Fault::new(&call, action)),
            ..self
        }
    }
}

impl Failure {
    /// Runs every second crash; returns the expected and the observed fates.
    async fn fates(&self) -> (Fates, Fates) {
        let mut expected = Fates::new();
        let mut scenarios = Vec::new();
        for operation in OPERATIONS {
            let scenario = (self.apply)(Scenario {
                operation,
                ..Scenario::default()
            });
            let base = run_scenario(scenario.clone()).await;
            assert_eq!(base.fate, (self.base)(operation), "{operation}");
            for (life, passed) in base.passed.iter().enumerate() {
                let names = if life == 0 { self.first } else { self.later };
                for point in passed.iter().filter(|point| is_one_of(point, names)) {
                    let mut label = point.clone();
                    while expected.contains_key(&(label.clone(), operation)) {
                        label.push_str(" again");
                    }
                    let asked = passed.contains(ANSWERED);
                    let fate = expected_fate(&base.fate, &label, operation, asked);
                    expected.insert((label.clone(), operation), fate);
                    scenarios.push((label, scenario.then(Death::Kill, point, life)));
                }
            }
        }
        let finished = run_all(scenarios).await.into_iter();
        let found = finished.map(|(label, scenario, fate)| ((label, scenario.operation), fate));
        (expected, found.collect())
    }
}

fn is_one_of(point: &str, names: &[&str]) -> bool {
    point
        .rsplit_once('.')
        .is_some_and(|(name, _)| names.contains(&name))
}

/// Returns the fate of an operation whose start was not answered.
fn fate_of_lost_start(operation: &'static str) -> Fate {
    match operation {
        "export" => Fate {
            status: "unknown".to_owned(),
            ..Fate::usual()
        },
        _ => Fate {
            adopted: operation == "goals",
            starts: 2,
            ..Fate::usual()
        },
    }
}

/// Returns the expected fate by the rules of the matrix.
///
/// A claimed start may have been sent; a completion that is not closed is delivered again.
fn expected_fate(base: &Fate, point: &str, operation: &'static str, asked: bool) -> Fate {
    let base = Fate {
        requests: base.requests + usize::from(asked),
        ..base.clone()
    };
    let unknown = |starts, jobs| Fate {
        status: "unknown".to_owned(),
        starts,
        jobs,
        ..base.clone()
    };
    match (point, operation) {
        // The first start was throttled; the second claim may have been sent.
        ("claim.write.after" | "start.call.before", "export") => unknown(1, 0),
        ("start.call.after" | "result.write.before", "export") => unknown(2, 1),
        // Only the process that died knew of Graph's refusal.
        ("again.write.before", "export") => unknown(1, 0),
        ("start.call.after" | "result.write.before", _) => Fate {
            adopted: operation == "goals",
            starts: base.starts + 1,
            ..base
        },
        // The first attempt was refused; if the process dies before it stored that, the next one follows at once.
        ("callback.call.after" | "closed.write.before", _) if base.callbacks == 1 => Fate {
            callbacks: 2,
            ..base
        },
        ("callback.call.after again" | "closed.write.before", _) => Fate {
            callbacks: 3,
            ..base
        },
        _ => base,
    }
}
