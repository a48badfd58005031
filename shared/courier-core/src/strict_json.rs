//! Parses JSON (RFC 8259) and refuses what parsers disagree on: duplicate keys, lone surrogates. A byte order mark before
//! it is ignored, as section 8.1 permits.
//!
//! An error gives its place as a JSON pointer (RFC 6901) and never contains a value, which may be a secret.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Most levels of nested arrays and objects.
const MAX_DEPTH: usize = 64;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The place at which a text is not acceptable JSON, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the JSON at \"{pointer}\" {rule}")]
pub struct JsonError {
    /// A JSON pointer (RFC 6901); empty for the whole document.
    pub pointer: String,
    /// Continues a sentence that begins with "the value".
    pub rule: String,
}

/// Parses one JSON document.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let whole = |rule: String| JsonError {
        pointer: String::new(),
        rule,
    };
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if is_utf16(bytes) {
        return Err(whole("is UTF-16, but must be UTF-8".to_owned()));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| whole(format!("is not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut trail = Trail::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Node { trail: &mut trail }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| JsonError {
        pointer: trail.pointer(),
        rule: trail
            .rule
            .unwrap_or_else(|| format!("is not JSON: {error}")),
    })
}

/// Reports whether a text begins as UTF-16 does: with its byte order mark, or with two letters of ASCII in two bytes each.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xFF, 0xFE, ..]
            | [0xFE, 0xFF, ..]
            | [0, 1..=0x7F, 0, 1..=0x7F, ..]
            | [1..=0x7F, 0, 1..=0x7F, 0, ..]
    )
}

/// Adds one reference token to a JSON pointer, escaped (RFC 6901 §3).
pub fn child(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// The path from the root to the value being read. When reading fails, it is the path to the mistake.
#[derive(Default)]
struct Trail {
    tokens: Vec<String>,
    rule: Option<String>,
}

impl Trail {
    fn pointer(&self) -> String {
        self.tokens
            .iter()
            .fold(String::new(), |pointer, token| child(&pointer, token))
    }

    fn refuse<E: serde::de::Error>(&mut self, rule: String) -> E {
        let error = E::custom(&rule);
        self.rule = Some(rule);
        error
    }

    fn check_depth<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.tokens.len() < MAX_DEPTH {
            return Ok(());
        }
        Err(self.refuse(format!("is nested deeper than {MAX_DEPTH} levels")))
    }
}

