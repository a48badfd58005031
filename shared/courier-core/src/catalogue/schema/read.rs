//! Parses a schema from JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Format, Kind, Schema};
use crate::strict_json::child;

pub(super) fn schema(place: &str, schema: &Value) -> Result<Schema, String> {
    let keywords = schema
        .as_object()
        .ok_or_else(|| format!("{place}: a schema must be an object"))?;
    let mut parsed = Schema::default();
    for (keyword, value) in keywords {
        read_keyword(&mut parsed, place, keyword, value)?;
    }
    if let Some(name) = parsed
        .required
        .iter()
        .find(|name| !parsed.properties.contains_key(*name))
    {
        return Err(format!(
            "{place}/required: {name} is not among the properties"
        ));
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
    let whole = || value.as_u64().ok_or_else(|| wrong("a whole number"));
    let number = || value.as_f64().ok_or_else(|| wrong("a number"));
    match keyword {
        "type" => parsed.types = types(value).ok_or_else(|| wrong("a type or a list of types"))?,
        "properties" => {
            let fields = value.as_object().ok_or_else(|| wrong("an object"))?;
            parsed.properties = properties(&place, fields)?;
        }
        "required" => {
            parsed.required = names(value).ok_or_else(|| wrong("a list of names"))?;
        }
        "additionalProperties" => {
            parsed.closed = !value.as_bool().ok_or_else(|| wrong("true or false"))?;
        }
        "items" => parsed.items = Some(Box::new(schema(&place, value)?)),
        "enum" => {
            let choices = value.as_array().filter(|choices| !choices.is_empty());
            parsed.choices = Some(choices.ok_or_else(|| wrong("a list of values"))?.clone());
        }
        "const" => parsed.constant = Some(value.clone()),
        "minLength" => parsed.min_length = Some(whole()?),
        "maxLength" => parsed.max_length = Some(whole()?),
        "minItems" => parsed.min_items = Some(whole()?),
        "maxItems" => parsed.max_items = Some(whole()?),
        "minimum" => parsed.minimum = Some(number()?),
        "maximum" => parsed.maximum = Some(number()?),
        "format" => {
            parsed.format = Some(match value.as_str() {
                Some("uuid") => Format::Uuid,
                Some("date-time") => Format::DateTime,
                Some("secret") => Format::Secret,
                Some("container-sas") => Format::ContainerSas,
                Some(_) | None => {
                    return Err(wrong("uuid, date-time, secret or container-sas"));
                }
            });
        }
        "title" | "description" if value.is_string() => {}
        "title" | "description" => return Err(wrong("a string")),
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
        Value::Array(names) if !names.is_empty() => {
            names.iter().map(|name| kind(name.as_str()?)).collect()
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            None
        }
    }
}

fn names(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?;
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
