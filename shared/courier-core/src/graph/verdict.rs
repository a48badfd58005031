//! Classifies the answers of Graph to starts and to polls, as pure functions (`docs/graph-behaviour.md`, Starting and
//! Polling).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use url::Url;

use crate::catalogue::places::{Places, unwrapped};
use crate::catalogue::{Operation, pointer};
use crate::graph::described::describe;
use crate::graph::error::GraphError;
pub use crate::graph::finding::{FindVerdict, classify_find};
use crate::graph::monitor_source::monitor_of;
pub use crate::graph::reading::StatusSnapshot;
use crate::graph::reading::{self, Reading, cut};
use crate::graph::results::sealed;
use crate::operation::{OperationError, Outcome, Reason, Record, Unknown};
use crate::outbound::answer_body::Unreadable;
use crate::time::later;

/// The result of one HTTP call to Graph.
#[derive(Debug, Clone)]
pub enum GraphReply {
    /// There was no connection, so provably no byte of the request was sent. The text says why, without secrets.
    NotSent(String),
    /// The request may have been processed, but its answer was lost. The text says how and contains no secrets.
    Lost(&'static str),
    Answer(Box<Answer>),
}

/// The parts of an HTTP answer that the rules use.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    /// All values of `Location`, or of `Operation-Location` if there is no `Location`.
    pub locations: Vec<String>,
    /// The monitor on another host than Graph's, sealed, because its URL is all that is needed to read it.
    pub foreign_monitor: Option<String>,
    pub retry_after: Option<Duration>,
    /// `None` when the body cannot be read; `unreadable` says why.
    pub body: Option<Value>,
    pub unreadable: Option<Unreadable>,
    /// The media type that the answer claims, without parameters.
    pub media_type: Option<String>,
    /// The `error` of the `WWW-Authenticate` header, a word.
    pub challenge: Option<String>,
    pub error: Option<GraphError>,
    pub request_id: Option<String>,
}

/// The operation that is judged: what its catalogue file says, and what its record does.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub operation: &'a Operation,
    pub record: &'a Record,
    /// The configured Graph origin.
    pub graph: &'a Url,
}

impl<'a> Subject<'a> {
    pub(crate) fn places(&self) -> Places<'a> {
        Places::of(self.record, self.graph, &self.operation.start.version)
    }
}

/// The meaning of an answer to a start.
#[derive(Debug, PartialEq)]
pub enum StartVerdict {
    NotSent,
    Throttled(Option<Duration>),
    /// The token was refused, or lacks a permission that an administrator has to grant; nothing was started.
    Unauthorized(OperationError),
    /// Graph is not ready for this start yet; it is sent again after this pause.
    Early(Duration),
    /// What the start would make is there already.
    Already(Outcome),
    /// The start was refused for good; this call started nothing.
    Refused(OperationError),
    Lost {
        detail: String,
        retry_after: Option<Duration>,
    },
    /// A job was started, but there is no usable URL to poll.
    Untrackable(Reason),
    /// A job was started, and has to be looked for.
    Locate(Started),
    Started(Started),
}

/// A job that runs, and the URL to poll it at.
#[derive(Debug, PartialEq)]
pub struct Started {
    /// Empty for a job that has to be looked for.
    pub monitor: String,
    pub adopted: bool,
    pub retry_after: Option<Duration>,
    /// The status, if the answer itself already contains it.
    pub snapshot: Option<StatusSnapshot>,
    /// Secrets of the answer that belong to the result, sealed.
    pub secrets: Map<String, Value>,
    pub note: Option<String>,
}

