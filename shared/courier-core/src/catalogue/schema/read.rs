//! Parses a schema from JSON.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde_json::{Map, Value};

use super::values::has_repeated;
use super::{Format, Kind, Schema, alternatives};
use crate::strict_json::child;

pub(super) fn schema(place: &str, schema: &Value) -> Result<Schema, String> {
    let keywords = schema
        .as_object()
        .ok_or_else(|| format!("{place}: a schema must be an object"))?;
    let mut parsed = Schema::default();
    for (keyword, value) in keywords {
        read_keyword(&mut parsed, place, keyword, value)?;
    }
    // Of a value that is no object, JSON Schema would say that it meets all alternatives.
    if !parsed.one_of.is_empty() && parsed.types != [Kind::Object] {
        return Err(format!("{place}/oneOf: needs type = \"object\""));
    }
    for (keyword, names) in [("required", &parsed.required), ("oneOf", &parsed.one_of)] {
        let mut names = names.iter();
        if let Some(name) = names.find(|name| !parsed.properties.contains_key(*name)) {
            return Err(format!(
                "{place}/{keyword}: {name} is not among the properties"
            ));
        }
    }
    Ok(parsed)
}

fn read_keyword(
    parsed: &mut Schema,
    parent: &str,
    keyword: &str,
    value: &Value,
) -> Result<(), String> {
    let place = child(parent, keyword);
    let wrong = |expected: &str| format!("{place}: must be {expected}");
    let flag = || value.as_bool().ok_or_else(|| wrong("true or false"));
    let whole = || value.as_u64().ok_or_else(|| wrong("a whole number"));
    let number = || value.as_number().cloned().ok_or_else(|| wrong("a number"));
    match keyword {
        "type" => {
            parsed.types =
                types(value).ok_or_else(|| wrong("a type or a list of different types"))?
        }
        "properties" => {
            let fields = value.as_object().ok_or_else(|| wrong("an object"))?;
            parsed.properties = properties(&place, fields)?;
        }
        "required" => {
            parsed.required = names(value).ok_or_else(|| wrong("a list of different names"))?;
        }
        "oneOf" => {
            let expected = "a list such as [{ required = [\"a\"] }, { required = [\"b\"] }]";
            parsed.one_of = alternatives::read(value).ok_or_else(|| wrong(expected))?;
        }
        "additionalProperties" => {
            parsed.closed = !flag()?;
        }
        "items" => parsed.items = Some(Box::new(schema(&place, value)?)),
        "enum" => {
            let choices = value.as_array().filter(|choices| !choices.is_empty());
            parsed.choices = Some(choices.ok_or_else(|| wrong("a list of values"))?.clone());
        }
        "const" => parsed.constant = Some(value.clone()),
        "minProperties" => parsed.min_properties = Some(whole()?),
        "maxProperties" => parsed.max_properties = Some(whole()?),
        "minLength" => parsed.min_length = Some(whole()?),
        "maxLength" => parsed.max_length = Some(whole()?),
        "minItems" => parsed.min_items = Some(whole()?),
        "maxItems" => parsed.max_items = Some(whole()?),
        "uniqueItems" => parsed.unique_items = flag()?,
        "minimum" => parsed.minimum = Some(number()?),
        "exclusiveMinimum" => parsed.exclusive_minimum = Some(number()?),
        "maximum" => parsed.maximum = Some(number()?),
        "exclusiveMaximum" => parsed.exclusive_maximum = Some(number()?),
        "multipleOf" => {
            let divisor =
                divisor(value).ok_or_else(|| wrong("a whole number from 1 to 4294967295"));
            parsed.multiple_of = Some(divisor?);
        }
        "format" => {
            let known = || wrong("uuid, date-time, secret, container-sas or storage");
            parsed.format = Some(format_of(value).ok_or_else(known)?);
        }
        // Annotations, which check nothing.
        "title" | "description" | "$comment" if value.is_string() => {}
        "title" | "description" | "$comment" => return Err(wrong("a string")),
        "default" => {}
        "examples" if value.is_array() => {}
        "examples" => return Err(wrong("a list of values")),
        "deprecated" => drop(flag()?),
        _ => return Err(format!("{place}: the keyword is not supported")),
    }
    Ok(())
}

