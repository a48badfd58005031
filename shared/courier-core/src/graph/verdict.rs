//! Classifies the answers of Graph to starts and to polls, as pure functions (`docs/graph-behaviour.md`, Starting and
//! Polling).

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use crate::catalogue::{MonitorSource, Operation, PollSpec};
use crate::graph::described::describe;
use crate::graph::error::{GraphError, scrub};
use crate::graph::monitor;
use crate::operation::{OperationError, Outcome, Reason, Unknown};
use crate::outbound::answer_body::Unreadable;

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

/// The meaning of an answer to a start.
#[derive(Debug, PartialEq)]
pub enum StartVerdict {
    NotSent,
    Throttled(Option<Duration>),
    /// The token was refused, or lacks a permission that an administrator has to grant; nothing was started.
    Unauthorized(OperationError),
    /// The start was refused for good; this call started nothing.
    Refused(OperationError),
    Lost {
        detail: String,
        retry_after: Option<Duration>,
    },
    /// A job was started, but there is no usable URL to poll.
    Untrackable(Reason),
    Started(Started),
}

/// A job that runs, and the URL to poll it at.
#[derive(Debug, PartialEq)]
pub struct Started {
    pub monitor: String,
    pub adopted: bool,
    pub retry_after: Option<Duration>,
    /// The status, if the answer itself already contains it.
    pub snapshot: Option<StatusSnapshot>,
    pub note: Option<String>,
}

