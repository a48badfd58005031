//! Our validator of JSON Schema beside the crate `jsonschema`, which judges it: random schemas of the keywords that
//! catalogue files may use, and random values for them.

use courier_core::catalogue::schema::{Schema, Violation};
use courier_core::strict_json::child;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationOptions, Validator};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

const NAMES: [&str; 3] = ["a", "b", "c/~d"];
const TYPES: [&str; 7] = [
    "object", "array", "string", "number", "integer", "boolean", "null",
];
const BOUNDS: [&str; 4] = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"];
const FORMATS: [&str; 4] = ["uuid", "date-time", "secret", "container-sas"];

fn judge() -> ValidationOptions<'static> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_format("secret", |_: &str| true)
        .with_format("container-sas", |_: &str| true)
}

fn date_time() -> impl Strategy<Value = String> {
    // Without leap seconds, and with no more digits than a nanosecond has: there we are stricter.
    "(2024|2025)-(0[0-3]|1[0-3])-(0[01]|2[89]|3[0-2])[Tt ][012][0-9](:[0-6][0-9]){1,2}(\\.[0-9]{0,9})?([Zz]|[+-][012][0-9]:?[0-6][0-9])?"
        .prop_filter("a leap second", |text| !text.contains(":60"))
}

fn guid() -> impl Strategy<Value = String> {
    "[{]?[0-9a-fA-F]{7,8}-?[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-f]{4}-[0-9a-g]{11,12}"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[aé𝄞]{0,4}", 1 => date_time(), 1 => guid()]
}

