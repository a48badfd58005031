//! One request to Entra's token endpoint, and what follows from its answer (`docs/graph-behaviour.md`, Tokens and clouds).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use url::{Url, form_urlencoded};

use crate::cached::Failure;
use crate::config::Tenant;
use crate::graph::unavailable::{Cause, NotReady};
use crate::operation::Reason;
use crate::outbound::answer_body::media_type;
use crate::outbound::holds::Holds;
use crate::outbound::token_answer::{Grant, Refusal};
use crate::outbound::{Answered, Call, Read, Route, Transport, retry_after};
use crate::time::Clock;

/// Time for which a refusal holds, so that a thousand waiting operations cause one request, and a secret that has been
/// replaced is noticed soon.
const REFUSAL_PAUSE: Duration = Duration::from_secs(60);

/// The token endpoints of all tenants at one login host.
pub(super) struct TokenEndpoint {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) login: Url,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) holds: Arc<Holds>,
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
            return Err(temporary(
                "the token endpoint has asked for a pause",
                Some(left),
            ));
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
                return Err(temporary(format!("the token endpoint: {error}"), None));
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
        if status == StatusCode::OK {
            return Grant::read(answered).map_err(|unusable| {
                let content_type = media_type(headers);
                tracing::warn!(tenant = tenant.name, content_type, %unusable, "the token endpoint answered 200 without a usable token; the operations of this tenant wait");
                let content_type = content_type.map_or_else(String::new, |text| format!(" ({text})"));
                let detail = format!("the token endpoint answered 200{content_type}, but {unusable}");
                if unusable.is_temporary() {
                    temporary(detail, retry_after)
                } else {
                    refused(detail)
                }
            });
        }
        let refusal = answered
            .text()
            .map_or_else(|_| Refusal::default(), Refusal::parse);
        tracing::warn!(
            tenant = tenant.name,
            status = status.as_u16(),
            content_type = media_type(headers),
            error = refusal.error,
            error_codes = ?refusal.error_codes,
            trace_id = refusal.trace_id,
            retry_after_seconds = retry_after.map(|pause| pause.as_secs()),
            "the token endpoint gave no token; the operations of this tenant wait"
        );
        if let Some(pause) = retry_after {
            self.holds.hold(url.as_str(), pause, now);
        }
        let detail = refusal.describe(status, media_type(headers));
        Err(if refusal.is_temporary(status) {
            temporary(detail, retry_after)
        } else {
            Failure {
                retry_after: retry_after.or(Some(REFUSAL_PAUSE)),
                ..refused(detail)
            }
        })
    }
}

/// The credential was refused, or the answer is unusable; somebody has to look at the configuration.
pub(super) fn refused(detail: impl Into<String>) -> Failure<NotReady> {
    Failure {
        error: NotReady {
            reason: Some(Reason::AuthorizationLost),
            detail: Some(detail.into()),
            retry_after: None,
            cause: Cause::Trouble,
        },
        retry_after: Some(REFUSAL_PAUSE),
    }
}

/// A trouble that passes by itself.
pub(super) fn temporary(
    detail: impl Into<String>,
    retry_after: Option<Duration>,
) -> Failure<NotReady> {
    Failure {
        error: NotReady {
            reason: None,
            detail: Some(detail.into()),
            retry_after: None,
            cause: Cause::Trouble,
        },
        retry_after,
    }
}
