//! Reads Graph's error bodies in all their shapes, and removes secrets and user names from their texts.

pub use crate::redact::scrub;

use serde_json::{Map, Value};

use crate::outbound::answer_body;

/// Longest text that is stored.
const MAX_TEXT_CHARACTERS: usize = 512;
/// Number of characters of a text that are scrubbed; the rest is dropped, as less than this is stored.
const MAX_SCRUBBED_CHARACTERS: usize = 8192;
/// Most levels of inner errors that are read.
const MAX_INNER_ERRORS: usize = 16;
/// Most levels of JSON in messages that are read; services nest it two deep at most.
const MAX_NESTED_MESSAGES: usize = 4;

/// The content of a Graph error body. It is scrubbed, so it may be stored, logged and passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphError {
    /// The outermost code; `unknown` if the body has none.
    pub code: String,
    pub message: String,
    /// The deepest inner code that has a letter and is not `unknown`.
    pub inner_code: Option<String>,
    /// The target of the error; for a goals conflict, the key of the job that already exists.
    pub target: Option<String>,
    pub request_id: Option<String>,
}

impl GraphError {
    /// The code that says most: clients must use the deepest one they know
    /// (`docs/graph-behaviour.md`, Errors).
    pub fn deepest(&self) -> &str {
        self.inner_code.as_deref().unwrap_or(&self.code)
    }
}

/// Reads `{"error":{…}}`. Returns `None` for anything else: HTML of a proxy, an empty body, Entra's own error shape.
pub fn parse(body: &[u8]) -> Option<GraphError> {
    let document: Value = answer_body::parse(body).ok()?;
    let error = field(document.as_object()?, "error")?.as_object()?;
    let mut parts = Parts::default();
    parts.read(error, 0);
    if parts.codes.is_empty() && parts.detail_codes.is_empty() && parts.message.is_none() {
        return None;
    }
    let inner_code = parts.inner_code().map(clean);
    let outermost = parts.codes.first().map(|code| clean(code));
    Some(GraphError {
        code: outermost.unwrap_or_else(|| "unknown".to_owned()),
        message: parts.message.as_deref().map(clean).unwrap_or_default(),
        inner_code,
        target: parts.target.as_deref().map(clean),
        request_id: parts.request_id.as_deref().map(clean),
    })
}

/// The values found in the nested objects of a body, outermost first.
#[derive(Default)]
struct Parts {
    codes: Vec<String>,
    /// The codes in `details`, which count as inner codes if there is no other one.
    detail_codes: Vec<String>,
    message: Option<String>,
    target: Option<String>,
    request_id: Option<String>,
}

impl Parts {
    fn read(&mut self, error: &Map<String, Value>, nested: usize) {
        let mut level = Some(error);
        for _ in 0..MAX_INNER_ERRORS {
            let Some(object) = level else { break };
            self.read_level(object, nested);
            level = field(object, "innererror").and_then(Value::as_object);
        }
    }

    fn read_level(&mut self, object: &Map<String, Value>, nested: usize) {
        self.codes.extend(text_field(object, "code"));
        let request_id =
            text_field(object, "request-id").or_else(|| text_field(object, "requestid"));
        self.request_id = self.request_id.take().or(request_id);
        self.target = self.target.take().or_else(|| text_field(object, "target"));
        if self.message.is_none()
            && let Some(message) = text_field(object, "message")
        {
            self.read_message(message, nested);
        }
        let details = field(object, "details").and_then(Value::as_array);
        for detail in details.into_iter().flatten().filter_map(Value::as_object) {
            self.detail_codes.extend(text_field(detail, "code"));
            self.target = self.target.take().or_else(|| text_field(detail, "target"));
            self.message = self
                .message
                .take()
                .or_else(|| text_field(detail, "message"));
        }
    }

    /// Some services put their whole error body, as text, into the message
    /// (`docs/graph-behaviour.md`, Errors).
    fn read_message(&mut self, message: String, nested: usize) {
        if nested < MAX_NESTED_MESSAGES
            && let Ok(Value::Object(document)) = serde_json::from_str(&message)
        {
            let error = field(&document, "error")
                .and_then(Value::as_object)
                .unwrap_or(&document);
            self.read(error, nested + 1);
        }
        self.message = self.message.take().or(Some(message));
    }

