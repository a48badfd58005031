//! The receiver's reply to one attempt to deliver a completion.

use std::time::Duration;

use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;

use super::ANSWER_READ_BYTES;
use super::excerpt::{self, Secrets};
use crate::outbound::answer_body::media_type;
use crate::outbound::{Answered, retry_after};
use crate::profile::Profile;
use crate::profile::answers::error_name;

/// Why an answer is not believed whose status means success.
const OTHER_PAGE: &str =
    "the answer is not JSON, so it comes from another page in the receiver's place";

/// The result of one delivery attempt, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackReply {
    /// HTTP status of the answer; `None` when there was no answer.
    pub status: Option<u16>,
    /// The receiver has accepted the completion, by a 2xx or by what its profile calls success.
    pub taken: bool,
    /// The receiver names an error after which trying again is of no use, by its profile.
    pub gives_up: bool,
    /// The receiver names an error that says that it is overloaded.
    pub is_busy: bool,
    pub retry_after: Option<Duration>,
    /// Why there is no answer, or why it is not believed, for the history, without secrets.
    pub detail: Option<String>,
    /// Media type of the answer's body.
    pub answer_type: Option<String>,
    /// Length of the answer's body in bytes, as far as it is known.
    pub answer_length: Option<u64>,
    /// The beginning of the answer's body, made fit for the history, where the configuration asks for it.
    pub answer: Option<String>,
    /// Time from sending the request until its answer was read.
    pub latency: Option<Duration>,
}

impl CallbackReply {
    /// Creates the reply of an attempt in which nothing was sent or no answer came back; `detail` says why.
    pub(crate) fn unsent(detail: &str) -> Self {
        Self {
            detail: Some(detail.to_owned()),
            ..Self::default()
        }
    }
}

/// Reads the receiver's answer by its profile; the beginning of its body is kept only if `keeps_answers`.
pub(super) fn of(
    profile: &Profile,
    answered: &Answered,
    secrets: &Secrets,
    now: Timestamp,
    keeps_answers: bool,
) -> CallbackReply {
    let headers = &answered.headers;
    let status = answered.status.as_u16();
    let body = answered.body.as_deref().unwrap_or_default();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let announced = text("content-length").and_then(|length| length.parse().ok());
    let beginning = &body[..body.len().min(ANSWER_READ_BYTES)];
    let reply = CallbackReply {
        status: Some(status),
        retry_after: retry_after::parse(headers.get("retry-after"), headers.get("date"), now),
        answer_type: text("content-type").and_then(|text| excerpt::media_type(text, secrets)),
        answer_length: announced.or_else(|| u64::try_from(body.len()).ok()),
        answer: keeps_answers
            .then(|| excerpt::of(beginning, secrets, body.len() >= ANSWER_READ_BYTES))
            .flatten(),
        ..CallbackReply::default()
    };
    let read: Option<Value> = match profile.reads_answers() {
        true => serde_json::from_slice(body).ok(),
        false => None,
    };
    let doubt = match profile.takes(status) {
        true => believed(profile, answered, read.as_ref()).err(),
        false => None,
    };
    if profile.takes(status) && doubt.is_none() {
        return CallbackReply {
            taken: true,
            ..reply
        };
    }
    let error = error_name(&profile.error_at, headers, read.as_ref());
    let error = error.filter(|name| secrets.are_not_in(name));
    refused(profile, error, doubt, reply)
}

/// Checks an answer whose status means success. The error says why it is not believed.
fn believed(profile: &Profile, answered: &Answered, read: Option<&Value>) -> Result<(), String> {
    if profile.json_only && is_page(answered) {
        return Err(OTHER_PAGE.to_owned());
    }
    let condition = profile.success_when.as_ref();
    condition.map_or(Ok(()), |condition| condition.check(read))
}

/// Adds what the receiver says of its error, and why an answer is not believed whose status means success.
fn refused(
    profile: &Profile,
    error: Option<String>,
    doubt: Option<String>,
    reply: CallbackReply,
) -> CallbackReply {
    let Some(name) = error else {
        return CallbackReply {
            detail: doubt,
            ..reply
        };
    };
    let gives_up = profile.give_up_when.contains(&name);
    let mut said = format!("the receiver names the error {name}");
    if gives_up {
        said.push_str(", after which trying again is of no use");
    }
    CallbackReply {
        is_busy: profile.busy_when.contains(&name),
        gives_up,
        detail: Some(match doubt {
            Some(doubt) => format!("{doubt}; {said}"),
            None => said,
        }),
        ..reply
    }
}

/// Reports whether an answer has a body that is not JSON by its `Content-Type`: `application/json`, `text/json` or a type
/// that ends in `+json`.
///
/// The headers decide, because a slow page may not have sent its first byte yet.
pub(super) fn is_page(answered: &Answered) -> bool {
    let media_type = media_type(&answered.headers);
    let is_json = media_type.as_deref().is_some_and(|text| {
        ["application/json", "text/json"].contains(&text) || text.ends_with("+json")
    });
    let length = answered.headers.get(header::CONTENT_LENGTH);
    let has_no_body = answered.status == StatusCode::NO_CONTENT
        || length.is_some_and(|length| length.as_bytes() == b"0");
    !is_json && !has_no_body
}