fn properties(
    place: &str,
    fields: &Map<String, Value>,
) -> Result<BTreeMap<String, Schema>, String> {
    fields
        .iter()
        .map(|(name, property)| Ok((name.clone(), schema(&child(place, name), property)?)))
        .collect()
}

fn types(value: &Value) -> Option<Vec<Kind>> {
    match value {
        Value::String(name) => Some(vec![kind(name)?]),
        Value::Array(names) if !names.is_empty() && !has_repeated(names) => {
            names.iter().map(|name| kind(name.as_str()?)).collect()
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            None
        }
    }
}

pub(super) fn names(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array().filter(|list| !has_repeated(list))?;
    list.iter()
        .map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "object" => Kind::Object,
        "array" => Kind::Array,
        "string" => Kind::String,
        "number" => Kind::Number,
        "integer" => Kind::Integer,
        "boolean" => Kind::Boolean,
        "null" => Kind::Null,
        _ => return None,
    })
}

fn format_of(value: &Value) -> Option<Format> {
    Some(match value.as_str()? {
        "uuid" => Format::Uuid,
        "date-time" => Format::DateTime,
        "secret" => Format::Secret,
        "container-sas" => Format::ContainerSas,
        "storage" => Format::Storage,
        _ => return None,
    })
}

fn divisor(value: &Value) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(value.as_u64()?).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unsupported_or_invalid_schema_is_refused_with_its_place() {
        for (schema, place) in [
            (json!(true), ": a schema"),
            (json!({"pattern":"a"}), "/pattern: the keyword"),
            (json!({"Type":"string"}), "/Type: the keyword"),
            (json!({"type":"text"}), "/type"),
            (json!({"type":[]}), "/type"),
            (json!({"type":["string",1]}), "/type"),
            (
                json!({"properties":{"a/b":{"minlength":1}}}),
                "/properties/a~1b/minlength: the keyword",
            ),
            (json!({"type":["string","string"]}), "/type"),
            (json!({"properties":[]}), "/properties"),
            (json!({"required":["a"]}), "/required: a is not"),
            (json!({"required":"a"}), "/required"),
            (
                json!({"properties":{"a":{}},"required":["a","a"]}),
                "/required: must be",
            ),
            (json!({"additionalProperties":{}}), "/additionalProperties"),
            (json!({"items":{"format":"date"}}), "/items/format"),
            (json!({"enum":[]}), "/enum"),
            (json!({"minLength":-1}), "/minLength"),
            (json!({"maxItems":1.5}), "/maxItems"),
            (json!({"maximum":"9"}), "/maximum"),
            (json!({"multipleOf":0}), "/multipleOf"),
            (json!({"multipleOf":0.5}), "/multipleOf"),
            (json!({"uniqueItems":1}), "/uniqueItems"),
            (json!({"$comment":1}), "/$comment"),
            (json!({"examples":1}), "/examples"),
            (json!({"deprecated":1}), "/deprecated"),
            (json!({"oneOf":[]}), "/oneOf: must be"),
            (
                json!({"oneOf":[{"type":"string"},{"required":["a"]}]}),
                "/oneOf: must be",
            ),
            (
                json!({"type":"object","properties":{"a":{}},"oneOf":[{"required":["a"]},{"required":["b"]}]}),
                "/oneOf: b is not",
            ),
            (
                json!({"oneOf":[{"required":["a"]},{"required":["b"]}]}),
                "/oneOf: needs type",
            ),
            (json!({"anyOf":[]}), "/anyOf: the keyword"),
            (json!({"$ref":"#"}), "/$ref: the keyword"),
            (json!({"title":1}), "/title"),
        ] {
            let error = Schema::parse(&schema).unwrap_err();
            assert!(error.starts_with(place), "{schema}: {error}");
        }
    }
}