/// Classifies the answer to a start of `operation` that was sent to `start_url` on the `graph` origin.
pub fn classify_start(
    reply: &GraphReply,
    operation: &Operation,
    graph: &Url,
    start_url: &str,
    parameters: &Map<String, Value>,
) -> StartVerdict {
    let answer = match reply {
        GraphReply::NotSent(_) => return StartVerdict::NotSent,
        GraphReply::Lost(detail) => return lost(*detail, None),
        GraphReply::Answer(answer) => answer,
    };
    let adopts = operation
        .start
        .adopt
        .as_ref()
        .filter(|adopt| adopt.status == answer.status);
    match answer.status {
        200..=299 => started(answer, operation, graph, start_url, parameters),
        401 => StartVerdict::Unauthorized(error_of(answer)),
        403 if answer.error.as_ref().is_some_and(lacks_permission) => {
            StartVerdict::Unauthorized(error_of(answer))
        }
        429 => StartVerdict::Throttled(answer.retry_after),
        408 | 500..=599 => lost(describe(reply, None), answer.retry_after),
        _ => match adopts {
            Some(adopt) => adopted(answer, operation, graph, &adopt.target_path),
            None => StartVerdict::Refused(error_of(answer)),
        },
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

fn started(
    answer: &Answer,
    operation: &Operation,
    graph: &Url,
    start_url: &str,
    parameters: &Map<String, Value>,
) -> StartVerdict {
    let monitor = match operation.start.monitor {
        MonitorSource::SameUrl => start_url.to_owned(),
        MonitorSource::Location => match location(answer, operation, graph) {
            Ok(monitor) => monitor,
            Err(reason) => return StartVerdict::Untrackable(reason),
        },
    };
    let documented = operation.start.accepted.contains(&answer.status);
    StartVerdict::Started(Started {
        monitor,
        adopted: false,
        retry_after: answer.retry_after,
        snapshot: answer
            .body
            .as_ref()
            .and_then(|body| snapshot(body, &operation.poll, parameters)),
        note: (!documented).then(|| format!("undocumented success code {}", answer.status)),
    })
}

/// A refusal that names the running job: by its Location, else by the key in `error.target`
/// (`docs/graph-behaviour.md`, Goals export).
fn adopted(answer: &Answer, operation: &Operation, graph: &Url, target_path: &str) -> StartVerdict {
    let target = answer
        .error
        .as_ref()
        .and_then(|error| error.target.as_deref());
    let rebuilt = || monitor::from_target(target?, target_path, graph, &operation.start.version);
    match location(answer, operation, graph).ok().or_else(rebuilt) {
        Some(monitor) => StartVerdict::Started(Started {
            monitor,
            adopted: true,
            retry_after: answer.retry_after,
            snapshot: None,
            note: None,
        }),
        None => StartVerdict::Refused(error_of(answer)),
    }
}

fn location(answer: &Answer, operation: &Operation, graph: &Url) -> Result<String, Reason> {
    let mut locations = answer.locations.iter();
    let first = locations.next().ok_or(Reason::StartUntrackable)?;
    if locations.any(|other| other != first) {
        return Err(Reason::LocationUntrusted);
    }
    monitor::trusted(first, graph, &operation.start.version).map_err(|untrusted| match untrusted {
        monitor::Untrusted::Missing | monitor::Untrusted::Unparsable(_) => Reason::StartUntrackable,
        monitor::Untrusted::ForeignOrigin => Reason::LocationUntrusted,
    })
}

/// The meaning of an answer to a poll.
#[derive(Debug, PartialEq)]
pub enum PollVerdict {
    /// The answer is a status document.
    Seen(StatusSnapshot),
    /// The operation resource does not exist, at least not now.
    Missing(OperationError),
    /// The token does not permit reading the operation resource.
    Unauthorized,
    /// The answer contains no status; the next poll comes no sooner than after this time.
    Nothing(Option<Duration>),
}

/// Classifies the answer to a poll of an operation with these `parameters`.
pub fn classify_poll(
    reply: &GraphReply,
    row: &PollSpec,
    parameters: &Map<String, Value>,
) -> PollVerdict {
    let GraphReply::Answer(answer) = reply else {
        return PollVerdict::Nothing(None);
    };
    let missing_code = |error: &GraphError| {
        row.missing_codes
            .iter()
            .any(|code| *code == error.code || *code == error.deepest())
    };
    match answer.status {
        200..=299 => match answer
            .body
            .as_ref()
            .and_then(|body| snapshot(body, row, parameters))
        {
            Some(snapshot) => PollVerdict::Seen(snapshot),
            None => PollVerdict::Nothing(answer.retry_after),
        },
        401 | 403 => PollVerdict::Unauthorized,
        404 | 410 => PollVerdict::Missing(error_of(answer)),
        400 if answer.error.as_ref().is_some_and(missing_code) => {
            PollVerdict::Missing(error_of(answer))
        }
        _ => PollVerdict::Nothing(answer.retry_after),
    }
}

/// The content of a status document, read with the catalogue's JSON pointers.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusSnapshot {
    pub word: String,
    pub progress: Option<f64>,
    /// The outcome; `None` while the status is not terminal, and for every status that the catalogue does not list.
    pub outcome: Option<Outcome>,
    pub result: Map<String, Value>,
    pub error: Option<OperationError>,
}

fn snapshot(
    body: &Value,
    row: &PollSpec,
    parameters: &Map<String, Value>,
) -> Option<StatusSnapshot> {
    let word = first_text(body, &row.status)?;
    let holds = |body: &Value| {
        row.done_when
            .as_ref()
            .is_none_or(|done| done.holds(body, parameters))
    };
    let outcome = row.words.outcome(&word).filter(|outcome| match outcome {
        Outcome::Succeeded | Outcome::PartiallySucceeded => holds(body),
        Outcome::Failed | Outcome::Expired | Outcome::Unknown | Outcome::Cancelled => true,
    });
    let error = (outcome == Some(Outcome::Failed)).then(|| OperationError {
        code: first_text(body, &row.error_code).unwrap_or_else(|| "operationFailed".to_owned()),
        message: first_text(body, &row.error_message)
            .map_or_else(|| format!("Graph reports {word}"), |text| scrub(&text)),
        detail: None,
        http_status: None,
        request_id: None,
        unknown: Unknown::new(),
    });
    let progress = row
        .progress
        .as_deref()
        .and_then(|pointer| number(body.pointer(pointer)?));
    Some(StatusSnapshot {
        word: cut(&word),
        progress,
        outcome,
        result: result(body, row),
        error,
    })
}

/// Longest text that is stored as a result. A longer one is a document, and a record has room for few of this size.
const MAX_RESULT_BYTES: usize = 16 * 1024;

fn result(body: &Value, row: &PollSpec) -> Map<String, Value> {
    let mut found = Map::new();
    for (name, field) in &row.result {
        let enveloped = format!("/value{}", field.pointer);
        let Some(value) = body
            .pointer(&field.pointer)
            .or_else(|| body.pointer(&enveloped))
        else {
            continue;
        };
        let kept = match value {
            Value::String(text) if field.without_query => {
                Value::from(text.split(['?', '#']).next().unwrap_or_default())
            }
            Value::String(text) => Value::from(scrub(text)),
            Value::Bool(_) | Value::Number(_) => value.clone(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        if kept
            .as_str()
            .is_some_and(|text| text.len() > MAX_RESULT_BYTES)
        {
            continue;
        }
        found.insert(name.clone(), kept);
    }
    found
}

fn first_text(body: &Value, pointers: &[String]) -> Option<String> {
    let texts = pointers
        .iter()
        .filter_map(|pointer| body.pointer(pointer)?.as_str());
    texts.map(str::to_owned).find(|text| !text.is_empty())
}

/// Reads a progress: Graph's metadata says that it is a number, its documentation prints a string.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        Value::Number(_) => value.as_f64()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

fn cut(word: &str) -> String {
    word.chars()
        .filter(|letter| !letter.is_control())
        .take(64)
        .collect()
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
