//! The forms of `Retry-After` in a script: a number, any text, or `false` for no header.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Absent(bool),
    Seconds(u64),
    Decimal(f64),
    Text(String),
}

pub(crate) fn serialize<S: Serializer>(
    value: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        None => Value::Absent(false),
        Some(text) => Value::Text(text.clone()),
    }
    .serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Absent(false) => Ok(None),
        Value::Absent(true) => Err(D::Error::custom("expected a number, a text or false")),
        Value::Seconds(seconds) => Ok(Some(seconds.to_string())),
        Value::Decimal(seconds) => Ok(Some(seconds.to_string())),
        Value::Text(text) => Ok(Some(text)),
    }
}
