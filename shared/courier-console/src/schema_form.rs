//! A form from a JSON Schema, and the JSON value from what was typed into it.
//!
//! Each field is named by the JSON pointer of its value, so an error of the API finds its field.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::api::word;
use crate::form::{Draft, Field, Fields};
use crate::text::words;

/// Objects within objects that have fields of their own; deeper ones are typed as JSON.
const MAX_DEPTH: usize = 3;
/// A longer text gets several lines.
const LINE_CHARS: u64 = 300;

/// How a value is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Choice,
    Switch,
    Number,
    Line,
    Secret,
    Lines,
    /// A list of texts, one on each line.
    List,
    /// An object whose properties have fields.
    Group,
    /// Anything else.
    Json,
}

impl Control {
    fn of(schema: &Value, depth: usize) -> Self {
        let kind = &schema["type"];
        let kind = word(kind.get(0).unwrap_or(kind));
        let is_object = schema["properties"].is_object();
        match kind {
            _ if schema["enum"].is_array() => Self::Choice,
            "boolean" => Self::Switch,
            "integer" | "number" => Self::Number,
            "string" if schema["format"] == "secret" => Self::Secret,
            "string"
                if schema["maxLength"]
                    .as_u64()
                    .is_some_and(|most| most > LINE_CHARS) =>
            {
                Self::Lines
            }
            "string" => Self::Line,
            "array" if word(&schema["items"]["type"]) == "string" => Self::List,
            "object" if is_object && depth < MAX_DEPTH => Self::Group,
            _ => Self::Json,
        }
    }
}

/// Shows the fields of an object's properties, those that are required first.
pub(crate) fn fields(draft: &Draft, pointer: &str, schema: &Value) -> Markup {
    object(draft, pointer, schema, 0)
}

fn object(draft: &Draft, pointer: &str, schema: &Value, depth: usize) -> Markup {
    let required = required(schema);
    let properties = schema["properties"].as_object();
    let mut properties: Vec<(&String, &Value)> = properties.into_iter().flatten().collect();
    properties.sort_by_key(|(name, _)| !required.contains(&name.as_str()));
    let others = format!("{pointer}/");
    html! {
        @for (name, property) in properties {
            (one(draft, &child(pointer, name), name, property, required.contains(&name.as_str()), depth))
        }
        @if schema["additionalProperties"] != Value::Bool(false) {
            (draft.lines(
                &Field { pointer: &others, label: "Other fields", required: false, hint: "A JSON object; Graph takes more than is listed here." },
                "{ }",
            ))
        }
    }
}

fn one(
    draft: &Draft,
    pointer: &str,
    name: &str,
    schema: &Value,
    required: bool,
    depth: usize,
) -> Markup {
    let label = capital(&words(name));
    let hint = hint(schema);
    let field = Field {
        pointer,
        label: &label,
        required,
        hint: &hint,
    };
    match Control::of(schema, depth) {
        Control::Group => html! {
            fieldset {
                legend { (label) @if !required { " " span.quiet { "optional" } } }
                @if !hint.is_empty() { p.hint { (hint) } }
                @for rule in draft.rules(pointer) { p.rule { (rule) } }
                // A part of an optional group may be left out, so the browser does not insist on it.
                (object(draft, pointer, schema, depth + 1))
            }
        },
        Control::Choice => {
            let choices = schema["enum"].as_array();
            let choices = choices.into_iter().flatten().map(|choice| {
                let text = choice.as_str().map(str::to_owned);
                let text = text.unwrap_or_else(|| choice.to_string());
                (text.clone(), text)
            });
            draft.choice(&field, &choices.collect::<Vec<_>>())
        }
        Control::Switch => {
            let choices = [("true", "yes"), ("false", "no")];
            let choices = choices.map(|(value, label)| (value.to_owned(), label.to_owned()));
            draft.choice(&field, &choices)
        }
        Control::Number => draft.line(&field, "text", ""),
        Control::Secret => draft.line(&field, "password", ""),
        Control::Line => draft.line(&field, "text", example(schema)),
        Control::Lines => draft.lines(&field, ""),
        Control::List => draft.lines(&field, "one on each line"),
        Control::Json => draft.lines(&field, "JSON"),
    }
}

/// Returns the value that was typed for a schema; nothing where all of it was left empty.
///
/// A field that wants JSON and holds none adds an error.
pub(crate) fn value(
    fields: &Fields,
    pointer: &str,
    schema: &Value,
    errors: &mut Vec<(String, String)>,
) -> Option<Value> {
    typed(fields, pointer, schema, 0, errors)
}

fn typed(
    fields: &Fields,
    pointer: &str,
    schema: &Value,
    depth: usize,
    errors: &mut Vec<(String, String)>,
) -> Option<Value> {
    let text = fields.get(pointer);
    let control = Control::of(schema, depth);
    if control == Control::Group {
        return group(fields, pointer, schema, depth, errors);
    }
    if text.is_empty() {
        return None;
    }
    Some(match control {
        Control::Choice => {
            let choices = schema["enum"].as_array().into_iter().flatten();
            let mut choices = choices.filter(|choice| !choice.is_string());
            let typed: Option<Value> = serde_json::from_str(text).ok();
            let other = choices.find(|choice| Some(*choice) == typed.as_ref());
            other.cloned().unwrap_or_else(|| text.into())
        }
        Control::Switch => (text == "true").into(),
        // What is no number goes to the API as text, which says so.
        Control::Number => serde_json::from_str(text)
            .ok()
            .filter(Value::is_number)
            .unwrap_or_else(|| text.into()),
        Control::Line | Control::Secret | Control::Lines => text.into(),
        Control::List => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(Value::from).collect()
        }
        Control::Json | Control::Group => json(text, pointer, errors)?,
    })
}