    fn inner_code(&self) -> Option<&str> {
        let is_meaningful = |code: &&String| {
            !code.eq_ignore_ascii_case("unknown") && code.chars().any(char::is_alphabetic)
        };
        let inner = self.codes.iter().skip(1).rev().find(is_meaningful);
        inner
            .or_else(|| self.detail_codes.iter().find(is_meaningful))
            .map(String::as_str)
    }
}

/// Returns a field by its name in any letter case: `innerError`, `innererror`, `Message`.
fn field<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn text_field(object: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match field(object, name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Returns a text without control characters, secrets and user names, cut to the longest length that is stored.
fn clean(text: &str) -> String {
    let plain: String = text
        .chars()
        .take(MAX_SCRUBBED_CHARACTERS)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    scrub(&plain).chars().take(MAX_TEXT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> GraphError {
        parse(body.to_string().as_bytes()).unwrap()
    }

    /// Asserts code, inner code (`-` for none) and message.
    fn check(body: Value, code: &str, inner_code: &str, message: &str) {
        let error = read(&body);
        let inner = error.inner_code.as_deref().unwrap_or("-");
        assert_eq!(
            (error.code.as_str(), inner, error.message.as_str()),
            (code, inner_code, message),
            "{body}"
        );
    }

    #[test]
    fn documented_bodies_are_read() {
        let conflict = json!({"error":{"code":"notAllowed","message":"Another export job is still active","target":"j!uJJZ_a-.~","innererror":{"code":"exportJobAlreadyExists","date":"2023-06-19T12-06-03","request-id":"r","client-request-id":"c"}}});
        assert_eq!(
            read(&conflict),
            GraphError {
                code: "notAllowed".into(),
                message: "Another export job is still active".into(),
                inner_code: Some("exportJobAlreadyExists".into()),
                target: Some("j!uJJZ_a-.~".into()),
                request_id: Some("r".into()),
            }
        );
        assert_eq!(read(&conflict).deepest(), "exportJobAlreadyExists");
        let used = json!({"error":{"code":"StorageLocationAlreadyUsed","message":"delete 'RequestInfo.json' and retry","innerError":{"date":"2021-10-07T14:49:41","request-id":"r"}}});
        check(
            used.clone(),
            "StorageLocationAlreadyUsed",
            "-",
            "delete 'RequestInfo.json' and retry",
        );
        assert_eq!(read(&used).deepest(), "StorageLocationAlreadyUsed");
        let throttled = json!({"error":{"code":"TooManyRequests","innerError":{"code":"429","message":"Please retry after","status":"429"},"message":"Please retry again later."}});
        check(
            throttled,
            "TooManyRequests",
            "-",
            "Please retry again later.",
        );
        let bad_key = json!({"error":{"code":"badRequest","message":"Invalid JobKey specified","innerError":{"code":"unknown"}}});
        check(bad_key, "badRequest", "-", "Invalid JobKey specified");
    }

    #[test]
    fn deepest_meaningful_code_is_the_inner_code() {
        let nested = json!({"error":{"code":"a","message":"m","innerError":{"code":"b","innererror":{"code":"c","InnerError":{"code":"500","innerError":{"code":"Unknown"}}}}}});
        check(nested, "a", "c", "m");
        let mut deep = json!({"code":"deepest"});
        for _ in 0..60 {
            deep = json!({"code":"x","innerError":deep});
        }
        check(json!({"error":deep}), "x", "x", "");
        check(
            json!({"error":{"code":"a","details":[{"code":"d","target":"t","message":"dm"}]}}),
            "a",
            "d",
            "dm",
        );
        check(
            json!({"error":{"code":"a","message":"m","details":[{"code":"d"}],"innerError":{"code":"i"}}}),
            "a",
            "i",
            "m",
        );
    }

    #[test]
    fn bodies_nested_in_messages_are_unwrapped_to_a_limited_depth() {
        let mut text = "innermost".to_owned();
        for (depth, unwrapped) in [(1, true), (4, true), (5, true), (6, false)] {
            text.clear();
            text.push_str("innermost");
            for _ in 0..depth {
                text = serde_json::json!({ "error": { "message": text } }).to_string();
            }
            let message = parse(text.as_bytes()).unwrap().message;
            assert_eq!(message == "innermost", unwrapped, "{depth}: {message}");
        }
    }

    #[test]
    fn body_nested_in_the_message_is_unwrapped() {
        let inner = json!({"error":{"code":"NotFound","message":"Sorry, the team was not found","innerError":{"code":"TeamGone","request-id":"r"}}}).to_string();
        check(
            json!({"error":{"code":"UnknownError","message":inner}}),
            "UnknownError",
            "TeamGone",
            "Sorry, the team was not found",
        );
        let intune =
            json!({"_version":3,"Message":"An error has occurred","CustomApiErrorPhrase":""})
                .to_string();
        check(
            json!({"error":{"code":"BadRequest","message":intune}}),
            "BadRequest",
            "-",
            "An error has occurred",
        );
        let mut matryoshka = json!("core");
        for level in 0..3 {
            matryoshka = json!(
                json!({"error":{"code":format!("c{level}"),"message":matryoshka}}).to_string()
            );
        }
        check(
            json!({"error":{"code":"o","message":matryoshka}}),
            "o",
            "c0",
            "core",
        );
        check(
            json!({"error":{"code":"o","message":"{\"a\":1}"}}),
            "o",
            "-",
            "{\"a\":1}",
        );
        check(
            json!({"error":{"code":"o","message":"{not json"}}),
            "o",
            "-",
            "{not json",
        );
        check(
            json!({"error":{"code":"o","message":"[1]"}}),
            "o",
            "-",
            "[1]",
        );
    }

    #[test]
    fn missing_and_malformed_fields_are_skipped() {
        check(json!({"error":{"code":429,"message":"m"}}), "429", "-", "m");
        check(
            json!({"error":{"code":"","message":"m"}}),
            "unknown",
            "-",
            "m",
        );
        check(json!({"error":{"message":"m"}}), "unknown", "-", "m");
        check(
            json!({"error":{"innerError":{"code":"i","message":"im"}}}),
            "i",
            "-",
            "im",
        );
        check(
            json!({"error":{"code":null,"message":{},"details":[1,{"code":"d"}]}}),
            "unknown",
            "d",
            "",
        );
        check(
            json!({"error":{"code":"a","innerError":"text","details":{},"target":[]}}),
            "a",
            "-",
            "",
        );
        check(
            json!({"Error":{"Code":"a","MESSAGE":"m"},"other":1}),
            "a",
            "-",
            "m",
        );
        assert_eq!(
            parse(b"\xEF\xBB\xBF{\"error\":{\"code\":\"a\"}}")
                .unwrap()
                .code,
            "a"
        );
    }

    #[test]
    fn body_of_any_other_shape_is_no_graph_error() {
        for body in [
            "",
            " ",
            "null",
            "[]",
            "\"error\"",
            "{}",
            "<html><body>502</body></html>",
            "{\"error\":",
            r#"{"error":{}}"#,
            r#"{"error":null}"#,
            r#"{"error":[]}"#,
            r#"{"error":"invalid_grant","error_description":"AADSTS70008"}"#,
            r#"{"code":"a","message":"m"}"#,
            r#"{"error":{"status":1}}"#,
        ] {
            assert_eq!(parse(body.as_bytes()), None, "{body}");
        }
        assert_eq!(parse(b"\xFF"), None);
        assert_eq!(parse("[".repeat(100_000).as_bytes()), None);
    }

    #[test]
    fn texts_are_cut_scrubbed_and_without_control_characters() {
        let message = format!(
            "a\r\n\u{1b}[31mb https://x.example/c?sig=canary of canary@contoso.com {}",
            "é".repeat(600)
        );
        let error = read(
            &json!({"error":{"code":"c\n".repeat(600),"message":message,"innerError":{"code":"sig=canary"}}}),
        );
        assert!(
            error
                .message
                .starts_with("a   [31mb https://x.example/c?[redacted] of [redacted] ééé"),
            "{}",
            error.message
        );
        assert_eq!(error.message.chars().count(), 512);
        assert_eq!(error.code.chars().count(), 512);
        assert!(!format!("{error:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn arbitrary_body_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "\\PC{0,64}") {
            parse(&bytes);
            parse(text.as_bytes());
            parse(json!({"error":{"code":text,"message":text,"innerError":{"message":text}}}).to_string().as_bytes());
        }
    }
}
