//! An event as a request to an HTTP receiver: a CloudEvent in its structured form, signed as Standard Webhooks says.

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use url::Url;

use crate::callback::CallbackReply;
use crate::crypto::webhook_signature::{self, SigningSecret};
use crate::operation::FrozenEvent;
use crate::outbound::{Answered, Call, Read, Route, retry_after};

/// Media type of a CloudEvent in its structured form (CloudEvents HTTP binding 1.0.2 §3.2).
pub(super) const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";

/// Returns the request; `None` if a header cannot be sent.
pub(super) fn call(
    url: &Url,
    secrets: &[SigningSecret],
    event: &FrozenEvent,
    now: Timestamp,
    timeout: Duration,
) -> Option<Call> {
    let body = event.body.as_bytes();
    let signature = webhook_signature::sign(secrets, &event.id, now, body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
    for (name, value) in [
        ("webhook-id", event.id.as_str()),
        ("webhook-timestamp", &now.as_second().to_string()),
        ("webhook-signature", &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(Call {
        route: Route::Guarded,
        method: Method::POST,
        url: url.clone(),
        headers,
        body: body.to_vec(),
        read: Read::First(0),
        timeout,
    })
}

/// Reads the answer: any 2xx takes the event.
pub(super) fn reply(answered: &Answered, now: Timestamp) -> CallbackReply {
    let headers = &answered.headers;
    CallbackReply {
        status: Some(answered.status.as_u16()),
        taken: answered.status.is_success(),
        retry_after: retry_after::parse(headers.get("retry-after"), headers.get("date"), now),
        ..CallbackReply::default()
    }
}
