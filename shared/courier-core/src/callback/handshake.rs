//! Requests a receiver's consent before the first delivery (CloudEvents HTTP webhooks 1.0, "Abuse protection"), and learns
//! how many requests per minute it allows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::Callbacks;
use crate::callback::breaker::Health;
use crate::config::Client;
use crate::outbound::target_url::CallbackUrl;
use crate::outbound::{Call, Read, Route, retry_after};
use crate::time::later;

/// Time for which a receiver's consent is relied on; every new process requests it again too.
const CONSENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of consents that are remembered; beyond it all are forgotten and requested again.
const MAX_CONSENTS: usize = 10_000;

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// The receivers that have consented, by client and URL.
pub(super) struct Handshakes {
    /// Our own DNS name, sent as `WebHook-Request-Origin`.
    origin: Option<String>,
    agreed: Mutex<HashMap<(String, String), Consent>>,
}

/// A receiver's consent to deliveries.
struct Consent {
    /// The time until which we rely on it.
    until: Timestamp,
    /// The receiver's origin, which is what a limit of requests holds for.
    origin: String,
    /// Number of requests per minute that the receiver allows; `None` is any number.
    per_minute: Option<u32>,
}

impl Handshakes {
    pub(super) fn new(origin: Option<String>) -> Self {
        Self {
            origin,
            agreed: Mutex::default(),
        }
    }

    fn stands(&self, key: &(String, String), now: Timestamp) -> bool {
        let agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        agreed.get(key).is_some_and(|consent| now < consent.until)
    }

    /// Remembers a consent, and returns the lowest limit of requests per minute that holds for the receiver's origin.
    fn remember(&self, key: (String, String), consent: Consent, now: Timestamp) -> Option<u32> {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if agreed.len() >= MAX_CONSENTS {
            agreed.clear();
        }
        let (client, origin) = (key.0.clone(), consent.origin.clone());
        agreed.insert(key, consent);
        let same = agreed.iter().filter(|((name, _), consent)| {
            *name == client && consent.origin == origin && now < consent.until
        });
        same.filter_map(|(_, consent)| consent.per_minute).min()
    }
}

impl Callbacks {
    /// Makes sure that the receiver at `url` has consented, with an OPTIONS request unless it has lately.
    ///
    /// The error says why nothing may be sent there, and what that shows about the receiver's health.
    pub(super) async fn shake_hands(
        &self,
        client: &Client,
        url: &CallbackUrl,
    ) -> Result<(), (String, Health)> {
        let key = (client.name.clone(), url.as_str().to_owned());
        if self.handshakes.stands(&key, (self.clock)()) {
            return Ok(());
        }
        let origin = self.handshakes.origin.as_deref().unwrap_or_default();
        let value = HeaderValue::from_str(origin)
            .map_err(|_| ("our origin cannot be sent".to_owned(), Health::Untried))?;
        let sent = self.transport.send(Call {
            route: Route::Guarded,
            method: Method::OPTIONS,
            url: url.as_url().clone(),
            headers: HeaderMap::from_iter([(REQUEST_ORIGIN, value)]),
            body: Vec::new(),
            read: Read::First(0),
            timeout: self.side_call_timeout(),
        });
        let answered = sent.await.map_err(|unanswered| {
            let detail = format!("CloudEvents handshake: {unanswered}");
            (detail, Health::of(None, None))
        })?;
        let values = answered.headers.get_all(ALLOWED_ORIGIN).iter();
        let mut allowed_origins = values.filter_map(|value| value.to_str().ok());
        let agrees = allowed_origins.any(|name| name == "*" || name.eq_ignore_ascii_case(origin));
        if !answered.status.is_success() || !agrees {
            let status = answered.status.as_u16();
            let detail = format!("CloudEvents handshake: answered {status} without leave");
            let headers = &answered.headers;
            let (retry_after, date) = (headers.get("retry-after"), headers.get("date"));
            let retry_after = retry_after::parse(retry_after, date, (self.clock)());
            return Err((detail, Health::of(Some(status), retry_after)));
        }
        let now = (self.clock)();
        let origin = url.origin();
        let consent = Consent {
            until: later(now, CONSENT_LIFETIME),
            origin: origin.clone(),
            per_minute: answered.headers.get(ALLOWED_RATE).and_then(rate),
        };
        let per_minute = self.handshakes.remember(key, consent, now);
        self.breakers
            .limit_rate(&client.name, &origin, per_minute, now);
        Ok(())
    }
}

/// Returns the number of requests per minute that a receiver allows; `None` when it names no positive number (`*`).
fn rate(header: &HeaderValue) -> Option<u32> {
    let per_minute: u32 = header.to_str().ok()?.trim().parse().ok()?;
    (per_minute > 0).then_some(per_minute)
}
