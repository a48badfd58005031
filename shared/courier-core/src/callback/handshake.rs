//! Requests a receiver's consent before the first delivery (CloudEvents HTTP webhooks 1.0, "Abuse protection").

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::Callbacks;
use crate::callback::breaker::Health;
use crate::config::Client;
use crate::outbound::target_url::CallbackUrl;
use crate::outbound::{Call, Read, Route};
use crate::time::later;

/// Time for which a receiver's consent is relied on; every new process requests it again too.
const CONSENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Maximum number of consents that are remembered; beyond it all are forgotten and requested again.
const MAX_CONSENTS: usize = 10_000;

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";

/// The receivers that have consented, by client and URL, each with the time until which we rely on it.
pub(super) struct Handshakes {
    /// Our own DNS name, sent as `WebHook-Request-Origin`.
    origin: Option<String>,
    agreed: Mutex<HashMap<(String, String), Timestamp>>,
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
        agreed.get(key).is_some_and(|until| now < *until)
    }

    fn remember(&self, key: (String, String), now: Timestamp) {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if agreed.len() >= MAX_CONSENTS {
            agreed.clear();
        }
        agreed.insert(key, later(now, CONSENT_LIFETIME));
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
            return Err((detail, Health::of(Some(status), None)));
        }
        self.handshakes.remember(key, (self.clock)());
        Ok(())
    }
}
