//! An independent oracle: the slice of Graph's OpenAPI, converted from Microsoft's metadata, and
//! what it says about a request or an answer.
//!
//! `format` is not asserted, because the documentation itself prints malformed timestamps.

use jsonschema::Validator;
use serde_json::{Map, Value, json};

pub(crate) struct Slice {
    document: Value,
}

/// An answer, as far as the slice can judge it.
pub(crate) struct Given<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    /// Names and values; a name may come more than once.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

impl Slice {
    /// The slice as it is.
    pub(crate) fn load() -> Self {
        let text = include_str!("../graph-openapi-slice.json");
        let mut document: Value = serde_json::from_str(text).unwrap();
        let schemas = &mut document["components"]["schemas"];
        *schemas = to_json_schema(schemas);
        Self { document }
    }

    /// The slice with both sides of what documentation and metadata disagree about: the casing of
    /// `provisionStatus` and `startDayOfWeek`, and `progress` as text.
    pub(crate) fn with_documented_conflicts() -> Self {
        let mut slice = Self::load();
        let schemas = &mut slice.document["components"]["schemas"];
        for name in ["operationStatus", "dayOfWeek"] {
            let words = &mut schemas[format!("microsoft.graph.{name}")]["enum"];
            *words = words.as_array().unwrap().iter().flat_map(casings).collect();
        }
        schemas["microsoft.graph.dataPolicyOperation"]["properties"]["progress"]["type"] =
            json!(["number", "string"]);
        slice
    }

    /// Returns the mistakes of an answer; none if the slice allows it.
    pub(crate) fn complaints(&self, given: &Given<'_>) -> Vec<String> {
        let Some(response) = self.response(given.method, given.path, given.status) else {
            return vec![format!(
                "{} {} never answers {}",
                given.method, given.path, given.status
            )];
        };
        let mut complaints = missing_headers(response, given);
        let media_type = header(given, "content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default();
        match (&response["content"], given.body) {
            (Value::Object(content), body) => match content.get(media_type) {
                None => complaints.push(format!("undocumented content type `{media_type}`")),
                Some(_) if media_type != "application/json" => {}
                Some(media) => complaints.extend(self.body_complaints(&media["schema"], body)),
            },
            (_, []) => {}
            (_, _) => complaints.push("a body where none is documented".to_owned()),
        }
        complaints
    }

    /// Returns the mistakes of a request's JSON body.
    pub(crate) fn request_complaints(&self, method: &str, path: &str, body: &[u8]) -> Vec<String> {
        match self.operation(method, path) {
            None => vec![format!("{method} {path} is not in the slice")],
            Some(operation) => {
                let media = &operation["requestBody"]["content"]["application/json"];
                self.body_complaints(&to_json_schema(&media["schema"]), body)
            }
        }
    }

    /// The documented bodies of an answer, by name.
    pub(crate) fn examples(&self, method: &str, path: &str, status: u16) -> Map<String, Value> {
        let response = self.response(method, path, status).unwrap();
        let examples = response["content"]["application/json"]["examples"].as_object();
        examples.cloned().unwrap_or_default()
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.document["paths"].as_object()?;
        let (_, item) = paths.iter().find(|(template, _)| fits(template, path))?;
        item.get(method.to_ascii_lowercase())
    }

    fn response(&self, method: &str, path: &str, status: u16) -> Option<&Value> {
        let responses = &self.operation(method, path)?["responses"];
        let class = format!("{}XX", status / 100);
        let response = responses
            .get(status.to_string())
            .or_else(|| responses.get(class))?;
        match response["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')),
            None => Some(response),
        }
    }

    fn body_complaints(&self, schema: &Value, body: &[u8]) -> Vec<String> {
        let body: Value = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return vec![format!("the body is no JSON: {error}")],
        };
        let validator = self.validator(schema);
        let mut complaints: Vec<String> = validator
            .iter_errors(&body)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        let declared = self.declared(schema);
        let names = body.as_object().into_iter().flat_map(Map::keys);
        let strange = names.filter(|name| !name.starts_with("@odata.") && !declared.contains(name));
        complaints.extend(strange.map(|name| format!("`{name}` is not declared")));
        complaints
    }

    fn validator(&self, schema: &Value) -> Validator {
        let root = json!({ "allOf": [schema], "components": self.document["components"] });
        let options = jsonschema::options().should_validate_formats(false);
        options.build(&root).unwrap()
    }

    /// The names a schema declares, its parts and references included.
    fn declared(&self, schema: &Value) -> Vec<String> {
        let mut names: Vec<String> = schema["properties"]
            .as_object()
            .into_iter()
            .flat_map(|properties| properties.keys().cloned())
            .collect();
        for part in ["allOf", "anyOf"] {
            let parts = schema[part].as_array().into_iter().flatten();
            names.extend(parts.flat_map(|part| self.declared(part)));
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#'));
            names.extend(self.declared(target.unwrap()));
        }
        names
    }
}

/// Graph's paths match without regard to case.
fn fits(template: &str, path: &str) -> bool {
    let count = template.split('/').count() == path.split('/').count();
    let mut pairs = template.split('/').zip(path.split('/'));
    count && pairs.all(|(want, got)| want.starts_with('{') || want.eq_ignore_ascii_case(got))
}

/// `Retry-After` is documented as optional where it is listed beside a body.
fn missing_headers(response: &Value, given: &Given<'_>) -> Vec<String> {
    let optional = response["content"].is_object();
    let documented = response["headers"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys);
    documented
        .filter(|name| !(optional && *name == "Retry-After"))
        .filter(|name| header(given, name).is_none())
        .map(|name| format!("the header {name} is missing"))
        .collect()
}

fn header<'a>(given: &Given<'a>, name: &str) -> Option<&'a str> {
    let mut headers = given.headers.iter();
    let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(&found.1)
}

/// OpenAPI 3.0 says `nullable` where JSON Schema has a type for it.
fn to_json_schema(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(to_json_schema).collect(),
        Value::Object(members) => {
            let convert = |(name, value): (&String, &Value)| (name.clone(), to_json_schema(value));
            let mut converted: Map<String, Value> = members.iter().map(convert).collect();
            match converted.remove("nullable") {
                Some(Value::Bool(true)) => json!({ "anyOf": [converted, { "type": "null" }] }),
                Some(_) | None => Value::Object(converted),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

fn casings(word: &Value) -> [Value; 3] {
    let word = word.as_str().unwrap();
    let (first, rest) = word.split_at(1);
    let pascal = format!("{}{rest}", first.to_ascii_uppercase());
    let camel = format!("{}{rest}", first.to_ascii_lowercase());
    [
        pascal.into(),
        camel.into(),
        word.to_ascii_lowercase().into(),
    ]
}
