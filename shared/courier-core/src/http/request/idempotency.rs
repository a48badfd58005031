//! The key that makes a repeat harmless.

use http::{HeaderMap, HeaderValue};

use crate::auth::Signed;
use crate::catalogue::schema::Violation;
use crate::catalogue::{Operation, Restart};
use crate::http::problem::Problem;

const NAME: &str = "Idempotency-Key";
const FORM: &str = "must be 1 to 255 printable ASCII characters, quoted or bare";

/// The key that makes a repeat harmless: the header (a structured-field string, or bare), else operation + reference.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    operation: &Operation,
    reference: Option<&str>,
) -> Result<Option<String>, Problem> {
    if let Some(key) = sent(headers)? {
        return Ok(Some(format!("key {key}")));
    }
    match reference {
        Some(reference) => Ok(Some(referred(operation, reference))),
        None if operation.restart == Restart::Never => {
            let rule = "is required for this operation unless the body has a reference";
            Err(Problem::InvalidHeader { name: NAME, rule })
        }
        None => Ok(None),
    }
}

/// The key of a signed request: only what the signature covers, or whoever has seen one could start it again.
pub(super) fn signed_key(
    headers: &HeaderMap,
    operation: &Operation,
    reference: Option<&str>,
    signed: &Signed,
) -> Result<String, Problem> {
    let problem = |rule| Err(Problem::InvalidHeader { name: NAME, rule });
    let content = match (signed, sent(headers)?) {
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
        Some(reference) => Ok(referred(operation, reference)),
        None if operation.restart == Restart::Never => {
            let rule = "is required for this operation in a request with this kind of signature";
            Err(Problem::InvalidRequest(vec![Violation::new(
                "/reference",
                rule,
            )]))
        }
        None => {
            let digits: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("signed content {digits}"))
        }
    }
}

fn referred(operation: &Operation, reference: &str) -> String {
    format!("reference {} {reference}", operation.name)
}

/// The key of the header.
fn sent(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let problem = |rule| Err(Problem::InvalidHeader { name: NAME, rule });
    let mut values = headers.get_all("idempotency-key").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => problem("must be sent once"),
        (Some(value), None) => unquote(value).map_or_else(|| problem(FORM), |key| Ok(Some(key))),
    }
}

/// RFC 9651 §3.3.3 string, or the bare characters of one.
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
