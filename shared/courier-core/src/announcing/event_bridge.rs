//! Events as a call of `PutEvents` (Amazon EventBridge API reference, `PutEvents`), signed with AWS keys.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::callback::CallbackReply;
use crate::config::EventBus;
use crate::events;
use crate::operation::FrozenEvent;
use crate::outbound::sigv4::{self, Unsigned};
use crate::outbound::{Answered, Call, Read, Route, retry_after};

/// Returns the call for at most ten events; `None` if one of them cannot be sent.
pub(super) fn call(
    bus: &EventBus,
    batch: &[&FrozenEvent],
    now: Timestamp,
    timeout: Duration,
) -> Option<Call> {
    let entries = batch.iter().map(|event| events::entry(event, &bus.arn));
    let entries: Vec<Value> = entries.collect::<Option<_>>()?;
    let body = json!({ "Entries": entries }).to_string().into_bytes();
    let mut headers = HeaderMap::new();
    let media_type = HeaderValue::from_static("application/x-amz-json-1.1");
    headers.insert(header::CONTENT_TYPE, media_type);
    let target = HeaderValue::from_static("AWSEvents.PutEvents");
    headers.insert("x-amz-target", target);
    let unsigned = Unsigned {
        method: &Method::POST,
        url: &bus.endpoint,
        body: &body,
    };
    sigv4::sign(
        &unsigned,
        &bus.sigv4.keys,
        &bus.sigv4.scope,
        &mut headers,
        now,
    )
    .ok()?;
    Some(Call {
        route: Route::Kept,
        method: Method::POST,
        url: bus.endpoint.clone(),
        headers,
        body,
        read: Read::Whole,
        timeout,
    })
}

/// Reads what became of each entry. A 200 says nothing alone: each entry has an id, or an error of its own.
pub(super) fn replies(answered: &Answered, entries: usize, now: Timestamp) -> Vec<CallbackReply> {
    let headers = &answered.headers;
    let bytes = answered.body.as_deref().unwrap_or_default();
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let whole = CallbackReply {
        status: Some(answered.status.as_u16()),
        retry_after: retry_after::parse(headers.get("retry-after"), headers.get("date"), now),
        ..CallbackReply::default()
    };
    if answered.status != StatusCode::OK {
        // Such as `AccessDeniedException`, perhaps with a namespace in front.
        let kind = body["__type"].as_str().map(word);
        let is_busy = kind.as_deref().is_some_and(is_throttling);
        let detail = kind.map(|kind| format!("EventBridge answered {kind}"));
        let reply = CallbackReply {
            detail,
            is_busy,
            ..whole
        };
        return vec![reply; entries];
    }
    let reply = |place: usize| {
        let entry = &body["Entries"][place];
        if entry["EventId"].is_string() {
            return CallbackReply {
                taken: true,
                ..whole.clone()
            };
        }
        let code = entry["ErrorCode"].as_str().map(word);
        let detail = code.map_or_else(
            || "EventBridge did not say that it has the event".to_owned(),
            |code| format!("EventBridge did not take the event: {code}"),
        );
        CallbackReply {
            is_busy: is_throttling(&detail),
            detail: Some(detail),
            ..whole.clone()
        }
    };
    (0..entries).map(reply).collect()
}

/// Reports whether an error means that the bus takes no more at present, or has a problem itself.
fn is_throttling(text: &str) -> bool {
    text.contains("Throttling") || text.contains("InternalException")
}

/// Returns the name of an error, which is a word.
fn word(text: &str) -> String {
    let name = text.rsplit('#').next().unwrap_or_default();
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replied(status: u16, body: &Value) -> Vec<CallbackReply> {
        let answered = Answered {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Ok(body.to_string().into_bytes()),
        };
        replies(&answered, 2, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_200_with_a_failed_entry_is_a_failure_of_that_entry() {
        let throttled = json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "canary" });
        let body = json!({ "FailedEntryCount": 1, "Entries": [{ "EventId": "1" }, throttled] });
        let replies = replied(200, &body);
        assert!(replies[0].taken && !replies[1].taken);
        assert!(replies[1].is_busy);
        let detail = replies[1].detail.as_deref();
        assert_eq!(
            detail,
            Some("EventBridge did not take the event: ThrottlingException")
        );
    }

    #[test]
    fn an_answer_that_names_no_entry_takes_none_and_an_error_is_told_by_its_name() {
        assert!(replied(200, &json!({})).iter().all(|reply| !reply.taken));
        assert!(replied(200, &json!("OK")).iter().all(|reply| !reply.taken));
        let denied = json!({ "__type": "com.amazon#AccessDeniedException", "Message": "canary" });
        let replies = replied(400, &denied);
        let detail = replies[1].detail.as_deref();
        assert_eq!(detail, Some("EventBridge answered AccessDeniedException"));
        assert!(!replies[0].taken && !replies[0].is_busy);
    }
}
