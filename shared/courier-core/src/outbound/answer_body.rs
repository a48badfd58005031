//! Reads the bodies of answers: the one place that says why a body cannot be read, in words that contain none of it.

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::outbound::Answered;

/// The reason why the body of an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("its body was cut off or came too slowly")]
    CutOff,
    #[error("its body is longer than 256 KiB")]
    TooLong,
    /// We ask for bodies without an encoding (`accept-encoding: identity`).
    #[error("its body is compressed, although it was asked for uncompressed")]
    Compressed,
    #[error("it has no body")]
    Empty,
    #[error("its body is UTF-16 or UTF-32, not UTF-8")]
    OtherUnicode,
    #[error("its body is not UTF-8")]
    NotUtf8,
    #[error("its body is JSON that ends too early")]
    Incomplete,
    #[error("its body is not JSON")]
    NotJson,
    #[error("its body is JSON of another form")]
    OtherForm,
}

impl Answered {
    /// Returns the text of the body without the byte order mark that may precede it.
    ///
    /// JSON is UTF-8, and whoever reads it may ignore such a mark (RFC 8259 §8.1).
    pub fn text(&self) -> Result<&[u8], Unreadable> {
        if is_encoded(&self.headers) {
            return Err(Unreadable::Compressed);
        }
        let body = self.body.as_deref().map_err(|unreadable| *unreadable)?;
        if body.is_empty() {
            return Err(Unreadable::Empty);
        }
        Ok(without_mark(body))
    }

    /// Parses the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        parse(self.text()?)
    }
}

/// Parses JSON that a byte order mark may precede.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    let text = without_mark(body);
    serde_json::from_slice(text).map_err(|error| match (error.classify(), text) {
        (_, []) => Unreadable::Empty,
        // The marks of UTF-16 and UTF-32, or their usual first letter: JSON of theirs begins with `{` and zero bytes.
        (_, [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, ..] | [_, 0, ..]) => Unreadable::OtherUnicode,
        _ if std::str::from_utf8(text).is_err() => Unreadable::NotUtf8,
        (Category::Eof, _) => Unreadable::Incomplete,
        (Category::Data, _) => Unreadable::OtherForm,
        (Category::Syntax | Category::Io, _) => Unreadable::NotJson,
    })
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

/// Reports whether the body has a content coding; `identity` is none (RFC 9110 §8.4).
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.into_iter().any(|coding| {
        let coding = coding.as_bytes().trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

/// Returns the media type that `Content-Type` names, without parameters; `None` if it is none.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let text = value.split(';').next()?.trim().to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-.".contains(&byte);
    let is_type = text.matches('/').count() == 1 && text.bytes().all(fits);
    (is_type && text.len() <= 64).then_some(text)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &[u8], encoding: Option<&'static str>) -> Result<Value, Unreadable> {
        let encoding =
            encoding.map(|text| (header::CONTENT_ENCODING, HeaderValue::from_static(text)));
        let answered = Answered {
            status: StatusCode::OK,
            headers: encoding.into_iter().collect(),
            body: Ok(body.to_vec()),
        };
        answered.json()
    }

    #[test]
    fn byte_order_mark_and_the_coding_identity_are_ignored() {
        for body in ["{\"a\":1}", "\u{feff}{\"a\":1}"] {
            for encoding in [None, Some("identity"), Some("Identity"), Some("")] {
                assert_eq!(read(body.as_bytes(), encoding), Ok(json!({"a": 1})));
            }
        }
    }

    #[test]
    fn unreadable_body_says_why() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cases: [(Vec<u8>, Unreadable); 12] = [
            (b"".to_vec(), Unreadable::Empty),
            (b"\xEF\xBB\xBF".to_vec(), Unreadable::Empty),
            (b"<html>".to_vec(), Unreadable::NotJson),
            (b"{\"a\":1".to_vec(), Unreadable::Incomplete),
            (b"{\"a\":1}}".to_vec(), Unreadable::NotJson),
            (b"\x1f\x8b\x08\x00".to_vec(), Unreadable::NotUtf8),
            (b"{\"a\":\"\xFF\"}".to_vec(), Unreadable::NotUtf8),
            (utf16("{\"a\":1}"), Unreadable::OtherUnicode),
            (utf16("\u{feff}{\"a\":1}"), Unreadable::OtherUnicode),
            (b"\xFE\xFF\x00{".to_vec(), Unreadable::OtherUnicode),
            (b"\x00{\x00}".to_vec(), Unreadable::OtherUnicode),
            (b"[1,".to_vec(), Unreadable::Incomplete),
        ];
        for (body, expected) in cases {
            assert_eq!(read(&body, None), Err(expected), "{body:?}");
        }
        for encoding in ["gzip", "br", "identity, gzip", "x"] {
            assert_eq!(read(b"{}", Some(encoding)), Err(Unreadable::Compressed));
        }
    }

    #[test]
    fn media_type_is_a_type_or_nothing() {
        for (value, expected) in [
            ("text/html; charset=utf-8", Some("text/html")),
            ("Application/Problem+JSON", Some("application/problem+json")),
            ("token=secret", None),
            ("a/b/c", None),
            ("text/html token", None),
            ("", None),
        ] {
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(value))];
            let read = media_type(&HeaderMap::from_iter(headers));
            assert_eq!(read.as_deref(), expected, "{value}");
        }
    }
}
