//! `callback` of a request: where the completion goes.

use serde_json::{Map, Value};

use crate::address::Allowed;
use crate::callback_url::{self, CallbackUrl};
use crate::config::Client;
use crate::problem::Problem;
use crate::schema::Violation;

pub(super) fn url_of(callback: Map<String, Value>, errors: &mut Vec<Violation>) -> Option<String> {
    let mut url = None;
    for (name, value) in callback {
        match (name.as_str(), value) {
            ("url", Value::String(text)) => url = Some(text),
            ("url", _) => errors.push(Violation::new("/callback/url", "must be a string")),
            _ => {
                let name = name.replace('~', "~0").replace('/', "~1");
                let pointer = format!("/callback/{name}");
                errors.push(Violation::new(pointer, "is not a known field"));
            }
        }
    }
    let told = errors.iter().any(|error| error.pointer == "/callback/url");
    if url.is_none() && !told {
        errors.push(Violation::new("/callback/url", "is required"));
    }
    url
}

pub(super) fn callback(
    url: &str,
    client: &Client,
    allowed: &Allowed,
    errors: &mut Vec<Violation>,
) -> Result<Option<CallbackUrl>, Problem> {
    match callback_url::parse(url, &client.callback_origins, allowed) {
        Ok(url) => Ok(Some(url)),
        Err(refusal) if refusal.forbidden => Err(Problem::CallbackForbidden { rule: refusal.rule }),
        Err(refusal) => {
            errors.push(Violation::new("/callback/url", refusal.rule));
            Ok(None)
        }
    }
}
