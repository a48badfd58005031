//! Entra's error answers, and the scopes it knows.

use http::StatusCode;
use serde_json::json;
use url::Url;

use crate::answer::{Answer, Call};
use crate::instant;

/// An error answer in Entra's format.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: String,
    pub(crate) number: u32,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: &str, number: u32, text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            error: error.to_owned(),
            number,
            text: text.into(),
        }
    }

    /// Returns the refusal of a malformed scope.
    pub(crate) fn scope(scope: &str) -> Self {
        Self::new(
            400,
            "invalid_scope",
            70011,
            format!(
                "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
            ),
        )
    }

    pub(crate) fn into_answer(self, call: &Call<'_>) -> Answer {
        let Self {
            status,
            error,
            number,
            text,
        } = self;
        let trace_id = call.request_id;
        let correlation_id = call.client_request_id.unwrap_or(call.request_id);
        let timestamp = instant::spaced(call.now);
        Answer::json(
            status,
            json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{number}: {text}\r\nTrace ID: {trace_id}\r\nCorrelation ID: {correlation_id}\r\nTimestamp: {timestamp}"
                ),
                "error_codes": [number],
                "timestamp": timestamp,
                "trace_id": trace_id,
                "correlation_id": correlation_id,
                "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
            }),
        )
    }
}

/// Answers what OpenID Connect Discovery 1.0 §3 requires, as Entra writes it for a tenant.
///
/// Of the endpoints named here only the token endpoint exists: tokens are opaque, and nobody can sign in.
pub(crate) fn openid_configuration(origin: &str, tenant: &str) -> Answer {
    let base = format!("{origin}/{tenant}");
    Answer::json(
        StatusCode::OK,
        json!({
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("{base}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        }),
    )
}

/// Reports whether this is one resource and `/.default`, the only scope an application can request.
pub(crate) fn is_default_scope(scope: &str) -> bool {
    let resource = scope.strip_suffix("/.default").map(Url::parse);
    resource.is_some_and(|url| url.is_ok_and(|url| url.has_host()))
}

/// Reports whether this is a permission (`User.Read`), a permission with its resource in front, or a scope of OpenID
/// Connect.
pub(crate) fn is_scope(scope: &str) -> bool {
    let name = Url::parse(scope).is_ok_and(|url| url.has_host() && url.path() != "/");
    ["openid", "profile", "email", "offline_access"].contains(&scope)
        || name
        || scope.split('.').count() > 1 && scope.split('.').all(|part| !part.is_empty())
}
