//! The key that makes a repeat harmless.

use http::{HeaderMap, HeaderValue};

use crate::catalogue::{Operation, Restart};
use crate::problem::Problem;

/// The key that makes a repeat harmless: the header (a structured-field string, or bare), else operation + reference.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    operation: &Operation,
    reference: Option<&str>,
) -> Result<Option<String>, Problem> {
    const NAME: &str = "Idempotency-Key";
    let mut values = headers.get_all("idempotency-key").iter();
    let problem = |rule| Problem::InvalidHeader { name: NAME, rule };
    match (values.next(), values.next()) {
        (Some(value), None) => unquote(value)
            .map(|key| Some(format!("key {key}")))
            .ok_or_else(|| problem("must be 1 to 255 printable ASCII characters, quoted or bare")),
        (Some(_), Some(_)) => Err(problem("must be sent once")),
        (None, _) => match reference {
            Some(reference) => Ok(Some(format!("reference {} {reference}", operation.name))),
            None if operation.restart == Restart::Never => Err(problem(
                "is required for this operation unless the body has a reference",
            )),
            None => Ok(None),
        },
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