/// Classifies the answer to a start that was sent to `start_url` at `now`.
pub fn classify_start(
    reply: &GraphReply,
    subject: Subject<'_>,
    start_url: &str,
    now: Timestamp,
) -> StartVerdict {
    let answer = match reply {
        GraphReply::NotSent(_) => return StartVerdict::NotSent,
        GraphReply::Lost(detail) => return lost(*detail, None),
        GraphReply::Answer(answer) => answer,
    };
    match answer.status {
        200..=299 => started(answer, subject, start_url),
        401 => StartVerdict::Unauthorized(error_of(answer)),
        403 if answer.error.as_ref().is_some_and(lacks_permission) => {
            StartVerdict::Unauthorized(error_of(answer))
        }
        429 => StartVerdict::Throttled(answer.retry_after),
        408 | 500..=599 => lost(describe(reply, None), answer.retry_after),
        _ => refused(answer, subject, start_url, now),
    }
}

/// Codes and beginnings of messages by which Graph says that the app registration lacks a permission
/// (`docs/graph-behaviour.md`, Starting). A 403 without them concerns this request, such as a user without a licence.
const MISSING_PERMISSION_CODES: [&str; 2] =
    ["authorization_requestdenied", "invalidclientcredentials"];
const MISSING_PERMISSION_TEXTS: [&str; 3] = [
    "missing role permissions",
    "missing scope permissions",
    "insufficient privileges",
];

fn lacks_permission(error: &GraphError) -> bool {
    let codes = [error.code.as_str(), error.deepest()];
    let is_code = |code: &str| {
        MISSING_PERMISSION_CODES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(code))
    };
    let message = error.message.to_ascii_lowercase();
    codes.into_iter().any(is_code)
        || MISSING_PERMISSION_TEXTS
            .iter()
            .any(|text| message.contains(text))
}

fn lost(detail: impl Into<String>, retry_after: Option<Duration>) -> StartVerdict {
    StartVerdict::Lost {
        detail: detail.into(),
        retry_after,
    }
}

fn started(answer: &Answer, subject: Subject<'_>, start_url: &str) -> StartVerdict {
    let operation = subject.operation;
    let documented = operation.start.accepted.contains(&answer.status);
    let mut started = Started {
        monitor: String::new(),
        adopted: false,
        retry_after: answer.retry_after,
        snapshot: snapshot(answer, subject),
        secrets: secrets_of_start(answer, operation),
        note: (!documented).then(|| format!("undocumented success code {}", answer.status)),
    };
    match monitor_of(answer, &operation.start.monitor, subject, start_url) {
        Ok(monitor) => {
            started.monitor = monitor;
            StartVerdict::Started(started)
        }
        Err(_) if operation.may_be_found() => StartVerdict::Locate(started),
        Err(reason) => StartVerdict::Untrackable(reason),
    }
}

/// Returns the status in the answer to a start; the mere existence of an answer is none.
fn snapshot(answer: &Answer, subject: Subject<'_>) -> Option<StatusSnapshot> {
    if subject.operation.poll.exists {
        return None;
    }
    match reading::read(answer.body.as_ref()?, subject.operation, &subject.places()) {
        Reading::Status(snapshot) => Some(*snapshot),
        Reading::NotListed | Reading::Unreadable => None,
    }
}

fn secrets_of_start(answer: &Answer, operation: &Operation) -> Map<String, Value> {
    let Some(body) = answer.body.as_ref().map(unwrapped) else {
        return Map::new();
    };
    let secrets = operation.result.iter().filter_map(|(name, spec)| {
        let place = spec.start.as_deref()?;
        Some((name.clone(), sealed(pointer::first(body, place)?)?))
    });
    secrets.collect()
}

