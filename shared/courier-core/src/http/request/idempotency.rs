//! Finds the idempotency key of a request, which makes a repeated request the same request.

use http::{HeaderMap, HeaderValue};

use super::placeholder;
use crate::auth::Signed;
use crate::catalogue::schema::Violation;
use crate::catalogue::{Operation, Restart};
use crate::crypto::hmac::Encoding;
use crate::http::problem::Problem;

const HEADER_NAME: &str = "Idempotency-Key";
const FORM_RULE: &str = "must be 1 to 255 printable ASCII characters, quoted or bare";

/// Returns the idempotency key of an unsigned request.
///
/// It is the header (a structured-field string, or bare), else operation and reference, else `None`.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    operation: &Operation,
    reference: Option<&str>,
) -> Result<Option<String>, Problem> {
    if let Some(key) = header_key(headers)? {
        return Ok(Some(format!("key {key}")));
    }
    match reference {
        Some(reference) => Ok(Some(reference_key(operation, reference))),
        None if operation.restart == Restart::Never => {
            let rule = "is required for this operation unless the body has a reference";
            Err(Problem::InvalidHeader {
                name: HEADER_NAME,
                rule,
            })
        }
        None => Ok(None),
    }
}

/// Returns the idempotency key of a signed request, which comes only from what the signature covers.
///
/// Otherwise anyone who has seen a signed request could repeat it with another key and start the operation again.
pub(super) fn signed_key(
    headers: &HeaderMap,
    operation: &Operation,
    reference: Option<&str>,
    signed: &Signed,
) -> Result<String, Problem> {
    let problem = |rule| {
        Err(Problem::InvalidHeader {
            name: HEADER_NAME,
            rule,
        })
    };
    let content = match (signed, header_key(headers)?) {
        (Signed::Id(id), Some(key)) if key != *id => {
            return problem("must equal the signed webhook-id, or not be sent");
        }
        (Signed::Id(id), _) => return Ok(format!("signed id {id}")),
        (Signed::Content(_), Some(_)) => {
            return problem("is not covered by the signature: send `reference`");
        }
        (Signed::Content(content), None) => content,
    };
    match reference {
        Some(reference) => Ok(reference_key(operation, reference)),
        None if operation.restart == Restart::Never => {
            let rule = "is required for this operation in a request with this kind of signature";
            Err(Problem::InvalidRequest(vec![Violation::new(
                "/reference",
                rule,
            )]))
        }
        None => {
            let digits = Encoding::Hex.encode(content);
            Ok(format!("signed content {digits}"))
        }
    }
}

fn reference_key(operation: &Operation, reference: &str) -> String {
    format!("reference {} {reference}", operation.name)
}

/// Returns the key in the header, if there is one.
fn header_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let problem = |rule| {
        Err(Problem::InvalidHeader {
            name: HEADER_NAME,
            rule,
        })
    };
    let mut values = headers.get_all("idempotency-key").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => problem("must be sent once"),
        (Some(value), None) => match unquote(value) {
            None => problem(FORM_RULE),
            Some(key) if placeholder::is_in(&key) => problem(placeholder::RULE),
            Some(key) => Ok(Some(key)),
        },
    }
}

/// Returns the content of an RFC 9651 §3.3.3 string, or of a string without its quotes.
fn unquote(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.trim();
    let key = match text.strip_prefix('"') {
        None if text.contains('"') => return None,
        None => text.to_owned(),
        Some(rest) => {
            let inner = rest.strip_suffix('"')?;
            let mut key = String::with_capacity(inner.len());
            let mut letters = inner.chars();
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => key.push(letters.next().filter(|next| matches!(next, '"' | '\\'))?),
                    '"' => return None,
                    other => key.push(other),
                }
            }
            key
        }
    };
    let printable = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    (printable && !key.trim().is_empty() && key.len() <= 255).then_some(key)
}
