//! Turns each refusal into an HTTP response: `application/problem+json` (RFC 9457) with a stable `type`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::catalogue::schema::Violation;
use crate::strict_json::JsonError;

mod denied;
mod kinds;
mod media_types;

pub use kinds::{KINDS, Kind};
pub use media_types::MediaTypes;

/// The reason why a request was not carried out. No variant contains a value of the request.
#[derive(Debug)]
pub enum Problem {
    BadJson(JsonError),
    InvalidRequest(Vec<Violation>),
    InvalidHeader {
        name: &'static str,
        rule: &'static str,
    },
    /// Attributes of a CloudEvent that break a rule.
    InvalidEvent(Vec<BrokenAttribute>),
    InvalidQuery {
        parameter: String,
        rule: &'static str,
    },
    Unauthenticated,
    /// The credential breaks a rule that the caller may be told.
    CredentialRefused {
        rule: &'static str,
    },
    /// The token is valid, but does not grant the right that the client's rule requires (RFC 6750, section 3.1).
    InsufficientScope {
        rule: &'static str,
    },
    OperationForbidden,
    CallbackForbidden {
        pointer: String,
        rule: String,
    },
    /// The event comes from a source that the client does not list.
    SourceForbidden,
    NotFound,
    MethodNotAllowed {
        allow: String,
    },
    /// The operator may only read.
    ReadOnly,
    PayloadTooLarge,
    /// The body did not arrive in time.
    SlowBody,
    /// The body is shorter than its declared length, or is not framed as HTTP requires.
    BrokenBody,
    /// A header's name or value contains a character that HTTP forbids there (RFC 9110, section 5).
    BrokenHeader,
    UnsupportedMediaType {
        types: MediaTypes,
        /// The body is a batch of events.
        is_batch: bool,
    },
    /// The body is compressed or otherwise coded.
    UnsupportedContentEncoding {
        types: MediaTypes,
    },
    KeyReused,
    RateLimited {
        retry_after: Duration,
    },
    /// The client has as many open operations as it may have.
    TooManyOpenOperations {
        limit: u32,
    },
    /// The state of the operation does not allow the request.
    Conflict {
        rule: &'static str,
    },
    /// Graph refused the start; the operation's document contains the details.
    StartRejected {
        operation: Value,
    },
    /// No key is configured that could sign evidence.
    NoEvidenceKey,
    /// The stored history does not match its hash chain, so nothing is signed.
    HistoryAltered,
    Unavailable,
    /// The stored operation is damaged, or a newer version wrote it.
    UnreadableRecord,
    Internal,
}

/// An attribute of a CloudEvent, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenAttribute {
    pub attribute: &'static str,
    pub rule: &'static str,
}

