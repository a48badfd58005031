//! What an answer of a receiver says besides its status: a condition on its body, and the name of an error.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// A condition on the JSON body of an answer whose status means success: the value at a place must be this one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// JSON pointer (RFC 6901) into the answer.
    pub at: String,
    /// A text, a number or `true` or `false`.
    pub equals: Value,
}

impl Condition {
    /// Checks an answer. The error says why the condition does not hold; it quotes numbers only.
    pub fn check(&self, answer: Option<&Value>) -> Result<(), String> {
        let at = &self.at;
        let Some(answer) = answer else {
            return Err(
                "the answer is not JSON that can be read whole, as success_when needs it"
                    .to_owned(),
            );
        };
        match answer.pointer(at) {
            Some(value) if same(value, &self.equals) => Ok(()),
            Some(Value::Number(number)) => Err(format!(
                "the answer has {number} at {at}, which is not what success_when says"
            )),
            Some(_) => Err(format!(
                "the answer has another value at {at} than success_when says"
            )),
            None => Err(format!(
                "the answer has nothing at {at}, where success_when looks"
            )),
        }
    }
}

/// Compares two values, numbers by their value: 0 is 0.0.
fn same(one: &Value, other: &Value) -> bool {
    let numbers = one.as_f64().zip(other.as_f64());
    numbers.map_or(one == other, |(one, other)| one.total_cmp(&other).is_eq())
}

/// Longest name of an error that is read.
const MAX_NAME_BYTES: usize = 80;

/// Returns the name of the error in an answer: the first that one of `places` holds.
///
/// A place is a JSON pointer into the body or the name of a header. AWS writes `namespace#Name` and `Name:details`, of which
/// the name is returned. A name has letters, digits, dots, hyphens and underscores only.
pub fn error_name(places: &[String], headers: &HeaderMap, body: Option<&Value>) -> Option<String> {
    let mut texts = places.iter().filter_map(|place| {
        if place.starts_with('/') {
            body?.pointer(place)?.as_str()
        } else {
            headers.get(place)?.to_str().ok()
        }
    });
    texts.find_map(|text| {
        let name = text.rsplit('#').next().unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default();
        is_name(name).then(|| name.to_owned())
    })
}

/// Reports whether a text may be the name of an error.
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn condition_holds_for_one_value_at_its_place_and_says_why_not() {
        let condition = Condition {
            at: "/FailedEntryCount".to_owned(),
            equals: json!(0),
        };
        let check = |body: Value| condition.check(Some(&body));
        assert_eq!(check(json!({ "FailedEntryCount": 0 })), Ok(()));
        assert_eq!(check(json!({ "FailedEntryCount": 0.0 })), Ok(()));
        for (body, detail) in [
            (
                json!({ "FailedEntryCount": 1 }),
                "the answer has 1 at /FailedEntryCount, which is not what success_when says",
            ),
            (
                json!({ "FailedEntryCount": "canary" }),
                "the answer has another value at /FailedEntryCount than success_when says",
            ),
            (
                json!([]),
                "the answer has nothing at /FailedEntryCount, where success_when looks",
            ),
        ] {
            assert_eq!(check(body), Err(detail.to_owned()));
        }
        assert!(condition.check(None).unwrap_err().contains("is not JSON"));
    }

    #[test]
    fn error_is_named_by_the_first_place_that_has_one() {
        let places = ["x-amzn-errortype", "/__type", "/Entries/0/ErrorCode"].map(str::to_owned);
        let name = |header: Option<&str>, body: Value| {
            let headers =
                header.map(|text| ("x-amzn-errortype".parse().unwrap(), text.parse().unwrap()));
            error_name(&places, &headers.into_iter().collect(), Some(&body))
        };
        for (header, body, expected) in [
            (
                None,
                json!({ "__type": "com.amazonaws.sqs#QueueDoesNotExist" }),
                Some("QueueDoesNotExist"),
            ),
            (
                None,
                json!({ "__type": "TaskTimedOut" }),
                Some("TaskTimedOut"),
            ),
            (
                Some("CallbackTimeoutException:http://internal/"),
                json!({}),
                Some("CallbackTimeoutException"),
            ),
            (
                None,
                json!({ "Entries": [{ "ErrorCode": "InternalFailure" }] }),
                Some("InternalFailure"),
            ),
            (None, json!({ "__type": "person@contoso.example" }), None),
            (None, json!({ "__type": "x".repeat(81) }), None),
            (None, json!("TaskTimedOut"), None),
        ] {
            assert_eq!(name(header, body).as_deref(), expected);
        }
    }
}