/// Classifies a refusal: not yet, there already, or for good.
fn refused(answer: &Answer, subject: Subject<'_>, start_url: &str, now: Timestamp) -> StartVerdict {
    let start = &subject.operation.start;
    let is = |status: u16, codes: &[String]| {
        let names = |error: &GraphError| {
            let known = |code: &String| *code == error.code || *code == error.deepest();
            codes.iter().any(known)
        };
        status == answer.status && (codes.is_empty() || answer.error.as_ref().is_some_and(names))
    };
    if let Some(early) = start
        .early
        .iter()
        .find(|early| is(early.status, &early.codes))
    {
        let until = later(
            subject.record.created_at,
            Duration::from_secs(early.for_seconds),
        );
        if now < until {
            return StartVerdict::Early(Duration::from_secs(early.every_seconds));
        }
    }
    let refused = || StartVerdict::Refused(error_of(answer));
    let Some(already) = start
        .already
        .iter()
        .find(|already| is(already.status, &already.codes))
    else {
        return refused();
    };
    let Some(sources) = &already.monitor else {
        return StartVerdict::Already(Outcome::Succeeded);
    };
    match monitor_of(answer, sources, subject, start_url) {
        Ok(monitor) => StartVerdict::Started(Started {
            monitor,
            adopted: true,
            retry_after: answer.retry_after,
            snapshot: None,
            secrets: Map::new(),
            note: None,
        }),
        Err(_) => refused(),
    }
}

/// The meaning of an answer to a poll.
#[derive(Debug, PartialEq)]
pub enum PollVerdict {
    /// The answer is a status document.
    Seen(StatusSnapshot),
    /// The answer is in order, and does not have our job yet.
    NotListed,
    /// The operation resource does not exist, at least not now.
    Missing(OperationError),
    /// The token does not permit reading the operation resource.
    Unauthorized,
    /// The answer contains no status; the next poll comes no sooner than after this time.
    Nothing(Option<Duration>),
}

/// Classifies the answer to a poll.
pub fn classify_poll(reply: &GraphReply, subject: Subject<'_>) -> PollVerdict {
    let GraphReply::Answer(answer) = reply else {
        return PollVerdict::Nothing(None);
    };
    let spec = &subject.operation.poll;
    let missing_code = |error: &GraphError| {
        spec.missing_codes
            .iter()
            .any(|code| *code == error.code || *code == error.deepest())
    };
    match answer.status {
        200..=299 => match &answer.body {
            Some(body) => match reading::read(body, subject.operation, &subject.places()) {
                Reading::Status(snapshot) => PollVerdict::Seen(*snapshot),
                Reading::NotListed => PollVerdict::NotListed,
                Reading::Unreadable => PollVerdict::Nothing(answer.retry_after),
            },
            None if spec.exists => PollVerdict::Seen(ended("exists", Outcome::Succeeded, None)),
            None => PollVerdict::Nothing(answer.retry_after),
        },
        300..=399 if spec.redirect.is_some() => {
            PollVerdict::Seen(ended("redirect", Outcome::Succeeded, None))
        }
        status if spec.failed_statuses.contains(&status) => {
            let error = error_of(answer);
            PollVerdict::Seen(ended(&error.code.clone(), Outcome::Failed, Some(error)))
        }
        401 | 403 => PollVerdict::Unauthorized,
        404 | 410 => PollVerdict::Missing(error_of(answer)),
        400 if answer.error.as_ref().is_some_and(missing_code) => {
            PollVerdict::Missing(error_of(answer))
        }
        _ => PollVerdict::Nothing(answer.retry_after),
    }
}

/// Returns the snapshot of an end that something other than a status means.
pub(crate) fn ended(word: &str, outcome: Outcome, error: Option<OperationError>) -> StatusSnapshot {
    StatusSnapshot {
        word: cut(word),
        progress: None,
        outcome: Some(outcome),
        result: Map::new(),
        secrets: Map::new(),
        error,
    }
}

fn error_of(answer: &Answer) -> OperationError {
    let (code, message) = answer.error.as_ref().map_or_else(
        || {
            (
                format!("http{}", answer.status),
                "Graph sent no error document".to_owned(),
            )
        },
        |error| (error.deepest().to_owned(), error.message.clone()),
    );
    let detail = (code == "StorageLocationAlreadyUsed")
        .then(|| "an export has already begun to write to this container".to_owned());
    OperationError {
        code,
        message,
        detail,
        http_status: Some(answer.status),
        request_id: answer.request_id.clone(),
        unknown: Unknown::new(),
    }
}
