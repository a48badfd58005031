//! Templates of callback bodies: JSON values whose strings may contain `{{/pointer}}` into the completion.
//!
//! Values are replaced instead of text, so nothing that a caller sends can break out of its place.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;

/// The placeholder for the profile's target.
const TARGET: &str = "{{target}}";

/// A body that is filled in from the completion `{"type", "timestamp", "data"}`.
///
/// - A string that is one `{{/pointer}}` becomes the value there (RFC 6901). `{{}}` is the whole completion; a missing
///   value is null.
/// - Inside a longer string the value is written out, null as nothing, and spaces at the end are dropped.
/// - `{{json /pointer}}` is the value there as JSON text, for receivers that want JSON inside a string.
/// - `{{target}}` is what the configuration names as the profile's target ([`Template::aimed`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Value);

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let value: Value = serde_json::from_str(&text).map_err(|error| {
            format!(
                "must be JSON: line {} column {}",
                error.line(),
                error.column()
            )
        })?;
        check(&value)?;
        Ok(Self(value))
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0.to_string()
    }
}

impl Template {
    /// Returns the body for this completion.
    pub fn render(&self, completion: &Value) -> Value {
        each_text(&self.0, &|text| fill_text(text, completion))
    }

    /// Returns the template with `target` in the place of each `{{target}}`.
    pub fn aimed(&self, target: &str) -> Self {
        Self(each_text(&self.0, &|text| {
            text.replace(TARGET, target).into()
        }))
    }

    /// Reports whether the template needs a target.
    pub fn wants_target(&self) -> bool {
        self.0.to_string().contains(TARGET)
    }

    /// Reports whether the body is an object, whose fields can be written as a form.
    pub fn is_object(&self) -> bool {
        self.0.is_object()
    }
}

/// Returns a body as it is sent: as JSON, or an object as a form (`application/x-www-form-urlencoded`), in which a value
/// that is no text stands as JSON.
pub fn written(body: &Value, as_form: bool) -> String {
    let Some(fields) = body.as_object().filter(|_| as_form) else {
        return body.to_string();
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        match value.as_str() {
            Some(text) => form.append_pair(name, text),
            None => form.append_pair(name, &value.to_string()),
        };
    }
    form.finish()
}

