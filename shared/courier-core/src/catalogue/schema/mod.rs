//! Validates values by the part of JSON Schema (2020-12) that the catalogue uses. An unknown keyword is refused, not
//! ignored.

mod canonical;
mod formats;
mod read;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use self::formats::is_date_time;
pub(crate) use self::formats::is_guid;
use crate::strict_json::child;

/// The rules that a value must meet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    types: Vec<Kind>,
    properties: BTreeMap<String, Self>,
    required: Vec<String>,
    closed: bool,
    items: Option<Box<Self>>,
    choices: Option<Vec<Value>>,
    constant: Option<Value>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    format: Option<Format>,
}

/// One broken rule. It never contains the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// JSON pointer to the value (RFC 6901).
    pub pointer: String,
    /// The rule, as the continuation of "the value …".
    pub rule: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Number,
    Integer,
    Boolean,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Uuid,
    /// A time of RFC 3339, section 5.6.
    DateTime,
    /// A text that is sealed until the start is sent, and of which nothing is stored or shown.
    Secret,
    /// A shared access signature for a container. It is a secret; `sas` checks it in detail.
    ContainerSas,
}

impl Violation {
    pub fn new(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            rule: rule.into(),
        }
    }
}

impl Schema {
    /// Parses a schema. The error names the place in the schema.
    pub fn parse(schema: &Value) -> Result<Self, String> {
        read::schema("", schema)
    }

    /// Returns every rule that `value` breaks, in the order of the document; `pointer` is the place of `value`.
    pub fn validate(&self, value: &Value, pointer: &str) -> Vec<Violation> {
        if !self.has_type(value) {
            let rule = format!("must be {}", Kind::either(&self.types));
            return vec![Violation::new(pointer, rule)];
        }
        let mut rules = Vec::new();
        self.check_choice(value, &mut rules);
        match value {
            Value::String(text) => self.check_string(text, &mut rules),
            Value::Number(number) => self.check_number(number.as_f64(), &mut rules),
            Value::Array(array) => self.check_length(array, &mut rules),
            Value::Object(_) | Value::Bool(_) | Value::Null => {}
        }
        let mut violations: Vec<Violation> = rules
            .into_iter()
            .map(|rule| Violation::new(pointer, rule))
            .collect();
        self.check_children(value, pointer, &mut violations);
        violations
    }

