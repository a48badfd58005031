//! What a token endpoint answers, Entra's or a receiver's: a token, or a refusal (RFC 6749 §5;
//! `docs/graph-behaviour.md`, Tokens and clouds).

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::crypto::secret::Secret;
use crate::outbound::Answered;
use crate::outbound::answer_body::{self, Unreadable};

/// Lifetime of a token whose answer has no usable `expires_in`, which is only recommended (RFC 6749 §5.1).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

/// A granted access token.
pub struct Grant {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    pub lifetime: Duration,
}

/// The reason why an answer of 200 gives no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("its token is no bearer token")]
    OtherType,
    #[error("its token cannot be sent in a header")]
    Unsendable,
}

impl Unusable {
    /// Reports whether the answer was spoilt on its way, so that the next one may arrive whole.
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::Unreadable(Unreadable::CutOff | Unreadable::TooLong)
        )
    }
}

impl Grant {
    /// Parses an access token response. `expires_in` may be a text, which Microsoft sends, or missing.
    pub fn read(answered: &Answered) -> Result<Self, Unusable> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: String,
            token_type: Option<String>,
            refresh_token: Option<String>,
            expires_in: Option<Value>,
        }
        let wire: Wire = answered.json()?;
        let kind = wire.token_type.as_deref().unwrap_or("bearer");
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(Unusable::OtherType);
        }
        HeaderValue::from_str(&wire.access_token).map_err(|_| Unusable::Unsendable)?;
        let seconds = wire.expires_in.as_ref().and_then(|value| match value {
            Value::String(text) => text.trim().parse::<f64>().ok(),
            Value::Number(_) => value.as_f64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Self {
            access_token: Secret::new(wire.access_token),
            refresh_token: wire.refresh_token.map(Secret::new),
            lifetime: lifetime.unwrap_or(DEFAULT_LIFETIME),
        })
    }
}

/// Numbers of AADSTS codes that say "try again later", whatever `error` says
/// (`docs/graph-behaviour.md`, Tokens and clouds).
const TEMPORARY_CODES: [u64; 6] = [90_006, 90_012, 90_024, 90_033, 90_055, 90_090];
/// Errors of OAuth 2.0 that pass by themselves (RFC 6749 §4.1.2.1).
const TEMPORARY_ERRORS: [&str; 2] = ["temporarily_unavailable", "server_error"];

/// The parts of an error response that Microsoft's support asks for.
#[derive(Default)]
pub struct Refusal {
    pub error: Option<String>,
    /// The numbers of the AADSTS codes.
    pub error_codes: Vec<u64>,
    pub trace_id: Option<String>,
}

impl Refusal {
    /// Parses an error response; whatever is no word, number or id in it is left out.
    pub fn parse(body: &[u8]) -> Self {
        let Ok(value) = answer_body::parse::<Value>(body) else {
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

    /// Decides by the status and by `error`. The numbers only soften: clients must not rely on them.
    pub fn is_temporary(&self, status: StatusCode) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        let codes = &self.error_codes;
        status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status.is_server_error()
            || TEMPORARY_ERRORS.contains(&error)
            || (!codes.is_empty() && codes.iter().all(|code| TEMPORARY_CODES.contains(code)))
    }

    /// Says what the endpoint answered, for the history.
    pub fn describe(&self, status: StatusCode, media_type: Option<String>) -> String {
        let mut text = format!("the token endpoint answered {}", status.as_u16());
        match (&self.error, media_type) {
            (Some(error), _) => text.push_str(&format!(" {error}")),
            // No answer of Entra's: a proxy's page, for example.
            (None, Some(media_type)) => text.push_str(&format!(" ({media_type})")),
            (None, None) => {}
        }
        let codes = self.error_codes.iter().map(|code| format!("AADSTS{code}"));
        let trace = self.trace_id.iter().map(|id| format!("trace {id}"));
        let parts: Vec<String> = codes.chain(trace).collect();
        if !parts.is_empty() {
            text.push_str(&format!(" ({})", parts.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn read(body: &str) -> Result<Grant, Unusable> {
        Grant::read(&Answered {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Ok(body.as_bytes().to_vec()),
        })
    }

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
                let grant = read(&body).unwrap();
                assert_eq!(grant.lifetime, Duration::from_secs(seconds), "{body}");
            }
        }
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"access_token":"a\nb"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
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

    #[test]
    fn refusal_that_passes_by_itself_is_told_by_status_and_error_and_softened_by_numbers_only() {
        let temporary = |status, error: &str, codes: &[u64]| {
            let refusal = Refusal {
                error: Some(error.to_owned()),
                error_codes: codes.to_vec(),
                trace_id: None,
            };
            refusal.is_temporary(StatusCode::from_u16(status).unwrap())
        };
        for (status, error, codes) in [
            (429, "invalid_client", &[7_000_215_u64][..]),
            (408, "invalid_request", &[]),
            (503, "invalid_client", &[7_000_215]),
            (400, "temporarily_unavailable", &[]),
            (400, "server_error", &[]),
            (400, "invalid_grant", &[90_033]),
            (400, "invalid_request", &[90_012, 90_024]),
        ] {
            assert!(
                temporary(status, error, codes),
                "{status} {error} {codes:?}"
            );
        }
        for (status, error, codes) in [
            (401, "invalid_client", &[7_000_215_u64][..]),
            (400, "invalid_grant", &[]),
            (400, "invalid_grant", &[90_033, 7_000_222]),
            (400, "unauthorized_client", &[700_016]),
        ] {
            assert!(
                !temporary(status, error, codes),
                "{status} {error} {codes:?}"
            );
        }
    }

    #[test]
    fn refusal_is_described_by_status_error_numbers_and_trace() {
        let refusal = Refusal::parse(
            br#"{"error":"invalid_client","error_description":"secret","error_codes":[7000215],"trace_id":"5a6c"}"#,
        );
        assert_eq!(
            refusal.describe(StatusCode::UNAUTHORIZED, None),
            "the token endpoint answered 401 invalid_client (AADSTS7000215, trace 5a6c)"
        );
        let html =
            Refusal::parse(b"<html>").describe(StatusCode::FORBIDDEN, Some("text/html".to_owned()));
        assert_eq!(html, "the token endpoint answered 403 (text/html)");
    }
}
