//! Asks a receiver for leave before anything is delivered to it (CloudEvents HTTP webhooks 1.0, "Abuse protection").

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

/// Leave is asked for again after a day, and by every new process.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// More are forgotten and asked for again.
const KNOWN: usize = 10_000;

const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";

/// Who has given leave, and until when we rely on it: by client and URL.
pub(super) struct Handshakes {
    /// Our own DNS name.
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
        if agreed.len() >= KNOWN {
            agreed.clear();
        }
        agreed.insert(key, later(now, LASTS));
    }
}

impl Callbacks {
    /// The error says why nothing may be sent there, and what that tells of the receiver.
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
        let allowed = answered.headers.get_all(ALLOWED_ORIGIN).iter();
        let mut allowed = allowed.filter_map(|value| value.to_str().ok());
        let agrees = allowed.any(|name| name == "*" || name.eq_ignore_ascii_case(origin));
        if !answered.status.is_success() || !agrees {
            let status = answered.status.as_u16();
            let detail = format!("CloudEvents handshake: answered {status} without leave");
            return Err((detail, Health::of(Some(status), None)));
        }
        self.handshakes.remember(key, (self.clock)());
        Ok(())
    }
}
