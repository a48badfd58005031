//! Texts and documents with placeholders, such as `{{job}}`, `{{start+5s}}` and `{{body/displayName}}`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::hole::{Hole, Scope};

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// A text with placeholders in double braces.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(Vec<Part>);

/// A JSON document whose strings may hold placeholders.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Document(Value);

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Document {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((hole, after)) = after.split_once("}}") else {
                return Err(format!(
                    "{text:?} opens a placeholder that it does not close"
                ));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Hole(Hole::parse(hole)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Returns the template of a new GUID.
    pub(crate) fn guid() -> Self {
        Self(vec![Part::Hole(Hole::New { hyphens: true })])
    }

    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Text(_) => None,
        })
    }

    pub(crate) fn text(&self, scope: &Scope<'_>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Hole(hole) => hole.text(scope),
        };
        self.0.iter().map(part).collect()
    }

    /// Returns the text, or the value with its type where the template is one placeholder and nothing else.
    fn value(&self, scope: &Scope<'_>) -> Value {
        match self.0.as_slice() {
            [Part::Hole(hole)] => hole.value(scope),
            _ => self.text(scope).into(),
        }
    }
}

impl Document {
    /// Reads a document and all its placeholders.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let document = Self(value);
        document.holes()?;
        Ok(document)
    }

    /// Returns the placeholders of the document, wherever they are in it.
    pub(crate) fn holes(&self) -> Result<Vec<Hole>, String> {
        let mut found = Vec::new();
        let mut waiting = vec![&self.0];
        while let Some(value) = waiting.pop() {
            match value {
                Value::String(text) => found.extend(Template::parse(text)?.holes().cloned()),
                Value::Array(elements) => waiting.extend(elements),
                Value::Object(members) => match repeated(members) {
                    Some((pointer, template)) => {
                        found.push(Hole::parse(pointer)?);
                        waiting.push(template);
                    }
                    None => waiting.extend(members.values()),
                },
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        Ok(found)
    }

    pub(crate) fn render(&self, scope: &Scope<'_>) -> Value {
        render(&self.0, scope)
    }
}

fn render(value: &Value, scope: &Scope<'_>) -> Value {
    match value {
        // The text was read once already, so it is one.
        Value::String(text) => Template::parse(text).map_or(Value::Null, |text| text.value(scope)),
        Value::Array(elements) => {
            let elements = elements.iter();
            Value::Array(
                elements
                    .flat_map(|element| copies(element, scope))
                    .collect(),
            )
        }
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), render(value, scope)))
                    .collect(),
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Renders an element of an array: once, or once per element of what its `{{for …}}` names.
fn copies(element: &Value, scope: &Scope<'_>) -> Vec<Value> {
    let repeated = element.as_object().and_then(repeated);
    let Some((pointer, template)) = repeated else {
        return vec![render(element, scope)];
    };
    let list = Hole::parse(pointer).map_or(Value::Null, |hole| hole.value(scope));
    let copy = |each: &Value| {
        let scope = Scope {
            each: Some(each),
            ..*scope
        };
        render(template, &scope)
    };
    list.as_array().into_iter().flatten().map(copy).collect()
}

/// Returns the list and the template of `{"{{for LIST}}": TEMPLATE}`.
fn repeated(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, template) = members.iter().next().filter(|_| members.len() == 1)?;
    let list = name.strip_prefix("{{for ")?.strip_suffix("}}")?;
    Some((list, template))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_that_means_nothing_is_refused() {
        for text in [
            "{{bo dy}}",
            "{{start+5}}",
            "{{start+s}}",
            "{{nowhere}}x{{",
            "{{now-3w}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
