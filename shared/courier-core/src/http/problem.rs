//! Turns each refusal into an HTTP response: `application/problem+json` (RFC 9457) with a stable `type`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::catalogue::schema::Violation;
use crate::strict_json::JsonError;

mod denied;
mod media_types;

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

/// A type of problem, part of the interface.
#[derive(Debug)]
pub struct Kind {
    pub status: StatusCode,
    /// The last part of the `type`.
    pub name: &'static str,
    pub title: &'static str,
}

impl Kind {
    /// Returns the `type` of the problem document.
    pub fn uri(&self) -> String {
        format!("urn:graph-courier:problem:{}", self.name)
    }
}

const fn kind(status: StatusCode, name: &'static str, title: &'static str) -> Kind {
    Kind {
        status,
        name,
        title,
    }
}

/// Every type of problem; the last one stands for whatever should not happen.
pub static KINDS: [Kind; 27] = [
    kind(
        StatusCode::BAD_REQUEST,
        "bad-json",
        "The body is not acceptable JSON",
    ),
    kind(
        StatusCode::BAD_REQUEST,
        "invalid-request",
        "The request breaks a rule",
    ),
    kind(
        StatusCode::BAD_REQUEST,
        "invalid-header",
        "A header breaks a rule",
    ),
    kind(
        StatusCode::BAD_REQUEST,
        "invalid-query",
        "A query parameter breaks a rule",
    ),
    kind(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "No valid credentials were sent",
    ),
    kind(
        StatusCode::FORBIDDEN,
        "insufficient-scope",
        "The token does not grant enough",
    ),
    kind(
        StatusCode::FORBIDDEN,
        "read-only",
        "This operator may only read",
    ),
    kind(
        StatusCode::FORBIDDEN,
        "operation-forbidden",
        "This client may not ask for this operation",
    ),
    kind(
        StatusCode::FORBIDDEN,
        "callback-forbidden",
        "This client may not send callbacks there",
    ),
    kind(StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
    kind(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This resource has other methods",
    ),
    kind(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload-too-large",
        "The body is over 64 KiB",
    ),
    kind(
        StatusCode::REQUEST_TIMEOUT,
        "slow-body",
        "The body did not arrive in time",
    ),
    kind(StatusCode::BAD_REQUEST, "broken-body", "The body is broken"),
    kind(
        StatusCode::BAD_REQUEST,
        "broken-header",
        "A header is broken",
    ),
    kind(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "The body must be JSON",
    ),
    kind(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-content-encoding",
        "The body must not be compressed",
    ),
    kind(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "The idempotency key was used with another payload",
    ),
    kind(
        StatusCode::TOO_MANY_REQUESTS,
        "rate-limited",
        "Too many requests",
    ),
    kind(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-open-operations",
        "This client has too many open operations",
    ),
    kind(
        StatusCode::CONFLICT,
        "conflict",
        "The operation's state does not allow this",
    ),
    kind(
        StatusCode::NOT_FOUND,
        "no-evidence-key",
        "This deployment signs no evidence",
    ),
    kind(
        StatusCode::CONFLICT,
        "history-altered",
        "The stored history does not match its hash chain",
    ),
    kind(
        StatusCode::UNPROCESSABLE_ENTITY,
        "start-rejected",
        "Microsoft Graph refused to start it",
    ),
    kind(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "Try again later, with the same idempotency key if this was a request to start something",
    ),
    kind(
        StatusCode::INTERNAL_SERVER_ERROR,
        "unreadable-record",
        "The stored operation cannot be read by this version",
    ),
    kind(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "Something went wrong here",
    ),
];

impl Problem {
    /// Returns the last part of the problem's type.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BadJson(_) => "bad-json",
            Self::InvalidRequest(_) => "invalid-request",
            Self::InvalidHeader { .. } => "invalid-header",
            Self::InvalidQuery { .. } => "invalid-query",
            Self::Unauthenticated | Self::CredentialRefused { .. } => "unauthenticated",
            Self::InsufficientScope { .. } => "insufficient-scope",
            Self::ReadOnly => "read-only",
            Self::OperationForbidden => "operation-forbidden",
            Self::CallbackForbidden { .. } => "callback-forbidden",
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

    /// Returns the problem document with its headers.
    pub fn into_response(self) -> Response<Bytes> {
        let kind = self.kind();
        let mut body = json!({
            "type": kind.uri(),
            "title": kind.title,
            "status": kind.status.as_u16(),
        });
        let mut headers = Vec::new();
        match self {
            Self::BadJson(JsonError { pointer, rule }) => {
                body["errors"] = json!([{ "pointer": pointer, "rule": rule }]);
            }
            Self::InvalidRequest(violations) => {
                body["errors"] = violations
                    .into_iter()
                    .map(|Violation { pointer, rule }| json!({ "pointer": pointer, "rule": rule }))
                    .collect();
            }
            Self::InvalidHeader { name, rule } => {
                body["errors"] = json!([{ "header": name, "rule": rule }]);
            }
            Self::InvalidQuery { parameter, rule } => {
                body["errors"] = json!([{ "parameter": parameter, "rule": rule }]);
            }
            Self::CallbackForbidden { pointer, rule } => {
                body["errors"] = json!([{ "pointer": pointer, "rule": rule }]);
            }
            Self::OperationForbidden => {
                let rule = "is not one of this client's operations";
                body["errors"] = json!([{ "pointer": "/operation", "rule": rule }]);
            }
            // The challenges of a 401 depend on the configuration; the API adds them.
            Self::CredentialRefused { rule } => body["detail"] = rule.into(),
            Self::InsufficientScope { rule } => {
                body["detail"] = rule.into();
                let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
                headers.push((header::WWW_AUTHENTICATE, challenge));
            }
            Self::UnsupportedMediaType { types } => headers.push(types.header()),
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
            Self::Unauthenticated
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
