//! Reads the state of a job, and what it has made, from a document of Graph by the rules of a catalogue file.

use serde_json::{Map, Value};

use crate::catalogue::places::{Places, unwrapped};
use crate::catalogue::{Operation, PollSpec, pointer};
use crate::graph::choosing::{as_key, body_of, chosen};
use crate::graph::error::scrub;
use crate::graph::results::{result, secrets};
use crate::operation::{OperationError, Outcome, Unknown};

/// What a document says about the job.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusSnapshot {
    pub word: String,
    pub progress: Option<f64>,
    /// The outcome; `None` while the status is not terminal, and for every status that the catalogue does not list.
    pub outcome: Option<Outcome>,
    pub result: Map<String, Value>,
    /// Secrets of the result, sealed.
    pub secrets: Map<String, Value>,
    pub error: Option<OperationError>,
}

/// The meaning of a document.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    Status(Box<StatusSnapshot>),
    /// The document is in order and does not have our job yet.
    NotListed,
    /// The document is not one that the catalogue describes.
    Unreadable,
}

/// Reads the document of a poll.
pub(crate) fn read(body: &Value, operation: &Operation, places: &Places<'_>) -> Reading {
    let spec = &operation.poll;
    let document = unwrapped(body);
    if let Some(items) = &spec.failed_if
        && let Some(element) = chosen(items, document, places).and_then(|chosen| chosen.last())
    {
        return Reading::Status(Box::new(failed_element(
            element, operation, document, places,
        )));
    }
    let Some(items) = &spec.items else {
        return read_one(document, operation, places);
    };
    let Some(chosen) = chosen(items, body_of(items, body), places) else {
        return Reading::Unreadable;
    };
    if chosen.elements.is_empty() {
        return Reading::NotListed;
    }
    let words = chosen
        .elements
        .iter()
        .map(|element| first_text(element, &spec.status).unwrap_or_default());
    let words: Vec<String> = words.collect();
    let outcomes: Option<Vec<Outcome>> =
        words.iter().map(|word| spec.words.outcome(word)).collect();
    let outcome = outcomes
        .filter(|_| chosen.is_whole)
        .map(|all| together(&all));
    let outcome = outcome.filter(|outcome| !is_success(*outcome) || meets(document, spec, places));
    let element = chosen.last().unwrap_or(document);
    Reading::Status(Box::new(StatusSnapshot {
        word: cut(&short_list(&words)),
        progress: progress(document, spec),
        outcome,
        result: result(operation, document, &chosen.elements, places),
        secrets: secrets(operation, document),
        error: (outcome == Some(Outcome::Failed))
            .then(|| error(element, spec, &short_list(&words))),
    }))
}

fn read_one(document: &Value, operation: &Operation, places: &Places<'_>) -> Reading {
    let spec = &operation.poll;
    let word = first_text(document, &spec.status);
    let outcome = match &word {
        Some(word) => spec.words.outcome(word),
        None if spec.exists => Some(Outcome::Succeeded),
        None => return Reading::Unreadable,
    };
    let outcome = outcome.filter(|outcome| !is_success(*outcome) || meets(document, spec, places));
    let word = word.unwrap_or_else(|| "exists".to_owned());
    Reading::Status(Box::new(StatusSnapshot {
        progress: progress(document, spec),
        outcome,
        result: result(operation, document, &[], places),
        secrets: secrets(operation, document),
        error: (outcome == Some(Outcome::Failed)).then(|| error(document, spec, &word)),
        word: cut(&word),
    }))
}

fn failed_element(
    element: &Value,
    operation: &Operation,
    document: &Value,
    places: &Places<'_>,
) -> StatusSnapshot {
    let spec = &operation.poll;
    let word = first_text(element, &spec.error_code).or_else(|| first_text(document, &spec.status));
    let word = word.unwrap_or_else(|| "failed".to_owned());
    StatusSnapshot {
        progress: progress(document, spec),
        outcome: Some(Outcome::Failed),
        result: result(operation, document, &[], places),
        secrets: secrets(operation, document),
        error: Some(error(element, spec, &word)),
        word: cut(&word),
    }
}

fn is_success(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded | Outcome::PartiallySucceeded)
}

/// Returns the outcome of several elements: of all, if they agree.
fn together(outcomes: &[Outcome]) -> Outcome {
    match outcomes.split_first() {
        Some((first, rest)) if rest.iter().all(|other| other == first) => *first,
        Some(_) | None => Outcome::PartiallySucceeded,
    }
}

/// Reports whether the document has the values that a success needs besides its status.
fn meets(document: &Value, spec: &PollSpec, places: &Places<'_>) -> bool {
    spec.require.iter().all(|(place, template)| {
        let wanted = places.value(template);
        wanted.is_none_or(|wanted| pointer::first(document, place) == Some(&wanted))
    })
}

fn progress(document: &Value, spec: &PollSpec) -> Option<f64> {
    number(pointer::first(document, spec.progress.as_deref()?)?)
}

fn error(document: &Value, spec: &PollSpec, word: &str) -> OperationError {
    let text = |pointers: &[String]| {
        let found = pointers
            .iter()
            .filter_map(|place| as_key(pointer::first(document, place)?));
        found.map(|text| scrub(&text)).find(|text| !text.is_empty())
    };
    let or = |text: Option<String>, other: String| text.unwrap_or(other);
    OperationError {
        code: or(text(&spec.error_code), "operationFailed".to_owned()),
        message: or(text(&spec.error_message), format!("Graph reports {word}")),
        detail: None,
        http_status: None,
        request_id: None,
        unknown: Unknown::new(),
    }
}

pub(crate) fn first_text(body: &Value, pointers: &[String]) -> Option<String> {
    let texts = pointers
        .iter()
        .filter_map(|place| pointer::first(body, place)?.as_str());
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

/// Returns the different words in the order of their first appearance.
fn short_list(words: &[String]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        if !seen.contains(&word.as_str()) {
            seen.push(word);
        }
    }
    seen.join(", ")
}

pub(crate) fn cut(word: &str) -> String {
    word.chars()
        .filter(|letter| !letter.is_control())
        .take(64)
        .collect()
}
