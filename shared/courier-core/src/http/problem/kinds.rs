//! The types of problems: one table, from which answers, the OpenAPI document and the reference page come.

use http::StatusCode;

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
pub static KINDS: [Kind; 29] = [
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
        "invalid-event",
        "The event breaks a rule",
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
    kind(
        StatusCode::FORBIDDEN,
        "source-forbidden",
        "This client does not take events from there",
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
