//! The expected result of a kill at each crash point, and the document that records it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::journals::Journals;
use crate::tenants::OPERATIONS;

/// The crash points of an operation, in the order in which they are passed; each has a `.before` and an `.after`.
///
/// Left out are those that change nothing and reach no one (the worker's sleep, the sweep's query for overdue records).
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

/// Returns the position of `name.before`, `name.after` or `name.after again` among all points.
fn place(point: &str) -> Option<(bool, usize, bool)> {
    let (name, when) = point.rsplit_once('.')?;
    let (when, again) = when.split_once(' ').unwrap_or((when, ""));
    let place = POINTS.iter().position(|one| *one == name)?;
    Some((!again.is_empty(), place, when == "after"))
}

pub fn is_listed(point: &str) -> bool {
    place(point).is_some()
}

/// The way in which a program dies at a crash point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// The program aborts at once.
    Abort,
    /// SIGKILL from outside, while one task waits at the point and the others continue.
    Kill,
}

impl Death {
    pub const ALL: [Self; 2] = [Self::Abort, Self::Kill];

    /// Returns the form that `COURIER_CRASH_POINT` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Kill => "kill",
        }
    }

    /// Returns the signal that ends the process.
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
    /// The operation follows a job that already existed.
    pub adopted: bool,
    /// Number of the caller's requests until it had an answer.
    pub requests: usize,
    /// Number of calls that would start the operation.
    pub starts: usize,
    /// Number of jobs behind Graph.
    pub jobs: usize,
    pub callbacks: usize,
}

impl Fate {
    /// Returns the result without any crash.
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

    /// Returns the result of the only operation in these journals.
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

/// Formats the status, and the fields that differ from the usual result.
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

/// The platform that the operation runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    OneMachine,
    Lambda,
}

impl Host {
    /// Returns the lives (periods of work between which time passes) of an operation without crashes.
    ///
    /// On one machine the message that carries the polling replaces the watchdog; a queue in the cloud delivers both.
    pub fn lives(self) -> &'static [&'static str] {
        match self {
            Self::OneMachine => &["request", "first poll", "last poll"],
            Self::Lambda => &["request", "first poll", "late watchdog", "last poll"],
        }
    }

    /// Returns the expected result of a crash at each point of this life; points that are missing are not passed.
    pub fn expected(self, life: &str) -> Fates {
        let mut fates = Fates::new();
        for operation in OPERATIONS {
            for name in passed(life, operation) {
                // On Lambda the platform itself receives.
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

/// Returns the points that an operation passes in this life.
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

/// Returns the result that the rules demand.
///
/// An export is never sent again, so a crash between its claim and its stored result leaves it unknown; the other
/// operations are sent again if they may have been sent. After a crash between a callback and its closing the callback
/// is sent again.
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

/// Checks that the history shows one write into Ended (I3).
pub fn ended_once(history: &Value) {
    let entries = history["history"].as_array().cloned().unwrap_or_default();
    let ended = entries.iter().filter(|entry| entry["event"] == "ended");
    assert_eq!(ended.count(), 1, "I3: {history}");
}

/// Results by point and operation.
pub type Fates = BTreeMap<(String, &'static str), Fate>;

/// Formats a table, with `–` where an operation does not pass the point.
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

/// Formats one `###` part of the document.
pub fn part(title: &str, fates: &Fates) -> String {
    format!("### {title}\n\n{}\n", table(fates))
}

/// Compares the measured text with the section `## title` of the checked-in document; with `write`, replaces the
/// section.
pub fn document(title: &str, measured: &str, write: bool) {
    // Two tests of one process may write at the same time.
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

/// Panics with a list of all cells that differ from the expected ones.
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
