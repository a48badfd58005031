//! Gives values with several spellings of one meaning the same spelling.

use serde_json::Value;

use super::{Format, Schema};

impl Schema {
    /// Rewrites those parts of a valid value that have several spellings of one meaning: GUIDs get lower case.
    pub fn make_canonical(&self, value: &mut Value) {
        match value {
            Value::String(text) if self.format == Some(Format::Uuid) => text.make_ascii_lowercase(),
            Value::Array(array) => {
                if let Some(items) = &self.items {
                    array.iter_mut().for_each(|item| items.make_canonical(item));
                }
            }
            Value::Object(object) => {
                for (name, property) in &self.properties {
                    if let Some(field) = object.get_mut(name) {
                        property.make_canonical(field);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_schema_calls_a_guid_is_made_canonical() {
        let guid = json!({"type":"string","format":"uuid"});
        let schema = json!({
            "type": "object",
            "properties": {
                "id": guid,
                "ids": {"type":"array","items":guid},
                "inner": {"type":"object","properties":{"id":guid}},
                "name": {"type":"string"},
            },
        });
        let text = "87D349ED-44D7-43E1-9A83-5F2406DEE5BD";
        let mut value = json!({"id":text,"ids":[text],"inner":{"id":text,"free":text},"name":text});
        Schema::parse(&schema).unwrap().make_canonical(&mut value);
        let lower = text.to_ascii_lowercase();
        assert_eq!(
            value,
            json!({"id":lower,"ids":[lower],"inner":{"id":lower,"free":text},"name":text})
        );
    }
}
