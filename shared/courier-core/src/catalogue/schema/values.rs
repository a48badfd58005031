//! Compares values as JSON Schema does: 1 and 1.0 are one number, and the order of an object's fields says nothing.

use std::cmp::Ordering;
use std::num::NonZeroU32;

use serde_json::{Map, Number, Value};

pub(super) fn are_equal(one: &Value, other: &Value) -> bool {
    order(one, other).is_eq()
}

/// Reports whether two items are equal. It takes no more than n log n comparisons, because the array is a caller's.
pub(super) fn has_repeated(items: &[Value]) -> bool {
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_unstable_by(|one, other| order(one, other));
    sorted.windows(2).any(|pair| are_equal(pair[0], pair[1]))
}

pub(super) fn is_multiple(number: &Number, divisor: NonZeroU32) -> bool {
    match float(number) {
        // The remainder of two doubles is exact.
        Some(float) => float % f64::from(divisor.get()) == 0.0,
        None => integer(number) % i128::from(divisor.get()) == 0,
    }
}

/// Compares exactly, also where a double has no room for all digits of an integer.
pub(super) fn order_of_numbers(one: &Number, other: &Number) -> Ordering {
    match (float(one), float(other)) {
        (None, None) => integer(one).cmp(&integer(other)),
        (Some(one), Some(other)) => order_of_floats(one, other),
        (None, Some(other)) => order_of_mixed(integer(one), other),
        (Some(one), None) => order_of_mixed(integer(other), one).reverse(),
    }
}

/// The order of two values of any type, under which equal ones are neighbours.
fn order(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => order_of_numbers(one, other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Array(one), Value::Array(other)) => {
            let lengths = one.len().cmp(&other.len());
            let mut items = one.iter().zip(other).map(|(one, other)| order(one, other));
            lengths.then_with(|| items.find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
        }
        (Value::Object(one), Value::Object(other)) => order_of_objects(one, other),
        _ => rank(one).cmp(&rank(other)),
    }
}

fn order_of_objects(one: &Map<String, Value>, other: &Map<String, Value>) -> Ordering {
    let (first, second) = (sorted_fields(one), sorted_fields(other));
    let mut fields = first.iter().zip(&second).map(|(one, other)| {
        let names = one.0.cmp(other.0);
        names.then_with(|| order(one.1, other.1))
    });
    let lengths = one.len().cmp(&other.len());
    lengths.then_with(|| {
        fields
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    })
}

fn sorted_fields(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<(&String, &Value)> = object.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// Returns the number if it was not written as an integer.
fn float(number: &Number) -> Option<f64> {
    number.as_f64().filter(|_| number.is_f64())
}

fn integer(number: &Number) -> i128 {
    number.as_i128().unwrap_or_default()
}

fn order_of_mixed(integer: i128, float: f64) -> Ordering {
    // Rounding keeps the order, except that it may make two numbers equal; then `float` is a whole one.
    order_of_floats(integer as f64, float).then_with(|| integer.cmp(&(float as i128)))
}

/// JSON has no NaN.
fn order_of_floats(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or(Ordering::Equal)
}
