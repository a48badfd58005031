//! Builds the headers of one delivery attempt. Each attempt has its own time and signatures; id and body never change.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::DeliveryAttempt;
use crate::crypto::secret::Secret;
use crate::crypto::webhook_signature;
use crate::operation::trace_context;
use crate::profile::Signature;
use crate::time::milliseconds;

/// Returns every header but `host` and `content-length`; `credentials` authenticate us to the receiver.
///
/// The error says that a header's name or value cannot be sent.
pub(super) fn of(
    attempt: &DeliveryAttempt<'_>,
    body: &[u8],
    credentials: Option<&(HeaderName, Secret)>,
    now: Timestamp,
) -> Result<HeaderMap, &'static str> {
    let (event, profile) = (attempt.event, &attempt.profile.format);
    let mut headers = Headers(HeaderMap::new());
    for (name, value) in profile.headers(event.is_otherwise) {
        headers.insert(name, value)?;
    }
    headers.insert("content-type", &profile.content_type)?;
    // The id lets every receiver recognise a repeated delivery, whether the profile signs it or not.
    headers.insert("webhook-id", &event.id)?;
    headers.insert("webhook-timestamp", &now.as_second().to_string())?;
    let secrets = &attempt.client.signing_secrets;
    if profile.signature != Signature::None && !secrets.is_empty() {
        let signature = webhook_signature::sign(secrets, &event.id, now, body);
        headers.insert("webhook-signature", &signature)?;
    }
    if profile.signature != Signature::None {
        headers.insert("ce-specversion", "1.0")?;
        headers.insert("ce-id", &event.id)?;
        headers.insert("ce-type", &event.kind)?;
        headers.insert("ce-source", attempt.source)?;
        headers.insert("ce-subject", attempt.record.id.as_str())?;
        if let Some(ended_at) = attempt.record.ended_at {
            headers.insert("ce-time", &milliseconds(ended_at))?;
        }
    }
    trace(&mut headers, attempt, now)?;
    if let (Some(hmac), Some(secret)) = (&profile.hmac, attempt.profile.secrets.first()) {
        let mac = hmac.algorithm.sign(secret.expose().as_bytes(), &[body]);
        let signature = hmac.encoding.encode(&mac);
        headers.insert(&hmac.header, &format!("{}{signature}", hmac.prefix))?;
    }
    if let Some((name, value)) = credentials {
        headers.insert(name.as_str(), value.expose())?;
    }
    Ok(headers.0)
}

/// Makes the attempt a call of the trace that the request belongs to.
fn trace(
    headers: &mut Headers,
    attempt: &DeliveryAttempt<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    let record = attempt.record;
    let call = format!("{} {} {now}", attempt.event.id, record.delivery.attempts);
    let parent = record.traceparent.as_deref();
    if let Some(child) = parent.and_then(|parent| trace_context::child(parent, &call)) {
        headers.insert("traceparent", &child)?;
        if let Some(state) = &record.tracestate {
            headers.insert("tracestate", state)?;
        }
    }
    Ok(())
}

struct Headers(HeaderMap);

impl Headers {
    fn insert(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header cannot be sent")?;
        let value = HeaderValue::from_str(value).map_err(|_| "a header cannot be sent")?;
        self.0.insert(name, value);
        Ok(())
    }
}
