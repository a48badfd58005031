//! `oneOf`, in the one form that is supported: exactly one of several properties must be given.

use serde_json::{Map, Value};

use super::read::names;
use super::values::has_repeated;
use super::{Schema, Violation};
use crate::strict_json::child;

/// Returns the names of which exactly one must be given. No other use of `oneOf` is supported.
pub(super) fn read(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array()?;
    let name = |one: &Value| {
        let keywords = one.as_object().filter(|keywords| keywords.len() == 1)?;
        match names(keywords.get("required")?)?.as_slice() {
            [name] => Some(name.clone()),
            _ => None,
        }
    };
    let is_choice = list.len() > 1 && !has_repeated(list);
    is_choice.then(|| list.iter().map(name).collect())?
}

impl Schema {
    /// Checks that exactly one of the properties is given of which one must be.
    pub(super) fn check_alternatives(
        &self,
        object: &Map<String, Value>,
        pointer: &str,
        violations: &mut Vec<Violation>,
    ) {
        let Some((first, others)) = self.one_of.split_first() else {
            return;
        };
        let names = self.one_of.iter();
        let given: Vec<&String> = names.filter(|name| object.contains_key(*name)).collect();
        match given.as_slice() {
            [] => {
                let rule = format!("is required, or {} in its place", others.join(" or "));
                violations.push(Violation::new(child(pointer, first), rule));
            }
            [one, more @ ..] => violations.extend(more.iter().map(|name| {
                let rule = format!("must not be given beside {one}");
                Violation::new(child(pointer, name), rule)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_alternatives_exactly_one_must_be_given() {
        let schema = json!({
            "type": "object",
            "properties": { "sas": {"format":"container-sas"}, "name": {"format":"storage"} },
            "oneOf": [{"required":["sas"]}, {"required":["name"]}],
        });
        let schema = Schema::parse(&schema).unwrap();
        for (value, expected) in [
            (json!({"sas":"a"}), None),
            (json!({"name":"a"}), None),
            (
                json!({}),
                Some(("/p/sas", "is required, or name in its place")),
            ),
            (
                json!({"sas":"a","name":"a"}),
                Some(("/p/name", "must not be given beside sas")),
            ),
        ] {
            let expected = expected.map(|(pointer, rule)| Violation::new(pointer, rule));
            let found = schema.validate(&value, "/p");
            assert_eq!(found, Vec::from_iter(expected), "{value}");
        }
        assert_eq!(schema.storage(), Some(("name", "sas")));
        assert_eq!(schema.secrets(), ["sas"]);
    }
}