impl Problem {
    /// Returns the last part of the problem's type.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BadJson(_) => "bad-json",
            Self::InvalidRequest(_) => "invalid-request",
            Self::InvalidHeader { .. } => "invalid-header",
            Self::InvalidEvent(_) => "invalid-event",
            Self::InvalidQuery { .. } => "invalid-query",
            Self::Unauthenticated | Self::CredentialRefused { .. } => "unauthenticated",
            Self::InsufficientScope { .. } => "insufficient-scope",
            Self::ReadOnly => "read-only",
            Self::OperationForbidden => "operation-forbidden",
            Self::CallbackForbidden { .. } => "callback-forbidden",
            Self::SourceForbidden => "source-forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::PayloadTooLarge => "payload-too-large",
            Self::SlowBody => "slow-body",
            Self::BrokenBody => "broken-body",
            Self::BrokenHeader => "broken-header",
            Self::UnsupportedMediaType { .. } => "unsupported-media-type",
            Self::UnsupportedContentEncoding { .. } => "unsupported-content-encoding",
            Self::KeyReused => "idempotency-key-reused",
            Self::RateLimited { .. } => "rate-limited",
            Self::TooManyOpenOperations { .. } => "too-many-open-operations",
            Self::Conflict { .. } => "conflict",
            Self::StartRejected { .. } => "start-rejected",
            Self::NoEvidenceKey => "no-evidence-key",
            Self::HistoryAltered => "history-altered",
            Self::Unavailable => "unavailable",
            Self::UnreadableRecord => "unreadable-record",
            Self::Internal => "internal",
        }
    }

    /// Returns the row of [`KINDS`].
    fn kind(&self) -> &'static Kind {
        let name = self.as_str();
        let known = KINDS.iter().find(|kind| kind.name == name);
        known.unwrap_or(&KINDS[KINDS.len() - 1])
    }

    /// Returns what is wrong and where, if the problem says it.
    fn errors(&self) -> Option<Value> {
        let one =
            |place: &str, name: &str, rule: &str| Some(json!([{ place: name, "rule": rule }]));
        match self {
            Self::BadJson(JsonError { pointer, rule })
            | Self::CallbackForbidden { pointer, rule } => one("pointer", pointer, rule),
            Self::InvalidHeader { name, rule } => one("header", name, rule),
            Self::InvalidQuery { parameter, rule } => one("parameter", parameter, rule),
            Self::OperationForbidden => {
                let rule = "is not one of this client's operations";
                one("pointer", "/operation", rule)
            }
            Self::SourceForbidden => {
                let rule = "is not one of this client's event_sources";
                one("attribute", "source", rule)
            }
            Self::InvalidRequest(violations) => {
                let errors = violations.iter();
                let errors = errors
                    .map(|Violation { pointer, rule }| json!({ "pointer": pointer, "rule": rule }));
                Some(errors.collect())
            }
            Self::InvalidEvent(broken) => {
                let errors = broken.iter();
                let errors = errors.map(|BrokenAttribute { attribute, rule }| json!({ "attribute": attribute, "rule": rule }));
                Some(errors.collect())
            }
            Self::NoEvidenceKey
            | Self::HistoryAltered
            | Self::Unauthenticated
            | Self::CredentialRefused { .. }
            | Self::InsufficientScope { .. }
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::ReadOnly
            | Self::PayloadTooLarge
            | Self::SlowBody
            | Self::BrokenBody
            | Self::BrokenHeader
            | Self::UnsupportedMediaType { .. }
            | Self::UnsupportedContentEncoding { .. }
            | Self::KeyReused
            | Self::RateLimited { .. }
            | Self::TooManyOpenOperations { .. }
            | Self::Conflict { .. }
            | Self::StartRejected { .. }
            | Self::Unavailable
            | Self::UnreadableRecord
            | Self::Internal => None,
        }
    }

    /// Returns the problem document with its headers.
    pub fn into_response(self) -> Response<Bytes> {
        let kind = self.kind();
        let mut body = json!({
            "type": kind.uri(),
            "title": kind.title,
            "status": kind.status.as_u16(),
        });
        let mut headers = Vec::new();
        if let Some(errors) = self.errors() {
            body["errors"] = errors;
        }
        match self {
            // The challenges of a 401 depend on the configuration; the API adds them.
            Self::CredentialRefused { rule } => body["detail"] = rule.into(),
            Self::InsufficientScope { rule } => {
                body["detail"] = rule.into();
                let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
                headers.push((header::WWW_AUTHENTICATE, challenge));
            }
            Self::UnsupportedMediaType { types, is_batch } => {
                headers.push(types.header());
                if is_batch {
                    body["detail"] =
                        "a batch of events is not accepted: send each event alone".into();
                }
            }
            Self::UnsupportedContentEncoding { types } => {
                headers.push(types.header());
                let identity = HeaderValue::from_static("identity");
                headers.push((header::ACCEPT_ENCODING, identity));
            }
            Self::MethodNotAllowed { allow } => {
                let allow = HeaderValue::try_from(allow);
                headers.extend(allow.ok().map(|allow| (header::ALLOW, allow)));
            }
            Self::RateLimited { retry_after } => {
                headers.push((header::RETRY_AFTER, seconds(retry_after)));
            }
            Self::TooManyOpenOperations { limit } => {
                body["detail"] = format!("the limit is {limit}; an operation counts until it has ended and its callback is delivered or given up").into();
                headers.push((header::RETRY_AFTER, seconds(Duration::from_secs(60))));
            }
            Self::Unavailable => {
                headers.push((header::RETRY_AFTER, seconds(Duration::from_secs(5))));
            }
            Self::Conflict { rule } => body["detail"] = rule.into(),
            Self::NoEvidenceKey => {
                body["detail"] = "its configuration has no [evidence] with a key".into();
            }
            Self::HistoryAltered => {
                body["detail"] =
                    "somebody or something other than graph-courier has changed it: nothing is signed"
                        .into();
            }
            Self::StartRejected { operation } => start_rejected(&mut body, operation),
            Self::BadJson(_)
            | Self::InvalidRequest(_)
            | Self::InvalidHeader { .. }
            | Self::InvalidEvent(_)
            | Self::InvalidQuery { .. }
            | Self::OperationForbidden
            | Self::CallbackForbidden { .. }
            | Self::SourceForbidden
            | Self::Unauthenticated
            | Self::NotFound
            | Self::ReadOnly
            | Self::PayloadTooLarge
            | Self::SlowBody
            | Self::BrokenBody
            | Self::BrokenHeader
            | Self::KeyReused
            | Self::UnreadableRecord
            | Self::Internal => {}
        }
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = kind.status;
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
            .headers_mut()
            .extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

/// Adds Graph's own code, message, status and request id, and the operation's document.
fn start_rejected(body: &mut Value, operation: Value) {
    let error = &operation["error"];
    body["detail"] = error["message"].clone();
    body["graph"] = json!({
        "code": error["code"],
        "message": error["message"],
        "status": error["httpStatus"],
        "requestId": error["requestId"],
    });
    body["operation"] = operation;
}

/// Returns a pause as a header value in whole seconds, rounded up.
pub fn seconds(pause: Duration) -> HeaderValue {
    HeaderValue::from(pause.as_secs() + u64::from(pause.subsec_nanos() > 0))
}