fn group(
    fields: &Fields,
    pointer: &str,
    schema: &Value,
    depth: usize,
    errors: &mut Vec<(String, String)>,
) -> Option<Value> {
    let mut object = Map::new();
    let others = format!("{pointer}/");
    if schema["additionalProperties"] != Value::Bool(false) && !fields.get(&others).is_empty() {
        match json(fields.get(&others), &others, errors) {
            Some(Value::Object(more)) => object = more,
            Some(_) => errors.push((others, "must be a JSON object".to_owned())),
            None => {}
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = typed(fields, &child(pointer, name), property, depth + 1, errors) {
            object.insert(name.clone(), value);
        }
    }
    // The parameters themselves are sent even if there are none.
    (depth == 0 || !object.is_empty()).then_some(Value::Object(object))
}

fn json(text: &str, pointer: &str, errors: &mut Vec<(String, String)>) -> Option<Value> {
    let value = serde_json::from_str(text);
    if let Err(error) = &value {
        errors.push((pointer.to_owned(), format!("must be JSON: {error}")));
    }
    value.ok()
}

fn required(schema: &Value) -> Vec<&str> {
    let names = schema["required"].as_array();
    names.into_iter().flatten().map(word).collect()
}

/// Returns the pointer of a member (RFC 6901).
fn child(pointer: &str, name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{name}")
}

fn hint(schema: &Value) -> String {
    let description = word(&schema["description"]);
    let form = match word(&schema["format"]) {
        "uuid" => "A GUID.",
        "date-time" => "A time such as 2026-12-20T00:00:00Z.",
        "secret" => "It is sealed until it is sent, and never shown again.",
        _ => "",
    };
    match (description.is_empty(), form.is_empty()) {
        (false, false) => format!("{description}. {form}"),
        (false, true) => format!("{description}."),
        (true, _) => form.to_owned(),
    }
}

fn example(schema: &Value) -> &'static str {
    match word(&schema["format"]) {
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "date-time" => "2026-12-20T00:00:00Z",
        "container-sas" => "https://account.blob.core.windows.net/container?sv=…&sp=acw&sr=c&sig=…",
        _ => "",
    }
}

/// Begins a label with a capital letter.
pub(crate) fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["teamId"], "additionalProperties": false,
            "properties": {
                "teamId": { "type": "string", "format": "uuid" },
                "password": { "type": "string", "format": "secret" },
                "keep": { "type": "boolean" },
                "count": { "type": "integer" },
                "kind": { "enum": ["a", 2] },
                "people": { "type": "array", "items": { "type": "string" } },
                "schedule": {
                    "type": "object",
                    "properties": { "enabled": { "type": "boolean" }, "a/b": { "type": "string" } },
                },
                "free": { "type": "object" },
            },
        })
    }

    fn typed(pairs: &[(&str, &str)]) -> (Value, Vec<(String, String)>) {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        let mut errors = Vec::new();
        let fields = Fields::read(query.finish().as_bytes());
        let value = value(&fields, "/parameters", &schema(), &mut errors);
        (value.unwrap(), errors)
    }

    #[test]
    fn what_is_typed_becomes_a_value_of_the_schema() {
        let (value, errors) = typed(&[
            ("/parameters/teamId", " id "),
            ("/parameters/keep", "false"),
            ("/parameters/count", "12"),
            ("/parameters/kind", "2"),
            ("/parameters/people", "a\r\n\r\n b \r\n"),
            ("/parameters/schedule/enabled", "true"),
            ("/parameters/schedule/a~1b", "c"),
            ("/parameters/schedule/", "{\"more\": [1]}"),
            ("/parameters/free", "{\"x\": null}"),
            ("/parameters/foreign", "ignored"),
        ]);
        let expected = json!({
            "teamId": "id", "keep": false, "count": 12, "kind": 2, "people": ["a", "b"],
            "schedule": { "more": [1], "enabled": true, "a/b": "c" }, "free": { "x": null },
        });
        assert_eq!((value, errors), (expected, vec![]));
        assert_eq!(typed(&[("/parameters/keep", "")]).0, json!({}));
        assert_eq!(
            typed(&[("/parameters/count", "many")]).0,
            json!({ "count": "many" })
        );
    }

    #[test]
    fn broken_json_is_an_error_at_its_field() {
        let (value, errors) = typed(&[("/parameters/free", "{"), ("/parameters/schedule/", "[]")]);
        assert_eq!(value, json!({}));
        let places: Vec<&str> = errors.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["/parameters/schedule/", "/parameters/free"]);
    }

    #[test]
    fn each_field_is_named_by_its_pointer_and_shows_its_error() {
        let pointer = "/parameters/schedule/enabled".to_owned();
        let draft = Draft {
            fields: Fields::read(b"/parameters/password=hidden&/parameters/teamId=%22%3E<b>"),
            errors: vec![(pointer, "must be <b>".to_owned())],
        };
        let form = fields(&draft, "/parameters", &schema()).0;
        for name in [
            "teamId",
            "password",
            "keep",
            "people",
            "schedule/enabled",
            "schedule/a~1b",
            "free",
        ] {
            assert!(
                form.contains(&format!("name=\"/parameters/{name}\"")),
                "{name}: {form}"
            );
        }
        assert!(form.contains("must be &lt;b&gt;"));
        assert!(form.contains("value=\"&quot;&gt;&lt;b&gt;\""));
        assert!(!form.contains("hidden"), "a secret is not sent back");
        assert!(form.find("teamId") < form.find("/parameters/count"));
    }
}
