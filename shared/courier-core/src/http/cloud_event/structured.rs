//! An event as one JSON object (CloudEvents JSON format 1.0): its attributes and its data are members.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::attributes::{Attributes, Name};
use super::{BrokenAttribute, Parts, Problem};
use crate::strict_json;

/// Reports whether a body looks like an event, whatever its media type says.
pub(super) fn is_event(body: &[u8]) -> bool {
    // Most requests are none, and are not parsed twice for it.
    let mark = b"\"specversion\"";
    let has_mark = body.windows(mark.len()).any(|bytes| bytes == mark);
    has_mark
        && strict_json::parse(body)
            .is_ok_and(|event| event.get(Name::SpecVersion.as_str()).is_some())
}

pub(super) fn read(body: &[u8]) -> Result<Parts, Problem> {
    let event = strict_json::parse(body).map_err(Problem::BadJson)?;
    let Value::Object(mut members) = event else {
        let rule = "is required: the body must be an object";
        return Err(Problem::InvalidEvent(vec![BrokenAttribute {
            attribute: Name::SpecVersion.as_str(),
            rule,
        }]));
    };
    let mut broken = Vec::new();
    let mut attributes = Attributes::default();
    for name in Name::READ {
        match members.remove(name.as_str()) {
            // A null is an attribute that is left out (section 2.2).
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => attributes.add(name, text),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                broken.push(BrokenAttribute {
                    attribute: name.as_str(),
                    rule: "must be a string",
                });
            }
        }
    }
    let [data, coded] = ["data", "data_base64"].map(|name| {
        let found = members.remove(name);
        found.filter(|value| !value.is_null())
    });
    let data = match (data, coded) {
        (Some(_), Some(_)) => Err("and data_base64 exclude each other"),
        (data, None) => Ok(data),
        (None, Some(coded)) => decoded(&coded).map(Some),
    };
    let data = data.unwrap_or_else(|rule| {
        let attribute = Name::Data.as_str();
        broken.push(BrokenAttribute { attribute, rule });
        None
    });
    Ok(Parts {
        attributes,
        data,
        broken,
    })
}

/// Returns the JSON of `data_base64` (section 3.1.1).
fn decoded(coded: &Value) -> Result<Value, &'static str> {
    let bytes = coded.as_str().and_then(|text| STANDARD.decode(text).ok());
    let value = bytes.and_then(|bytes| strict_json::parse(&bytes).ok());
    value.ok_or("must be JSON in base64 if it is sent as data_base64")
}
