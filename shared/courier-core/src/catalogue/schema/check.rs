//! Checks a value against a schema.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::formats::{is_date_time, is_guid};
use super::values::{are_equal, has_repeated, is_multiple, order_of_numbers};
use super::{Format, Kind, Schema, Violation};
use crate::strict_json::child;

impl Schema {
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
            Value::Number(number) => self.check_number(number, &mut rules),
            Value::Array(array) => self.check_array(array, &mut rules),
            Value::Object(object) => {
                let bounds = (self.min_properties, self.max_properties);
                check_count(object.len(), bounds, "fields", &mut rules);
            }
            Value::Bool(_) | Value::Null => {}
        }
        let mut violations: Vec<Violation> = rules
            .into_iter()
            .map(|rule| Violation::new(pointer, rule))
            .collect();
        self.check_children(value, pointer, &mut violations);
        violations
    }

    fn has_type(&self, value: &Value) -> bool {
        self.types.is_empty() || self.types.iter().any(|kind| kind.holds(value))
    }

    fn check_choice(&self, value: &Value, rules: &mut Vec<String>) {
        if let Some(constant) = &self.constant
            && !are_equal(value, constant)
        {
            rules.push(format!("must be {constant}"));
        }
        if let Some(choices) = &self.choices
            && !choices.iter().any(|choice| are_equal(value, choice))
        {
            let names: Vec<String> = choices.iter().map(Value::to_string).collect();
            rules.push(format!("must be one of {}", names.join(", ")));
        }
    }

    fn check_string(&self, text: &str, rules: &mut Vec<String>) {
        let bounds = (self.min_length, self.max_length);
        check_count(text.chars().count(), bounds, "characters", rules);
        if self.format == Some(Format::Uuid) && !is_guid(text) {
            rules.push("must be a GUID".to_owned());
        }
        if self.format == Some(Format::DateTime) && !is_date_time(text) {
            rules.push("must be an RFC 3339 time such as 2026-12-20T00:00:00Z".to_owned());
        }
    }

    fn check_number(&self, number: &Number, rules: &mut Vec<String>) {
        type Holds = fn(Ordering) -> bool;
        let bounds = [
            (&self.minimum, Ordering::is_ge as Holds, "at least"),
            (&self.exclusive_minimum, Ordering::is_gt, "more than"),
            (&self.maximum, Ordering::is_le, "at most"),
            (&self.exclusive_maximum, Ordering::is_lt, "less than"),
        ];
        for (limit, holds, words) in bounds {
            if let Some(limit) = limit
                && !holds(order_of_numbers(number, limit))
            {
                rules.push(format!("must be {words} {limit}"));
            }
        }
        if let Some(divisor) = self.multiple_of
            && !is_multiple(number, divisor)
        {
            rules.push(format!("must be a multiple of {divisor}"));
        }
    }

    fn check_array(&self, array: &[Value], rules: &mut Vec<String>) {
        check_count(
            array.len(),
            (self.min_items, self.max_items),
            "items",
            rules,
        );
        if self.unique_items && has_repeated(array) {
            rules.push("must not have an item twice".to_owned());
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
        self.check_alternatives(object, pointer, violations);
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

fn check_count(
    count: usize,
    (least, most): (Option<u64>, Option<u64>),
    what: &str,
    rules: &mut Vec<String>,
) {
    let count = count as u64;
    if let Some(least) = least.filter(|least| count < *least) {
        rules.push(format!("must have at least {least} {what}"));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        rules.push(format!("must have at most {most} {what}"));
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
    fn bounds_are_compared_exactly_and_exclusive_ones_are_outside() {
        let number = || json!({"exclusiveMinimum":0,"exclusiveMaximum":2.5});
        check(number(), json!(0.0), "/p: must be more than 0");
        check(number(), json!(1e-300), "");
        check(number(), json!(2.5), "/p: must be less than 2.5");
        check(number(), json!("0"), "");
        let large = 9_007_199_254_740_993_u64;
        check(json!({"minimum":large}), json!(large), "");
        check(
            json!({"minimum":large}),
            json!(large - 1),
            "/p: must be at least 9007199254740993",
        );
    }

    #[test]
    fn multiples_repeated_items_and_numbers_of_fields_are_checked() {
        let quarters = || json!({"multipleOf":15});
        for number in [json!(0), json!(-45), json!(30.0), json!(1.5e300)] {
            check(quarters(), number, "");
        }
        for number in [json!(20), json!(15.5), json!(1e-300)] {
            check(quarters(), number, "/p: must be a multiple of 15");
        }
        let set = || json!({"uniqueItems":true});
        let same = "/p: must not have an item twice";
        check(set(), json!([1, "1", [1], {"a":1}, null, true]), "");
        check(set(), json!([2, 1, 2.0]), same);
        check(set(), json!([{"a":1,"b":[2]}, {"b":[2.0],"a":1}]), same);
        check(json!({"uniqueItems":false}), json!([1, 1]), "");
        let object = || json!({"minProperties":1,"maxProperties":2});
        check(object(), json!({}), "/p: must have at least 1 fields");
        check(object(), json!({"a":1,"b":2}), "");
        let three = json!({"a":1,"b":2,"c":3});
        check(object(), three, "/p: must have at most 2 fields");
    }

    #[test]
    fn annotations_check_nothing() {
        let schema = json!({"title":"t","description":"d","$comment":"c","default":1,"examples":["a"],"deprecated":true});
        check(schema, json!([null]), "");
    }

    #[test]
    fn violation_names_the_choices_and_not_the_value() {
        check(json!({"enum":["a","b"]}), json!("b"), "");
        check(
            json!({"enum":["a","b"]}),
            json!("canary"),
            "/p: must be one of \"a\", \"b\"",
        );
        check(json!({"enum":[1,{"a":[2]}]}), json!({"a":[2.0]}), "");
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
}
