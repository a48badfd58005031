//! Reads what a job has made, for the `result` of our operation.

use serde_json::{Map, Value};

use crate::catalogue::places::Places;
use crate::catalogue::{Operation, QueryRule, ResultSpec, pointer};
use crate::graph::choosing::is_no_time;
use crate::graph::error::scrub;

/// Longest result that is stored. A longer one is a document, and a record has room for few of this size.
const MAX_RESULT_BYTES: usize = 16 * 1024;

pub(crate) fn result(
    operation: &Operation,
    document: &Value,
    elements: &[&Value],
    places: &Places<'_>,
) -> Map<String, Value> {
    let mut found = Map::new();
    let mut is_cut = false;
    for (name, spec) in &operation.result {
        if let Some(value) = field(spec, document, elements, places) {
            let (value, was_cut) = bounded(value);
            is_cut |= was_cut;
            found.extend(value.map(|value| (name.clone(), value)));
        }
    }
    if is_cut {
        found.insert("truncated".to_owned(), true.into());
    }
    found
}

fn field(
    spec: &ResultSpec,
    document: &Value,
    elements: &[&Value],
    places: &Places<'_>,
) -> Option<Value> {
    if let Some(place) = &spec.at {
        let found = pointer::first(document, place).and_then(|value| kept(value, spec));
        return found.or_else(|| parameter(spec, places));
    }
    if let Some(place) = &spec.item {
        return kept(pointer::first(elements.last()?, place)?, spec);
    }
    if let Some(fields) = &spec.items {
        let rows = elements.iter().map(|element| {
            let cells = fields.iter().filter_map(|(name, place)| {
                Some((name.clone(), scalar(pointer::first(element, place)?, None)?))
            });
            Value::Object(cells.collect())
        });
        return Some(rows.collect());
    }
    if let Some(template) = &spec.url {
        let places = Places {
            look: Some(document),
            ..*places
        };
        return places.url(template).ok().map(Value::from);
    }
    parameter(spec, places)
}

fn parameter(spec: &ResultSpec, places: &Places<'_>) -> Option<Value> {
    places.parameters.get(spec.parameter.as_deref()?).cloned()
}

/// Returns what of a value is passed on.
fn kept(value: &Value, spec: &ResultSpec) -> Option<Value> {
    match value {
        Value::Array(elements) if !spec.fields.is_empty() => {
            let rows = elements.iter().map(|element| {
                let cells = spec.fields.iter().filter_map(|name| {
                    Some((name.clone(), scalar(element.get(name)?, spec.query)?))
                });
                Value::Object(cells.collect())
            });
            Some(rows.collect())
        }
        Value::Array(elements) if elements.is_empty() => None,
        Value::Array(elements) => Some(
            elements
                .iter()
                .filter_map(|one| scalar(one, spec.query))
                .collect(),
        ),
        // The engine has sealed the secrets of the document.
        Value::Object(sealed) if spec.query == Some(QueryRule::Secret) => {
            sealed.get(SHOWN).cloned()
        }
        Value::Object(_) => None,
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Null if spec.is_secret() => {
            None
        }
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Null => {
            scalar(value, spec.query)
        }
    }
}

fn scalar(value: &Value, query: Option<QueryRule>) -> Option<Value> {
    match value {
        Value::String(text) if text.is_empty() || is_no_time(text) => None,
        Value::String(text) => Some(match query {
            Some(QueryRule::Keep) => Value::from(text.as_str()),
            Some(QueryRule::Drop | QueryRule::Secret) => Value::from(without_query(text)),
            None => Value::from(scrub(text)),
        }),
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(crate) fn without_query(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

/// Cuts a value to the size that is stored, and reports whether it was longer. Of a list the end is lost.
fn bounded(value: Value) -> (Option<Value>, bool) {
    let size = |value: &Value| match value {
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string().len()
        }
    };
    if size(&value) <= MAX_RESULT_BYTES {
        return (Some(value), false);
    }
    let Value::Array(mut elements) = value else {
        return (None, false);
    };
    let mut left = MAX_RESULT_BYTES;
    let fits = elements.iter().position(|element| {
        let needed = size(element) + 1;
        let is_over = needed >= left;
        left = left.saturating_sub(needed);
        is_over
    });
    elements.truncate(fits.unwrap_or(elements.len()));
    (Some(Value::Array(elements)), true)
}

/// The fields of the object that stands in a document in place of a secret that was sealed.
pub(crate) const SEALED: &str = "sealed";
pub(crate) const SHOWN: &str = "shown";

/// Returns the sealed secrets of the job's document.
pub(crate) fn secrets(operation: &Operation, document: &Value) -> Map<String, Value> {
    let secrets = operation.result.iter().filter_map(|(name, spec)| {
        let place = spec.at.as_deref().filter(|_| spec.is_secret())?;
        Some((name.clone(), sealed(pointer::first(document, place)?)?))
    });
    secrets.collect()
}

/// Returns the sealed text that stands in place of a secret.
pub(crate) fn sealed(value: &Value) -> Option<Value> {
    value.get(SEALED).filter(|text| text.is_string()).cloned()
}
