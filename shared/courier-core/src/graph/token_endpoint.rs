//! One request to Entra's token endpoint, and what its answer means (`docs/graph-behaviour.md`, Tokens and clouds).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::cached::Failure;
use crate::config::Tenant;
use crate::crypto::secret::Secret;
use crate::graph::unavailable::{Cause, NotReady};
use crate::operation::Reason;
use crate::outbound::holds::Holds;
use crate::outbound::{Answered, Call, Read, Route, Transport, retry_after};
use crate::time::Clock;

/// Time for which a refusal holds, so that a thousand waiting operations cause one request, and a secret that has been
/// replaced is noticed soon.
const REFUSAL_PAUSE: Duration = Duration::from_secs(60);
/// Lifetime of a token whose answer has no usable `expires_in`, which is only recommended (RFC 6749 §5.1).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// The token endpoints of all tenants at one login host.
pub(super) struct TokenEndpoint {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) login: Url,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) holds: Holds,
}

/// A granted access token.
pub(super) struct Grant {
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) lifetime: Duration,
}

impl TokenEndpoint {
    /// Requests a token with these parameters of a grant, unless the endpoint has asked for a pause that is not over.
    pub(super) async fn request(
        &self,
        tenant: &Tenant,
        grant: &[(&str, &str)],
    ) -> Result<Grant, Failure<NotReady>> {
        let url = self.url(tenant);
        if let Some(left) = self.holds.left(url.as_str(), (self.clock)()) {
            return Err(temporary(Some(left)));
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &tenant.client_id)
            .append_pair("client_secret", tenant.client_secret.expose())
            .extend_pairs(grant)
            .finish();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let sent = self.transport.send(Call {
            route: Route::Kept,
            method: Method::POST,
            url: url.clone(),
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, form_type)]),
            body: form.into_bytes(),
            read: Read::Whole,
            timeout: self.timeout,
        });
        let answered = match sent.await {
            Ok(answered) => answered,
            Err(error) => {
                tracing::warn!(tenant = tenant.name, %error, "the token endpoint did not answer; the operations of this tenant wait");
                return Err(temporary(None));
            }
        };
        self.read(tenant, &url, &answered)
    }

    fn url(&self, tenant: &Tenant) -> Url {
        let mut url = self.login.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([tenant.tenant_id.as_str(), "oauth2", "v2.0", "token"]);
        }
        url
    }

    fn read(
        &self,
        tenant: &Tenant,
        url: &Url,
        answered: &Answered,
    ) -> Result<Grant, Failure<NotReady>> {
        let (status, headers) = (answered.status, &answered.headers);
        let now = (self.clock)();
        let retry_after = retry_after::parse(headers.get("retry-after"), headers.get("date"), now);
        let Some(body) = answered.body.as_deref() else {
            tracing::warn!(
                tenant = tenant.name,
                status = status.as_u16(),
                "the answer of the token endpoint is cut off or too long; the operations of this tenant wait"
            );
            return Err(temporary(retry_after));
        };
        if status == StatusCode::OK {
            return Grant::parse(body).ok_or_else(|| {
                tracing::warn!(tenant = tenant.name, "the token endpoint answered 200 without a usable token; the operations of this tenant wait");
                refused()
            });
        }
        let refusal = Refusal::parse(body);
        tracing::warn!(
            tenant = tenant.name,
            status = status.as_u16(),
            error = refusal.error,
            error_codes = ?refusal.error_codes,
            trace_id = refusal.trace_id,
            retry_after_seconds = retry_after.map(|pause| pause.as_secs()),
            "the token endpoint gave no token; the operations of this tenant wait"
        );
        if let Some(pause) = retry_after {
            self.holds.hold(url.as_str(), pause, now);
        }
        let is_temporary = status == StatusCode::TOO_MANY_REQUESTS
            || status.is_server_error()
            || refusal.error.as_deref() == Some("temporarily_unavailable");
        Err(if is_temporary {
            temporary(retry_after)
        } else {
            Failure {
                retry_after: retry_after.or(Some(REFUSAL_PAUSE)),
                ..refused()
            }
        })
    }
}