    /// Returns the names of the properties that hold secrets.
    pub fn secrets(&self) -> Vec<String> {
        let is_secret = |format| matches!(format, Format::Secret | Format::ContainerSas);
        let properties = self.properties.iter();
        properties
            .filter(|(_, property)| property.format.is_some_and(is_secret))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Reports whether this property holds a shared access signature, of which the container's URL is no secret.
    pub(crate) fn is_container_sas(&self, property: &str) -> bool {
        let property = self.properties.get(property);
        property.is_some_and(|property| property.format == Some(Format::ContainerSas))
    }

    fn has_type(&self, value: &Value) -> bool {
        self.types.is_empty() || self.types.iter().any(|kind| kind.holds(value))
    }

    fn check_choice(&self, value: &Value, rules: &mut Vec<String>) {
        if let Some(constant) = &self.constant
            && value != constant
        {
            rules.push(format!("must be {constant}"));
        }
        if let Some(choices) = &self.choices
            && !choices.contains(value)
        {
            let names: Vec<String> = choices.iter().map(Value::to_string).collect();
            rules.push(format!("must be one of {}", names.join(", ")));
        }
    }

    fn check_string(&self, text: &str, rules: &mut Vec<String>) {
        let length = text.chars().count() as u64;
        if let Some(least) = self.min_length
            && length < least
        {
            rules.push(format!("must have at least {least} characters"));
        }
        if let Some(most) = self.max_length
            && length > most
        {
            rules.push(format!("must have at most {most} characters"));
        }
        if self.format == Some(Format::Uuid) && !is_guid(text) {
            rules.push("must be a GUID".to_owned());
        }
        if self.format == Some(Format::DateTime) && !is_date_time(text) {
            rules.push("must be an RFC 3339 time such as 2026-12-20T00:00:00Z".to_owned());
        }
    }

    fn check_number(&self, number: Option<f64>, rules: &mut Vec<String>) {
        let Some(number) = number else { return };
        if let Some(least) = self.minimum
            && number < least
        {
            rules.push(format!("must be at least {least}"));
        }
        if let Some(most) = self.maximum
            && number > most
        {
            rules.push(format!("must be at most {most}"));
        }
    }

    fn check_length(&self, array: &[Value], rules: &mut Vec<String>) {
        if let Some(least) = self.min_items
            && (array.len() as u64) < least
        {
            rules.push(format!("must have at least {least} items"));
        }
        if let Some(most) = self.max_items
            && array.len() as u64 > most
        {
            rules.push(format!("must have at most {most} items"));
        }
    }

    fn check_children(&self, value: &Value, pointer: &str, violations: &mut Vec<Violation>) {
        if let (Value::Array(array), Some(items)) = (value, &self.items) {
            for (index, item) in array.iter().enumerate() {
                violations.extend(items.validate(item, &child(pointer, &index.to_string())));
            }
        }
        let Value::Object(object) = value else { return };
        for name in &self.required {
            if !object.contains_key(name) {
                violations.push(Violation::new(child(pointer, name), "is required"));
            }
        }
        for (name, field) in object {
            let place = child(pointer, name);
            match self.properties.get(name) {
                Some(property) => violations.extend(property.validate(field, &place)),
                None if self.closed => {
                    violations.push(Violation::new(place, "is not a known field"));
                }
                None => {}
            }
        }
    }
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Boolean => "true or false",
            Self::Null => "null",
        }
    }

    fn either(kinds: &[Self]) -> String {
        let nouns: Vec<&str> = kinds.iter().map(|kind| kind.noun()).collect();
        nouns.join(" or ")
    }

    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::Boolean => value.is_boolean(),
            Self::Null => value.is_null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns `pointer: rule` of every violation; `""` if the value is valid.
    fn broken(schema: Value, value: Value) -> String {
        let violations = Schema::parse(&schema).unwrap().validate(&value, "/p");
        let texts: Vec<String> = violations
            .into_iter()
            .map(|violation| format!("{}: {}", violation.pointer, violation.rule))
            .collect();
        texts.join("; ")
    }

    fn check(schema: Value, value: Value, expected: &str) {
        assert_eq!(broken(schema, value.clone()), expected, "{value}");
    }

    #[test]
    fn each_type_accepts_its_own_values_only() {
        for (name, value, rule) in [
            ("object", json!({}), "an object"),
            ("array", json!([]), "an array"),
            ("string", json!(""), "a string"),
            ("number", json!(1.5), "a number"),
            ("integer", json!(-1), "an integer"),
            ("boolean", json!(false), "true or false"),
            ("null", json!(null), "null"),
        ] {
            let schema = json!({ "type": name });
            for other in
                serde_json::from_str::<Vec<Value>>(r#"[{}, [], "", 1.5, -1, false, null]"#).unwrap()
            {
                let fits = other == value || (name == "number" && other.is_number());
                let rule = format!("/p: must be {rule}");
                let expected = if fits { String::new() } else { rule };
                check(schema.clone(), other, &expected);
            }
        }
        check(json!({"type":"integer"}), json!(2.0), "");
        check(json!({"type":["string","null"]}), json!(null), "");
        check(
            json!({"type":["string","null"]}),
            json!(1),
            "/p: must be a string or null",
        );
        check(json!({}), json!([1]), "");
    }

    #[test]
    fn lengths_and_numbers_outside_their_bounds_are_refused() {
        let text = || json!({"type":"string","minLength":2,"maxLength":3});
        check(text(), json!("é"), "/p: must have at least 2 characters");
        check(text(), json!("éé"), "");
        check(text(), json!("ééé"), "");
        check(text(), json!("éééé"), "/p: must have at most 3 characters");
        let number = || json!({"type":"number","minimum":1,"maximum":2.5});
        check(number(), json!(0.9), "/p: must be at least 1");
        check(number(), json!(1), "");
        check(number(), json!(2.5), "");
        check(number(), json!(2.6), "/p: must be at most 2.5");
        let array = || json!({"type":"array","maxItems":1,"items":{"type":"boolean"}});
        check(array(), json!([true]), "");
        check(
            array(),
            json!([true, "x"]),
            "/p: must have at most 1 items; /p/1: must be true or false",
        );
    }

    #[test]
    fn violation_names_the_choices_and_not_the_value() {
        check(json!({"enum":["a","b"]}), json!("b"), "");
        check(
            json!({"enum":["a","b"]}),
            json!("canary"),
            "/p: must be one of \"a\", \"b\"",
        );
        check(json!({"const":"a"}), json!("a"), "");
        check(json!({"const":"a"}), json!("canary"), "/p: must be \"a\"");
    }

    #[test]
    fn only_8_4_4_4_12_hexadecimal_digits_are_a_guid() {
        let guid = || json!({"type":"string","format":"uuid"});
        let each = |texts: &str, expected: &str| {
            for text in texts.split_whitespace() {
                check(guid(), json!(text), expected);
            }
        };
        each(
            "00000000-0000-0000-0000-000000000000 87d349ed-44d7-43e1-9A83-5F2406DEE5BD",
            "",
        );
        each(
            "a@contoso.com 87d349ed44d743e19a835f2406dee5bd {87d349ed-44d7-43e1-9a83-5f2406dee5bd}
            87d349ed-44d7-43e1-9a83-5f2406dee5bg 87d349e-d44d7-43e1-9a83-5f2406dee5bd 87d349ed-44d7-43e1-9a83-5f2406dee5b
            -87d349ed-44d7-43e1-9a83-5f2406dee5b é7d349e-44d7-43e1-9a83-5f2406dee5bd",
            "/p: must be a GUID",
        );
        check(guid(), json!(""), "/p: must be a GUID");
        check(
            guid(),
            json!("87d349ed-44d7-43e1-9a83-5f2406dee5bd "),
            "/p: must be a GUID",
        );
    }

    #[test]
    fn every_broken_rule_of_an_object_is_reported() {
        let schema = json!({
            "type": "object", "title": "t", "description": "d", "additionalProperties": false, "required": ["id", "sas"],
            "properties": {
                "id": {"type":"string","format":"uuid"},
                "sas": {"type":"string","format":"container-sas"},
                "inner": {"type":"object","properties":{"a/b":{"type":"integer"}}},
            },
        });
        check(
            schema.clone(),
            json!({"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","sas":"anything"}),
            "",
        );
        check(
            schema.clone(),
            json!({"id":"canary","inner":{"a/b":"canary","free":1},"x~/y":"canary"}),
            "/p/sas: is required; /p/id: must be a GUID; /p/inner/a~1b: must be an integer; /p/x~0~1y: is not a known field",
        );
        check(schema.clone(), json!([]), "/p: must be an object");
        check(
            schema.clone(),
            json!({"id":null,"sas":1}),
            "/p/id: must be a string; /p/sas: must be a string",
        );
        assert_eq!(Schema::parse(&schema).unwrap().secrets(), ["sas"]);
    }

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
            (json!({"properties":[]}), "/properties"),
            (json!({"required":["a"]}), "/required: a is not"),
            (json!({"required":"a"}), "/required"),
            (json!({"additionalProperties":{}}), "/additionalProperties"),
            (json!({"items":{"format":"date"}}), "/items/format"),
            (json!({"enum":[]}), "/enum"),
            (json!({"minLength":-1}), "/minLength"),
            (json!({"maxItems":1.5}), "/maxItems"),
            (json!({"maximum":"9"}), "/maximum"),
            (json!({"title":1}), "/title"),
        ] {
            let error = Schema::parse(&schema).unwrap_err();
            assert!(error.starts_with(place), "{schema}: {error}");
        }
    }
}
