//! Enumerations that grow: Graph shows their newer words only to clients that say they can take them.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use crate::answer::{Answer, Content};

const PREFERENCE: &str = "include-unknown-enum-members";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Puts the sentinel in the place of newer words, unless the request prefers to have them.
pub(super) fn conceal(
    answer: &mut Answer,
    headers: &HeaderMap,
    newer: &BTreeMap<String, Vec<String>>,
) {
    let Content::Json(document) = &mut answer.content else {
        return;
    };
    if newer.is_empty() {
        return;
    }
    let mut preferences = headers.get_all("prefer").iter();
    if preferences.any(|value| value.to_str().is_ok_and(|text| text.contains(PREFERENCE))) {
        answer.set(PREFERENCE_APPLIED, PREFERENCE);
        return;
    }
    let mut waiting = vec![document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(elements) => waiting.extend(elements),
            Value::Object(members) => {
                for (name, member) in members {
                    let words = newer.get(name).map(Vec::as_slice).unwrap_or_default();
                    if words.iter().any(|word| member == word) {
                        *member = "unknownFutureValue".into();
                    }
                    waiting.push(member);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