fn number() -> impl Strategy<Value = Value> {
    let large = (1_u64 << 53) - 2..(1 << 53) + 3;
    prop_oneof![
        4 => (-4..5_i64).prop_map(Value::from),
        4 => (-8..9_i32).prop_map(|halves| json!(f64::from(halves) / 2.0)),
        1 => large.clone().prop_map(Value::from),
        1 => large.prop_map(|whole| json!(whole as f64)),
        1 => select(vec![json!(u64::MAX), json!(i64::MIN), json!(1e300), json!(1e-300), json!(-0.0)]),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        4 => number(),
        3 => text().prop_map(Value::String),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let object = proptest::collection::vec((select(&NAMES[..]), inner.clone()), 0..4);
        let array = proptest::collection::vec(inner, 0..4);
        prop_oneof![
            array.prop_map(Value::Array),
            object.prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// One keyword that checks a value by itself, or that checks nothing.
fn keyword() -> impl Strategy<Value = (&'static str, Value)> {
    const COUNTS: [&str; 6] = [
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    ];
    let types = subsequence(&TYPES[..], 1..=3).prop_map(|types| json!(types));
    let choices = proptest::collection::vec(value(), 1..4);
    prop_oneof![
        (Just("type"), types),
        (Just("type"), select(&TYPES[..]).prop_map(Value::from)),
        (Just("enum"), choices.prop_map(Value::Array)),
        (Just("const"), value()),
        (select(&BOUNDS[..]), number()),
        (select(&COUNTS[..]), (0..4_u64).prop_map(Value::from)),
        (Just("multipleOf"), (1..4_u64).prop_map(Value::from)),
        (Just("uniqueItems"), any::<bool>().prop_map(Value::Bool)),
        (Just("format"), select(&FORMATS[..]).prop_map(Value::from)),
        (
            Just("additionalProperties"),
            any::<bool>().prop_map(Value::Bool)
        ),
        (
            select(&["default", "$comment", "examples"][..]),
            Just(json!([]))
        )
            .prop_map(|(name, value)| match name {
                "$comment" => (name, json!("text")),
                _ => (name, value),
            }),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf =
        proptest::collection::vec(keyword(), 0..3).prop_map(|words| words.into_iter().collect());
    leaf.prop_recursive(2, 10, 3, |inner| {
        let words = proptest::collection::vec(keyword(), 0..2);
        let properties = proptest::collection::vec((select(&NAMES[..]), inner.clone()), 0..3);
        let items = proptest::option::of(inner);
        (words, properties, items, any::<bool>(), any::<bool>()).prop_map(
            |(words, properties, items, are_required, is_choice)| {
                let mut schema: Map<String, Value> = words
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                let properties: Map<String, Value> = properties
                    .into_iter()
                    .map(|(name, property)| (name.to_owned(), property))
                    .collect();
                if are_required {
                    let names: Vec<&String> = properties.keys().collect();
                    schema.insert("required".to_owned(), json!(names));
                }
                let names: Vec<&String> = properties.keys().collect();
                if let [one, other, ..] = *names
                    && is_choice
                {
                    let choice = json!([{ "required": [one] }, { "required": [other] }]);
                    schema.insert("oneOf".to_owned(), choice);
                    schema.insert("type".to_owned(), "object".into());
                }
                schema.insert("properties".to_owned(), Value::Object(properties));
                schema.extend(items.map(|items| ("items".to_owned(), items)));
                Value::Object(schema)
            },
        )
    })
}

/// The places of what the judge finds, a missing or unknown field at its own place as we have it.
fn judged_places(validator: &Validator, value: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for error in validator.iter_errors(value) {
        let place = error.instance_path().to_string();
        let mut add = |name: &str| places.push(child(&place, name));
        // The error's own instance is the first field here, though its path is the object's.
        let object = value.pointer(&place).and_then(Value::as_object);
        match (error.kind(), object) {
            (ValidationErrorKind::Required { property }, _) => {
                add(property.as_str().unwrap_or_default());
            }
            (ValidationErrorKind::AdditionalProperties { unexpected }, _) => {
                unexpected.iter().for_each(|name| add(name));
            }
            // So the judge says that no field at all is permitted.
            (ValidationErrorKind::FalseSchema, Some(object)) => {
                object.keys().for_each(|name| add(name));
            }
            _ => places.push(place),
        }
    }
    places
}

/// The place of a violation; of a choice between fields the judge knows only the object.
fn own_place(violation: &Violation) -> &str {
    let is_choice = ["is required, or ", "must not be given beside "];
    let parent = violation.pointer.rsplit_once('/');
    match parent.filter(|_| {
        is_choice
            .iter()
            .any(|rule| violation.rule.starts_with(rule))
    }) {
        Some((parent, _)) => parent,
        None => &violation.pointer,
    }
}

fn is_at_or_below(place: &str, upper: &str) -> bool {
    let rest = place.strip_prefix(upper);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn judge_finds_fault_with_the_same_places(schema in schema(), values in proptest::collection::vec(value(), 1..6)) {
        let ours = Schema::parse(&schema).unwrap();
        let judge = judge().build(&schema).unwrap();
        for value in values {
            let violations = ours.validate(&value, "");
            let judged = judged_places(&judge, &value);
            for violation in &violations {
                let place = own_place(violation).to_owned();
                prop_assert!(judged.contains(&place), "{value}: {violation:?} is not in {judged:?}");
            }
            // We look no further into a value of a wrong type.
            for place in &judged {
                let is_ours = violations.iter().any(|ours| is_at_or_below(place, own_place(ours)));
                prop_assert!(is_ours, "{value}: {place:?} is not in {violations:?}");
            }
        }
    }

    /// Random schemas seldom meet values that are nearly equal.
    #[test]
    fn judge_compares_numbers_alike(one in number(), other in number(), divisor in 1..4_u64) {
        let mut cases: Vec<(Value, Value)> = BOUNDS.map(|word| (json!({ word: one }), other.clone())).into();
        cases.push((json!({ "multipleOf": divisor }), one.clone()));
        cases.push((json!({ "type": "integer" }), one.clone()));
        let (here, there) = (json!({"a": [one], "b": 1}), json!({"b": 1.0, "a": [other]}));
        for (one, other) in [(one, other), (here, there)] {
            cases.push((json!({ "const": one }), other.clone()));
            cases.push((json!({ "enum": [null, one] }), other.clone()));
            cases.push((json!({ "uniqueItems": true }), json!([one, null, other, 7, "a"])));
        }
        for (schema, value) in cases {
            let ours = Schema::parse(&schema).unwrap().validate(&value, "");
            let judged = judge().build(&schema).unwrap().is_valid(&value);
            prop_assert_eq!(ours.is_empty(), judged, "{} {}", schema, value);
        }
    }

    #[test]
    fn judge_takes_the_same_guids_and_times(text in prop_oneof![date_time(), guid()]) {
        for format in ["uuid", "date-time"] {
            let schema = json!({ "format": format });
            let ours = Schema::parse(&schema).unwrap().validate(&json!(text), "");
            let judged = judge().build(&schema).unwrap().is_valid(&json!(text));
            prop_assert_eq!(ours.is_empty(), judged, "{}", format);
        }
    }

    #[test]
    fn schema_that_we_take_is_one_for_the_judge(name in keyword().prop_map(|(name, _)| name), wrong in value()) {
        let schema = json!({ name: wrong });
        if Schema::parse(&schema).is_ok() {
            prop_assert!(jsonschema::draft202012::meta::is_valid(&schema));
        }
    }
}
