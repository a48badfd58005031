//! An event whose attributes are `ce-*` headers and whose data is the body (CloudEvents HTTP binding 1.0, section 3.1).

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::attributes::{Attributes, Name};
use super::{BrokenAttribute, Parts, Problem};
use crate::strict_json;

/// The attributes that make a request an event, so that one which lacks another of them is not taken for a plain request.
const MARKS: [Name; 4] = [Name::SpecVersion, Name::Id, Name::Source, Name::Type];

pub(super) fn is_event(headers: &HeaderMap) -> bool {
    MARKS.iter().any(|name| headers.contains_key(header(*name)))
}

pub(super) fn read(request: &Request<Bytes>) -> Result<Parts, Problem> {
    let data = strict_json::parse(request.body()).map_err(Problem::BadJson)?;
    let mut broken = Vec::new();
    let mut attributes = Attributes::default();
    // The content type of the request is that of the data (section 3.1.1), and has been judged before.
    let names = Name::READ.into_iter();
    for name in names.filter(|name| *name != Name::DataContentType) {
        let mut values = request.headers().get_all(header(name)).iter();
        let found = match (values.next(), values.next()) {
            (None, _) => continue,
            (Some(_), Some(_)) => Err("must be sent once"),
            (Some(value), None) => decoded(value.as_bytes()).ok_or("must be percent-encoded UTF-8"),
        };
        match found {
            Ok(text) => attributes.add(name, text),
            Err(rule) => broken.push(BrokenAttribute {
                attribute: name.as_str(),
                rule,
            }),
        }
    }
    Ok(Parts {
        attributes,
        data: Some(data),
        broken,
    })
}

fn header(name: Name) -> String {
    format!("ce-{}", name.as_str())
}

/// Decodes a header's value (section 3.1.3.2): the quotes of a quoted string are taken off, and then one round of
/// percent-decoding is made. `None` if the result is no UTF-8.
fn decoded(value: &[u8]) -> Option<String> {
    let value = unquoted(value.trim_ascii());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.split_first_chunk::<2>());
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let decoded = hex.flatten().and_then(|([high, low], after)| {
            let byte = digit(*high)? * 16 + digit(*low)?;
            Some((u8::try_from(byte).ok()?, after))
        });
        // A percent sign before anything else stands for itself.
        let (byte, after) = decoded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Returns the content of a quoted string (RFC 9110, section 5.6.4), or a value without quotes as it is.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let Some(inner) = inner else {
        return value.to_vec();
    };
    let mut escaped = false;
    let kept = inner.iter().filter(|byte| {
        escaped = **byte == b'\\' && !escaped;
        !escaped
    });
    kept.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first rows are the examples of the binding.
    #[test]
    fn values_are_decoded_as_the_binding_says() {
        for (value, text) in [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
            ("%22quoted%22", Some("\"quoted\"")),
            (r#""a \"b\" \\ c""#, Some(r#"a "b" \ c"#)),
            (r#""%41""#, Some("A")),
            ("%2541", Some("%41")),
            ("100%", Some("100%")),
            ("%4", Some("%4")),
            ("%zz", Some("%zz")),
            ("a+b", Some("a+b")),
            ("", Some("")),
            ("\"", Some("\"")),
            ("é", Some("é")),
            ("%FF", None),
        ] {
            assert_eq!(decoded(value.as_bytes()).as_deref(), text, "{value}");
        }
    }
}
