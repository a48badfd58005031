//! The results that a kill at each crash point must have, and the document that lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::journals::Journals;
use crate::tenants::OPERATIONS;

/// The points of an operation, in the order in which they are passed; each has a `.before` and an `.after`.
///
/// Left out are those that change nothing and reach no one (the worker's sleep, the sweeper's look for overdue records).
pub const POINTS: [&str; 30] = [
    "record.insert",
    "message.receive",
    "record.read",
    "document.read",
    "line.join",
    "watchdog.send",
    "token.lease",
    "token.fetch",
    "token.save",
    "postpone.write",
    "claim.write",
    "start.call",
    "again.write",
    "lost.write",
    "hold.write",
    "result.write",
    "line.leave",
    "poll-message.send",
    "request.answer",
    "take-over.send",
    "due.write",
    "anew.send",
    "poll.call",
    "status.write",
    "ended.write",
    "callback.call",
    "attempt.write",
    "closed.write",
    "renewal.send",
    "message.settle",
];

/// The place of `name.before`, `name.after` or `name.after again` among all points.
fn place(point: &str) -> Option<(bool, usize, bool)> {
    let (name, when) = point.rsplit_once('.')?;
    let (when, again) = when.split_once(' ').unwrap_or((when, ""));
    let place = POINTS.iter().position(|one| *one == name)?;
    Some((!again.is_empty(), place, when == "after"))
}

pub fn is_listed(point: &str) -> bool {
    place(point).is_some()
}

/// The way in which a program dies at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// By itself, at once.
    Abort,
    /// SIGKILL from outside, while one task stands at the point and the others go on.
    Kill,
}

impl Death {
    pub const ALL: [Self; 2] = [Self::Abort, Self::Kill];

    /// As `COURIER_CRASH_POINT` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Kill => "kill",
        }
    }

    /// The signal that ends the process.
    pub fn signal(self) -> i32 {
        match self {
            Self::Abort => 6,
            Self::Kill => 9,
        }
    }
}

/// The result of one operation, as four journals show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fate {
    pub status: String,
    /// It follows a job that was there.
    pub adopted: bool,
    /// The number of times that the caller asked until it had an answer.
    pub requests: usize,
    /// Calls that would start it.
    pub starts: usize,
    /// Jobs behind Graph.
    pub jobs: usize,
    pub callbacks: usize,
}

impl Fate {
    /// As without any death.
    pub fn usual() -> Self {
        Self {
            status: "succeeded".to_owned(),
            adopted: false,
            requests: 1,
            starts: 1,
            jobs: 1,
            callbacks: 1,
        }
    }

    /// Returns the fate of the only operation in these journals.
    pub fn of(journals: &Journals) -> Self {
        let [asked] = journals.asked.as_slice() else {
            panic!("{} operations", journals.asked.len());
        };
        let starts = journals.calls.iter();
        let starts = starts.filter(|call| call.call.ends_with(".start")).count();
        let document = &journals.documents[&asked.id];
        Self {
            status: document["status"].as_str().unwrap_or_default().to_owned(),
            adopted: document["adopted"] == true,
            requests: asked.requests,
            starts,
            jobs: journals.jobs.len(),
            callbacks: journals.callbacks.len(),
        }
    }
}

/// The status, and whatever is not as usual.
impl fmt::Display for Fate {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::usual();
        write!(text, "{}", self.status)?;
        if self.adopted {
            write!(text, ", adopted")?;
        }
        for (number, usually, what) in [
            (self.requests, usual.requests, "requests"),
            (self.starts, usual.starts, "starts"),
            (self.jobs, usual.jobs, "jobs"),
            (self.callbacks, usual.callbacks, "callbacks"),
        ] {
            if number != usually {
                write!(text, ", {number} {what}")?;
            }
        }
        Ok(())
    }
}

/// The place where the operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    OneMachine,
    Lambda,
}

impl Host {
    /// The lives of an operation that nothing befalls: time passes between them. On one machine the message that carries
    /// the polling takes the watchdog's place; a queue in the cloud delivers both.
    pub fn lives(self) -> &'static [&'static str] {
        match self {
            Self::OneMachine => &["request", "first poll", "last poll"],
            Self::Lambda => &["request", "first poll", "late watchdog", "last poll"],
        }
    }

    /// The fates that a death at each point of this life must have. A point that is not here is not passed.
    pub fn expected(self, life: &str) -> Fates {
        let mut fates = Fates::new();
        for operation in OPERATIONS {
            for name in passed(life, operation) {
                // Lambda itself receives.
                let whens = match (self, name) {
                    (Self::Lambda, "message.receive") => ["after"].as_slice(),
                    _ => &["before", "after"],
                };
                for when in whens {
                    let point = format!("{name}.{when}");
                    let fate = must(life, &point, operation);
                    fates.insert((point, operation), fate);
                }
            }
        }
        fates
    }
}