impl Grant {
    /// Parses an access token response. `expires_in` may be a text, which Microsoft sends, or missing.
    fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: String,
            refresh_token: Option<String>,
            expires_in: Option<Value>,
        }
        // A byte order mark is ignored (RFC 8259 §8.1).
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let wire: Wire = serde_json::from_slice(text).ok()?;
        HeaderValue::from_str(&wire.access_token).ok()?;
        let seconds = wire.expires_in.as_ref().and_then(|value| match value {
            Value::String(text) => text.trim().parse::<f64>().ok(),
            Value::Number(_) => value.as_f64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Some(Self {
            access_token: Secret::new(wire.access_token),
            refresh_token: wire.refresh_token.map(Secret::new),
            lifetime: lifetime.unwrap_or(DEFAULT_LIFETIME),
        })
    }
}

/// The parts of an error response that Microsoft's support asks for.
///
/// A client must not branch on AADSTS numbers, only on `error`.
#[derive(Default)]
struct Refusal {
    error: Option<String>,
    /// The numbers of the AADSTS codes.
    error_codes: Vec<u64>,
    trace_id: Option<String>,
}

impl Refusal {
    fn parse(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        // These are words and GUIDs; anything else is no code of Entra's and is not logged.
        let word = |name: &str| {
            let text = value.get(name)?.as_str()?;
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            (text.len() <= 64 && text.bytes().all(is_word)).then(|| text.to_owned())
        };
        let codes = value.get("error_codes").and_then(Value::as_array);
        Self {
            error: word("error"),
            error_codes: codes.map_or_else(Vec::new, |codes| {
                codes.iter().filter_map(Value::as_u64).take(5).collect()
            }),
            trace_id: word("trace_id"),
        }
    }
}

/// The credential was refused, or the answer is unusable; somebody has to look at the configuration.
pub(super) fn refused() -> Failure<NotReady> {
    Failure {
        error: NotReady {
            reason: Some(Reason::AuthorizationLost),
            retry_after: None,
            cause: Cause::Trouble,
        },
        retry_after: Some(REFUSAL_PAUSE),
    }
}

/// A trouble that passes by itself.
pub(super) fn temporary(retry_after: Option<Duration>) -> Failure<NotReady> {
    Failure {
        error: NotReady {
            reason: None,
            retry_after: None,
            cause: Cause::Trouble,
        },
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_may_be_a_number_a_text_or_missing() {
        for (expires_in, seconds) in [
            (r#","expires_in":3599"#, 3599),
            (r#","expires_in":"3599""#, 3599),
            (r#","expires_in":3599.0"#, 3599),
            (r#","expires_in":-1"#, 600),
            (r#","expires_in":null"#, 600),
            ("", 600),
        ] {
            for mark in ["", "\u{feff}"] {
                let body = format!(r#"{mark}{{"access_token":"t"{expires_in}}}"#);
                let grant = Grant::parse(body.as_bytes()).unwrap();
                assert_eq!(grant.lifetime, Duration::from_secs(seconds), "{body}");
            }
        }
        for body in ["", "<html>", "{}", r#"{"access_token":"a\nb"}"#] {
            assert!(Grant::parse(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn only_codes_of_a_refusal_are_kept() {
        let refusal = Refusal::parse(
            br#"{"error":"invalid_client","error_description":"AADSTS7000215: secret for app 'x'",
                "error_codes":[7000215],"trace_id":"5a6c9e0a-0000-4000-8000-000000000000"}"#,
        );
        assert_eq!(refusal.error.as_deref(), Some("invalid_client"));
        assert_eq!(refusal.error_codes, [7_000_215]);
        assert!(refusal.trace_id.is_some());
        let odd = Refusal::parse(br#"{"error":"a secret with spaces","trace_id":7}"#);
        assert_eq!((odd.error, odd.trace_id), (None, None));
    }
}