struct Node<'t> {
    trail: &'t mut Trail,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.trail.check_depth()?;
        let mut array = Vec::new();
        loop {
            self.trail.tokens.push(array.len().to_string());
            let Some(item) = items.next_element_seed(Node { trail: self.trail })? else {
                break;
            };
            array.push(item);
            self.trail.tokens.pop();
        }
        self.trail.tokens.pop();
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        self.trail.check_depth()?;
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            self.trail.tokens.push(name.clone());
            if object.contains_key(&name) {
                return Err(self.trail.refuse("appears twice".to_owned()));
            }
            let value = fields.next_value_seed(Node { trail: self.trail })?;
            object.insert(name, value);
            self.trail.tokens.pop();
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: impl AsRef<[u8]>) -> (String, String) {
        let error = parse(text.as_ref()).unwrap_err();
        (error.pointer, error.rule)
    }

    fn check(text: impl AsRef<[u8]>, pointer: &str, rule: &str) {
        let (at, broken) = refused(text.as_ref());
        assert_eq!(at, pointer);
        assert!(broken.contains(rule), "{broken}");
    }

    #[test]
    fn valid_document_parses_as_with_serde_json() {
        let text =
            r#" {"a":[1,-2,3.5,1e3,true,false,null,"\u00e9\ud83d\ude00\u0000"],"":{},"b":[]} "#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()), Ok(expected));
        assert_eq!(parse(b"18446744073709551615"), Ok(json!(u64::MAX)));
    }

    #[test]
    fn byte_order_mark_before_a_document_is_ignored_and_utf_16_is_refused_by_name() {
        assert_eq!(parse("\u{feff} {}".as_bytes()), Ok(json!({})));
        for text in [
            b"\xFF\xFE{\0}\0".as_slice(),
            b"\xFE\xFF\0{\0}",
            b"{\0}\0",
            b"\0{\0}",
            b"\n\0{\0}\0",
        ] {
            check(text, "", "is UTF-16, but must be UTF-8");
        }
        check(b"{}\0", "", "trailing characters");
        check(b"\0", "", "expected value");
        check(b"[\0]", "/0", "expected value");
        check(b"\0\0\xFE\xFF", "", "is not UTF-8");
    }

    #[test]
    fn duplicate_key_is_refused_with_its_pointer() {
        check(r#"{"a":1,"a":1}"#, "/a", "appears twice");
        check(r#"{"a":{"b/~":1,"b/~":2}}"#, "/a/b~1~0", "appears twice");
        check(
            r#"[0,{"x":[{},{"y":1,"y":2}]}]"#,
            "/1/x/1/y",
            "appears twice",
        );
        check(r#"{"a":1,"\u0061":2}"#, "/a", "appears twice");
        check(r#"{"":1,"":2}"#, "/", "appears twice");
        assert!(parse(br#"[{"a":1},{"a":1}]"#).is_ok());
    }

    #[test]
    fn nesting_deeper_than_64_levels_is_refused() {
        let nested = |open: &str, close: &str, depth| open.repeat(depth) + &close.repeat(depth);
        assert!(parse(nested("[", "]", 64).as_bytes()).is_ok());
        check(nested("[", "]", 65), &"/0".repeat(64), "deeper than 64");
        check(
            nested("[", "]", 100_000),
            &"/0".repeat(64),
            "deeper than 64",
        );
        let objects = |depth: usize| {
            format!(
                "{}{{}}{}",
                r#"{"a":"#.repeat(depth - 1),
                "}".repeat(depth - 1)
            )
        };
        assert!(parse(objects(64).as_bytes()).is_ok());
        check(objects(65), &"/a".repeat(64), "deeper than 64");
    }

    #[test]
    fn malformed_json_is_refused_with_its_pointer() {
        check("", "", "EOF");
        check("  ", "", "EOF");
        check("\u{feff}", "", "EOF");
        check("\u{feff}\u{feff}{}", "", "expected value");
        check("{\u{feff}}", "", "key must be a string");
        check(b"\"a\xFF\"", "", "not UTF-8 at byte 2");
        check(b"\xED\xA0\x80", "", "not UTF-8 at byte 0");
        check("{} x", "", "trailing characters at line 1 column 4");
        check("{}{}", "", "trailing characters");
        check(r#"{"a":[1,]}"#, "/a/1", "trailing comma");
        check(r#"{"a":1,}"#, "", "trailing comma");
        check(r#"{"a":tru}"#, "/a", "expected ident");
        check(r#"{"a":"\ud800"}"#, "/a", "hex escape");
        check(r#"{"a":"\udc00 "}"#, "/a", "surrogate");
        check(r#"{"\ud800":1}"#, "", "hex escape");
        check("{\"a\":\"\n\"}", "/a", "control character");
        check(r#"{"a":01}"#, "/a", "invalid number");
        check(r#"{"a":1e999}"#, "/a", "number out of range");
        check(r#"{"a":NaN}"#, "/a", "expected");
        check(r#"{a:1}"#, "", "key must be a string");
        check("{'a':1}", "", "key must be a string");
        check("// no\n{}", "", "expected value");
    }

    #[test]
    fn error_contains_no_value_of_the_document() {
        for text in [
            r#"{"a":"canary","a":"canary"}"#,
            r#"{"a":"canary" "b"}"#,
            r#"{"a":"canary\q"}"#,
            r#""canary" canary"#,
            r#"{"a":canary}"#,
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn accepted_text_parses_as_with_serde_json(text in "[\\[\\]{}:,\"a0-2 \\\\eut-]{0,24}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }

        /// What a caller has from Graph, such as the coordinates of a place, goes back to Graph.
        #[test]
        fn number_is_passed_on_as_the_same_double(bits in any::<u64>(), places in 1..18_usize, coordinate in -180.0..180.0_f64) {
            for text in [format!("{:e}", f64::from_bits(bits)), format!("{coordinate:.places$}")] {
                let Ok(Value::Number(number)) = parse(text.as_bytes()) else {
                    continue;
                };
                let again: f64 = number.to_string().parse().unwrap();
                prop_assert_eq!(again.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
