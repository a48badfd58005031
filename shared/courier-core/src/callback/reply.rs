//! The receiver's reply to one attempt to deliver a completion.

use std::time::Duration;

use http::{StatusCode, header};

use crate::outbound::Answered;
use crate::outbound::answer_body::media_type;

/// The result of one delivery attempt, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackReply {
    /// HTTP status of the answer; `None` when there was no answer.
    pub status: Option<u16>,
    /// The receiver has accepted the completion, by a 2xx or by what its profile calls success.
    pub taken: bool,
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