fn check(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => parts(text).map(|_| ()),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(fields) => fields.values().try_for_each(check),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Returns the value with `change` applied to each text in it, but for names of fields.
fn each_text(value: &Value, change: &dyn Fn(&str) -> Value) -> Value {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter().map(|item| each_text(item, change)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), each_text(value, change)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

enum Part<'a> {
    Text(&'a str),
    Value(&'a str),
    Json(&'a str),
}

/// Splits a string into plain text and placeholders. The error names a placeholder that is not a JSON pointer.
fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((place, behind)) = after.split_once("}}") else {
            return Err("has a {{ without }}".to_owned());
        };
        let (json, pointer) = match place.strip_prefix("json ") {
            Some(pointer) => (true, pointer),
            // The configuration's reader puts the target in, or reports that there is none.
            None if place == "target" => (false, "/target"),
            None => (false, place),
        };
        if !(pointer.is_empty() || pointer.starts_with('/')) {
            return Err(format!(
                "{{{{{place}}}}} must hold a JSON pointer such as /data/status"
            ));
        }
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        parts.push(if json {
            Part::Json(pointer)
        } else {
            Part::Value(pointer)
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn fill_text(text: &str, completion: &Value) -> Value {
    // This cannot fail, because every string was checked when the template was parsed.
    let parts = parts(text).unwrap_or_default();
    let found = |pointer: &str| completion.pointer(pointer).unwrap_or(&Value::Null);
    if let [Part::Value(pointer)] = parts.as_slice() {
        return found(pointer).clone();
    }
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Json(pointer) => filled.push_str(&found(pointer).to_string()),
            Part::Value(pointer) => match found(pointer) {
                Value::Null => {}
                Value::String(text) => filled.push_str(text),
                other
                @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    filled.push_str(&other.to_string());
                }
            },
        }
    }
    Value::from(filled.trim_end())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str) -> Value {
        let completion = json!({
            "type": "operation.failed",
            "data": { "status": "failed", "reference": "a\"b", "reason": null, "graph": { "polls": 3 } },
        });
        Template::try_from(template.to_owned())
            .unwrap()
            .render(&completion)
    }

    #[test]
    fn string_that_is_one_pointer_becomes_the_value() {
        assert_eq!(rendered(r#""{{/data/status}}""#), json!("failed"));
        assert_eq!(rendered(r#"["{{/data/reference}}"]"#), json!(["a\"b"]));
        assert_eq!(
            rendered(r#"{"n":"{{/data/graph/polls}}"}"#),
            json!({ "n": 3 })
        );
        assert_eq!(rendered(r#""{{/data/reason}}""#), Value::Null);
        assert_eq!(rendered(r#""{{/no/such}}""#), Value::Null);
        assert_eq!(rendered(r#""{{}}""#)["type"], "operation.failed");
    }

    #[test]
    fn values_inside_a_longer_string_are_written_out() {
        for (template, text) in [
            ("is {{/data/status}}.", "is failed."),
            ("{{/data/status}} {{/data/reason}} {{/no}}", "failed"),
            (
                "{{/data/graph/polls}} polls of {{/data/reference}}",
                "3 polls of a\"b",
            ),
            ("{{json /data/graph}}", "{\"polls\":3}"),
            ("{{json /data/reference}}", "\"a\\\"b\""),
            ("no {place}", "no {place}"),
        ] {
            let template = Value::from(template).to_string();
            assert_eq!(rendered(&template), text, "{template}");
        }
    }

    #[test]
    fn placeholders_in_names_and_in_values_of_the_caller_are_not_filled() {
        assert_eq!(
            rendered(r#"{"{{/data}}": [1, true, null]}"#),
            json!({ "{{/data}}": [1, true, null] })
        );
        let template = Template::try_from("\"{{/data/reference}}\"".to_owned()).unwrap();
        let sent = json!({ "data": { "reference": "{{/data/secret}}", "secret": "x" } });
        assert_eq!(template.render(&sent), "{{/data/secret}}");
    }

    #[test]
    fn target_is_filled_in_and_a_form_has_the_fields_of_the_object() {
        let text = r#"{"QueueUrl": "{{target}}", "Body": "{{json /data}}", "n": 1, "{{target}}": "a {{target}}"}"#;
        let template = Template::try_from(text.to_owned()).unwrap();
        assert!(template.wants_target());
        let aimed = template.aimed("https://sqs.example/1/q");
        let body = aimed.render(&json!({ "data": { "a": "b c" } }));
        assert_eq!(
            written(&body, true),
            "QueueUrl=https%3A%2F%2Fsqs.example%2F1%2Fq&Body=%7B%22a%22%3A%22b+c%22%7D&n=1\
             &%7B%7Btarget%7D%7D=a+https%3A%2F%2Fsqs.example%2F1%2Fq"
        );
        assert_eq!(written(&json!({ "a": 1 }), false), r#"{"a":1}"#);
    }

    #[test]
    fn invalid_template_is_refused_when_it_is_parsed() {
        for (text, rule) in [
            ("{", "must be JSON: line 1 column 1"),
            ("\"{{/data\"", "has a {{ without }}"),
            (
                "\"{{data}}\"",
                "{{data}} must hold a JSON pointer such as /data/status",
            ),
            (
                "[{\"a\": \"{{json data}}\"}]",
                "{{json data}} must hold a JSON pointer such as /data/status",
            ),
        ] {
            assert_eq!(Template::try_from(text.to_owned()), Err(rule.to_owned()));
        }
    }
}
