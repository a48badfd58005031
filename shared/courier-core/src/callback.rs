//! Offers a frozen completion to its receiver, signed by Standard Webhooks 1.0, with CloudEvents 1.0 headers (§4.2).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use crate::Clock;
use crate::address::Allowed;
use crate::callback_url;
use crate::config::Client;
use crate::decide::CallbackReply;
use crate::outbound::{Call, Read, Route, Transport};
use crate::record::{FrozenEvent, Record};
use crate::request::callback_place;
use crate::retry_after;
use crate::seal::Sealer;
use crate::webhook;

pub(crate) struct Callbacks {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) allowed: Arc<Allowed>,
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
}

impl Callbacks {
    /// One attempt. Only a 2xx counts as delivered; whatever else happened is told without secrets.
    pub(crate) async fn deliver(
        &self,
        record: &Record,
        client: &Client,
        sealer: &Sealer,
    ) -> CallbackReply {
        match self.attempt(record, client, sealer).await {
            Ok(reply) => reply,
            Err(detail) => CallbackReply {
                status: None,
                retry_after: None,
                detail: Some(detail),
            },
        }
    }

    async fn attempt(
        &self,
        record: &Record,
        client: &Client,
        sealer: &Sealer,
    ) -> Result<CallbackReply, String> {
        let target = record
            .callback
            .as_ref()
            .ok_or("no callback was asked for")?;
        let event = record
            .event
            .as_ref()
            .ok_or("the completion is not frozen")?;
        let url = sealer
            .open(&callback_place(&record.id), &target.url)
            .map_err(|_| "the sealed callback URL cannot be opened with the configured key")?;
        // Judged again: the configuration may have changed since the request.
        let url = callback_url::parse(url.expose(), &client.callback_origins, &self.allowed)
            .map_err(|_| "the callback URL is no longer allowed")?;
        let now = (self.clock)();
        let sent = self.transport.send(Call {
            route: Route::Guarded,
            method: Method::POST,
            url: url.as_url().clone(),
            headers: headers(event, record, client, now)?,
            body: event.body.clone().into_bytes(),
            read: Read::First(0),
            timeout: self.timeout,
        });
        let answered = sent.await.map_err(|unanswered| unanswered.to_string())?;
        let headers = &answered.headers;
        let asked = retry_after::parse(headers.get("retry-after"), headers.get("date"), now);
        Ok(CallbackReply {
            status: Some(answered.status.as_u16()),
            retry_after: asked,
            detail: None,
        })
    }
}

/// The timestamp and with it the signature are of this attempt; id and body are those of the event.
fn headers(
    event: &FrozenEvent,
    record: &Record,
    client: &Client,
    now: Timestamp,
) -> Result<HeaderMap, &'static str> {
    let signature = webhook::sign(
        &client.signing_secrets,
        &event.id,
        now,
        event.body.as_bytes(),
    );
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", event.id.clone()),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signature),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", event.id.clone()),
        ("ce-type", event.kind.clone()),
        ("ce-source", "/v1/operations".to_owned()),
        ("ce-subject", record.id.to_string()),
    ];
    if let Some(ended_at) = record.ended_at {
        headers.push(("ce-time", ended_at.to_string()));
    }
    if let Some(traceparent) = &record.traceparent {
        headers.push(("traceparent", traceparent.clone()));
    }
    let headers = headers.into_iter().map(|(name, value)| {
        let value = HeaderValue::try_from(value).map_err(|_| "a header cannot be sent")?;
        Ok((HeaderName::from_static(name), value))
    });
    headers.collect()
}
