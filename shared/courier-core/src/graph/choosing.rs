//! Chooses elements of an array in a document of Graph: those of the job, the newest, one for each key.

use jiff::Timestamp;
use serde_json::Value;

use crate::catalogue::places::{Places, unwrapped};
use crate::catalogue::{ItemsSpec, pointer};

/// The elements of an array that a rule chooses, the newest last.
pub(crate) struct Chosen<'v> {
    pub(crate) elements: Vec<&'v Value>,
    /// Every element that must be there is there.
    pub(crate) is_whole: bool,
}

impl<'v> Chosen<'v> {
    pub(crate) fn last(&self) -> Option<&'v Value> {
        self.elements.last().copied()
    }
}

/// Returns the document in which `items.at` finds its array: an envelope is one only if it holds no array itself.
pub(crate) fn body_of<'v>(items: &ItemsSpec, body: &'v Value) -> &'v Value {
    if pointer::first(body, &items.at).is_some_and(Value::is_array) {
        body
    } else {
        unwrapped(body)
    }
}

/// Chooses elements of the array in `document`; `None` if there is no array.
pub(crate) fn chosen<'v>(
    items: &ItemsSpec,
    document: &'v Value,
    places: &Places<'_>,
) -> Option<Chosen<'v>> {
    let array = pointer::first(document, &items.at)?.as_array()?;
    let mut elements: Vec<&Value> = array
        .iter()
        .filter(|element| {
            let mut conditions = items.conditions.iter();
            conditions.all(|(place, wanted)| has(element, place, wanted, places))
        })
        .collect();
    if let Some(since) = &items.since {
        let mut dated: Vec<(Timestamp, &Value)> = elements
            .into_iter()
            .filter_map(|element| Some((time(element, since)?, element)))
            .filter(|(at, _)| *at >= places.since())
            .collect();
        dated.sort_by_key(|(at, _)| *at);
        elements = dated.into_iter().map(|(_, element)| element).collect();
    }
    let Some(key) = &items.key else {
        let newest = elements.last().copied();
        return Some(Chosen {
            elements: newest.into_iter().collect(),
            is_whole: true,
        });
    };
    Some(newest_of_each(
        &elements,
        key,
        items.expect.as_deref(),
        places,
    ))
}

fn newest_of_each<'v>(
    elements: &[&'v Value],
    key: &str,
    expect: Option<&str>,
    places: &Places<'_>,
) -> Chosen<'v> {
    let newest_of = |wanted: &str| {
        let mut newest_first = elements.iter().rev();
        newest_first
            .find(|element| key_of(element, key).as_deref() == Some(wanted))
            .copied()
    };
    let mut wanted: Vec<String> = match expect {
        Some(expect) => {
            let parameters = Value::Object(places.parameters.clone());
            pointer::all(&parameters, expect)
                .into_iter()
                .filter_map(as_key)
                .collect()
        }
        None => elements
            .iter()
            .filter_map(|element| key_of(element, key))
            .collect(),
    };
    let mut seen = std::collections::BTreeSet::new();
    wanted.retain(|one| seen.insert(one.clone()));
    let found: Vec<&Value> = wanted.iter().filter_map(|one| newest_of(one)).collect();
    Chosen {
        is_whole: found.len() == wanted.len(),
        elements: found,
    }
}

fn key_of(element: &Value, key: &str) -> Option<String> {
    as_key(pointer::first(element, key)?)
}

pub(crate) fn as_key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reports whether a value is one of those wanted; texts are compared without case.
pub(crate) fn has(document: &Value, place: &str, wanted: &Value, places: &Places<'_>) -> bool {
    let Some(value) = pointer::first(document, place) else {
        return false;
    };
    let one = std::slice::from_ref(wanted);
    let list = wanted.as_array().map_or(one, Vec::as_slice);
    list.iter().any(|wanted| match (wanted, value) {
        (Value::String(wanted), Value::String(text)) => {
            places.plain(wanted).to_lowercase() == text.to_lowercase()
        }
        (wanted, value) => wanted == value,
    })
}

/// Returns a time of a document; `0001-01-01T00:00:00Z` stands for none.
pub(crate) fn time(document: &Value, place: &str) -> Option<Timestamp> {
    let text = pointer::first(document, place)?.as_str()?;
    (!is_no_time(text)).then(|| text.parse().ok())?
}

pub(crate) fn is_no_time(text: &str) -> bool {
    text.starts_with("0001-01-01T")
}