/// The points that an operation passes in this life.
fn passed(life: &str, operation: &str) -> Vec<&'static str> {
    let mut names = match life {
        "request" => vec![
            "record.insert",
            "watchdog.send",
            "token.fetch",
            "claim.write",
            "start.call",
            "result.write",
            "poll-message.send",
            "request.answer",
        ],
        "late watchdog" => return vec!["message.receive", "record.read", "message.settle"],
        _ => vec![
            "message.receive",
            "record.read",
            "token.fetch",
            "poll.call",
            "message.settle",
        ],
    };
    names.extend(match life {
        "request" => [].as_slice(),
        "first poll" => &["status.write"],
        _ => &["ended.write", "callback.call", "closed.write"],
    });
    names.extend(match (operation, life) {
        ("goals", _) => ["document.read", "token.lease", "token.save"].as_slice(),
        ("schedule", "request") => &["document.read", "line.join", "line.leave"],
        _ => &[],
    });
    names
}

/// The rules. An export is never sent again, so whoever dies between its claim and its stored result leaves it unknown; the
/// others are sent again if they may have been sent. Whoever dies between a callback and its closing calls back again.
fn must(life: &str, point: &str, operation: &'static str) -> Fate {
    let usual = Fate {
        requests: if life == "request" && point != "request.answer.after" {
            2
        } else {
            1
        },
        ..Fate::usual()
    };
    match (point, operation) {
        ("claim.write.after" | "start.call.before", "export") => Fate {
            status: "unknown".to_owned(),
            starts: 0,
            jobs: 0,
            ..usual
        },
        ("start.call.after" | "result.write.before", "export") => Fate {
            status: "unknown".to_owned(),
            ..usual
        },
        ("start.call.after" | "result.write.before", _) => Fate {
            adopted: operation == "goals",
            starts: 2,
            ..usual
        },
        ("callback.call.after" | "closed.write.before", _) => Fate {
            callbacks: 2,
            ..usual
        },
        _ => usual,
    }
}

/// The write into Ended happened once (I3), as the history shows.
pub fn ended_once(history: &Value) {
    let entries = history["history"].as_array().cloned().unwrap_or_default();
    let ended = entries.iter().filter(|entry| entry["event"] == "ended");
    assert_eq!(ended.count(), 1, "I3: {history}");
}

/// Fates by point and operation.
pub type Fates = BTreeMap<(String, &'static str), Fate>;

/// A table with `–` where an operation does not pass.
pub fn table(fates: &Fates) -> String {
    let mut points: Vec<&String> = fates.keys().map(|(point, _)| point).collect();
    points.sort_by_key(|point| place(point));
    points.dedup();
    let mut text =
        String::from("| point | export | goals | schedule |\n| --- | --- | --- | --- |\n");
    for point in points {
        text.push_str(&format!("| `{point}` |"));
        for operation in OPERATIONS {
            let fate = fates.get(&(point.clone(), operation));
            let fate = fate.map_or_else(|| "–".to_owned(), ToString::to_string);
            text.push_str(&format!(" {fate} |"));
        }
        text.push('\n');
    }
    text
}

/// One `###` part of the document.
pub fn part(title: &str, fates: &Fates) -> String {
    format!("### {title}\n\n{}\n", table(fates))
}

/// Holds what was measured against the section `## title` of the checked-in document; with `write`, puts it there.
pub fn document(title: &str, measured: &str, write: bool) {
    // Two tests of one process may write.
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE_BY_ONE.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/crash-matrix.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}"));
    let head = format!("## {title}\n");
    let Some((before, rest)) = text.split_once(&head) else {
        panic!("docs/crash-matrix.md has no section {title}");
    };
    let end = rest.find("\n## ").map_or(rest.len(), |end| end + 1);
    if write {
        let new = format!("{before}{head}\n{measured}{}", &rest[end..]);
        let written = std::fs::write(&path, new.trim_end().to_owned() + "\n");
        written.unwrap_or_else(|error| panic!("{error}"));
    } else {
        assert_eq!(
            rest[..end].trim(),
            measured.trim(),
            "docs/crash-matrix.md is not what was measured; it says how it is written"
        );
    }
}

/// Panics with every cell that is not as it must be.
pub fn compare(expected: &Fates, found: &Fates) {
    let cells: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let wrong: Vec<String> = cells
        .into_iter()
        .filter(|cell| expected.get(cell) != found.get(cell))
        .map(|cell| {
            let text = |fates: &Fates| {
                fates
                    .get(cell)
                    .map_or_else(|| "–".to_owned(), Fate::to_string)
            };
            format!(
                "{} {}: {}, not {}",
                cell.0,
                cell.1,
                text(found),
                text(expected)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
