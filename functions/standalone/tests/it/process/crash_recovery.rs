//! The program dies while it recovers: from a death of its own, or from what Graph, Entra or the receiver did to it. What
//! came of it is in `docs/crash-matrix.md` too.

use courier_testkit::crash_matrix::{self, Death, Fate, Fates};
use courier_testkit::receiver::Answer;
use courier_testkit::tenants::OPERATIONS;
use graph_simulator::{Action, Fault};

use crate::process::crash::play_all;
use crate::process::crash_run::{ANSWERED, Scene, play};

const SECTION: &str = "One machine, recovering";

/// What happened before, and where the program dies then.
struct Trouble {
    title: &'static str,
    befall: fn(Scene) -> Scene,
    /// In the life of the request, if that lived, and in those after it.
    first: &'static [&'static str],
    later: &'static [&'static str],
    /// The fate without another death.
    base: fn(&'static str) -> Fate,
}

const TROUBLES: [Trouble; 5] = [
    Trouble {
        title: "after a death between start and result",
        befall: |scene| scene.then(Death::Abort, "start.call.after", 0),
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
            ..lost(operation)
        },
    },
    Trouble {
        title: "after a start that Graph has throttled",
        befall: |scene| scene.faulty("start", Action::throttled(429, Some("30"))),
        first: &["again.write"],
        later: &["claim.write", "start.call", "result.write"],
        base: |_| Fate {
            starts: 2,
            ..Fate::usual()
        },
    },
    Trouble {
        title: "after a start whose answer was lost on the way",
        befall: |scene| scene.faulty("start", Action::LostAfter),
        first: &["lost.write", "hold.write"],
        later: &["claim.write", "start.call", "result.write", "ended.write"],
        base: lost,
    },
    Trouble {
        title: "after a callback that the receiver has refused",
        befall: |scene| Scene {
            receiver: Some(Answer::status(503)),
            ..scene
        },
        first: &[],
        later: &["callback.call", "attempt.write", "closed.write"],
        base: |_| Fate {
            callbacks: 2,
            ..Fate::usual()
        },
    },
    Trouble {
        title: "after Entra has refused the secret",
        befall: |scene| Scene {
            fault: Some(Fault::new("token", Action::throttled(401, None))),
            ..scene
        },
        first: &["postpone.write"],
        later: &[],
        base: |_| Fate::usual(),
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_while_it_recovers_it_goes_on_as_the_crash_matrix_says() {
    crash_matrix::document(SECTION, &measured().await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document(SECTION, &measured().await, true);
}

async fn measured() -> String {
    let mut text = String::new();
    for trouble in &TROUBLES {
        let (expected, found) = trouble.fates().await;
        crash_matrix::compare(&expected, &found);
        text.push_str(&crash_matrix::part(trouble.title, &found));
    }
    text
}

impl Scene {
    /// The first such call of the operation meets this fault.
    fn faulty(self, call: &str, action: Action) -> Self {
        let call = format!("{}.{call}", self.operation);
        Self {
            fault: Some(Fault::new(&call, action)),
            ..self
        }
    }
}

impl Trouble {
    /// What must become of every second death, and what became of it.
    async fn fates(&self) -> (Fates, Fates) {
        let mut expected = Fates::new();
        let mut scenes = Vec::new();
        for operation in OPERATIONS {
            let scene = (self.befall)(Scene {
                operation,
                ..Scene::default()
            });
            let base = play(scene.clone()).await;
            assert_eq!(base.fate, (self.base)(operation), "{operation}");
            for (life, passed) in base.passed.iter().enumerate() {
                let names = if life == 0 { self.first } else { self.later };
                for point in passed.iter().filter(|point| is_one_of(point, names)) {
                    let mut label = point.clone();
                    while expected.contains_key(&(label.clone(), operation)) {
                        label.push_str(" again");
                    }
                    let asked = passed.contains(ANSWERED);
                    let fate = must(&base.fate, &label, operation, asked);
                    expected.insert((label.clone(), operation), fate);
                    scenes.push((label, scene.then(Death::Kill, point, life)));
                }
            }
        }
        let played = play_all(scenes).await.into_iter();
        let found = played.map(|(label, scene, fate)| ((label, scene.operation), fate));
        (expected, found.collect())
    }
}

fn is_one_of(point: &str, names: &[&str]) -> bool {
    point
        .rsplit_once('.')
        .is_some_and(|(name, _)| names.contains(&name))
}

/// The fate of a start whose answer nobody has read.
fn lost(operation: &'static str) -> Fate {
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

/// The rules of the matrix, once more: what has been claimed may have been sent, what has not been closed is offered again.
fn must(base: &Fate, point: &str, operation: &'static str, asked: bool) -> Fate {
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
        // Throttled once; the second claim may have been sent.
        ("claim.write.after" | "start.call.before", "export") => unknown(1, 0),
        ("start.call.after" | "result.write.before", "export") => unknown(2, 1),
        // Graph's refusal was known to the dead alone.
        ("again.write.before", "export") => unknown(1, 0),
        ("start.call.after" | "result.write.before", _) => Fate {
            adopted: operation == "goals",
            starts: base.starts + 1,
            ..base
        },
        // The first offer was refused; whoever dies with that knowledge offers it at once instead of later.
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
