//! What can go wrong with a request, in sentences that say what to do next.

use std::fmt::{self, Write};
use std::time::Duration;

use courier_core::outbound::retry_after;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::client::connection::Answer;
use crate::terminal::{shown, span};

/// Why a request has no useful answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Box<Refusal>),
    /// There was no connection, so the request was certainly not taken; the text says why.
    NotSent(String),
    /// No answer came; the text says why.
    NoAnswer(String),
    /// What answered is not graph-courier; the text says what it did.
    NotCourier(String),
}

/// A problem document (RFC 9457).
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The last part of `type`.
    kind: String,
    document: Value,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads a problem document; `None` if the answer is none.
    pub(crate) fn read(answer: &Answer, now: Timestamp) -> Option<Self> {
        let content_type = answer.header("content-type")?;
        if !content_type.starts_with("application/problem+json") {
            return None;
        }
        let document: Value = serde_json::from_slice(&answer.body).ok()?;
        let kind = document["type"].as_str()?.rsplit(':').next()?.to_owned();
        let headers = &answer.headers;
        Some(Self {
            status: answer.status,
            kind,
            retry_after: retry_after::parse(headers.get("retry-after"), headers.get("date"), now),
            document,
        })
    }

    /// Returns status and type, as in `429 rate-limited`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.status.as_u16(), shown(&self.kind))
    }

    /// Returns the operation that the refusal is about, if Graph refused its start.
    pub(crate) fn operation(&self) -> Option<&Value> {
        let operation = &self.document["operation"];
        operation["id"].is_string().then_some(operation)
    }

    /// Returns how long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns each broken rule with its place.
    fn rules(&self) -> Vec<String> {
        let errors = self.document["errors"].as_array();
        let errors = errors.map(Vec::as_slice).unwrap_or_default();
        let rule = |error: &Value| {
            let rule = shown(error["rule"].as_str().unwrap_or("is refused"));
            let text = |name: &str| error[name].as_str().map(shown);
            if let Some(name) = text("parameter") {
                format!("the parameter {name} {rule}")
            } else if let Some(name) = text("header") {
                format!("the header {name} {rule}")
            } else {
                match text("pointer").as_deref() {
                    Some("") | None => format!("the request {rule}"),
                    Some(pointer) => format!("{pointer} {rule}"),
                }
            }
        };
        errors.iter().map(rule).collect()
    }

    /// Returns what the person can do next.
    fn advice(&self) -> Option<String> {
        let after = self.retry_after.map(span);
        let text = match self.kind.as_str() {
            "unauthenticated" => {
                "is COURIER_API_KEY the key of a client or an operator of this server? `courier check` names those of a configuration"
            }
            "insufficient-scope" | "operation-forbidden" | "callback-forbidden" => {
                "whoever runs the server can permit it in the client's configuration"
            }
            "read-only" => "this operator may only look; whoever runs the server can permit more",
            "not-found" => {
                "look at the id. Operations of other clients are not shown, nor what is past its retention"
            }
            "idempotency-key-reused" => {
                "send what was sent before with this key or reference, or take another one"
            }
            "unreadable-record" | "internal" => {
                "whoever runs the server finds more in its log, under the request id"
            }
            "rate-limited" | "too-many-open-operations" | "unavailable" => {
                return Some(after.map_or_else(
                    || "try again later".to_owned(),
                    |after| format!("try again in {after}"),
                ));
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.document["title"].as_str().unwrap_or("no title");
        let title = shown(title);
        let mut text = format!("{} ({})", title.trim_end_matches('.'), self.name());
        if let Some(detail) = self.document["detail"].as_str() {
            let _ = write!(text, ": {}", shown(detail));
        }
        for rule in self.rules() {
            let _ = write!(text, "\n  {rule}");
        }
        if let Some(advice) = self.advice() {
            let _ = write!(text, "\n  next: {advice}");
        }
        if let Some(id) = self.document["requestId"].as_str() {
            let _ = write!(text, "\n  request id: {}", shown(id));
        }
        formatter.write_str(&text)
    }
}

impl Failure {
    /// Reports whether a moment of time alone may change the answer.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            // Places become free when operations end, which takes longer.
            Self::Refused(refusal) => {
                let status = refusal.status;
                let passing = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                passing && refusal.kind != "too-many-open-operations"
            }
            Self::NotSent(_) | Self::NoAnswer(_) => true,
            Self::NotCourier(_) => false,
        }
    }

    /// Returns the failure in a few words.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::NotSent(text) | Self::NoAnswer(text) | Self::NotCourier(text) => shown(text),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(formatter),
            Self::NotSent(text) | Self::NoAnswer(text) => formatter.write_str(&shown(text)),
            Self::NotCourier(text) => write!(
                formatter,
                "the server does not answer like graph-courier: {}\n  next: COURIER_URL must be what stands before /v1/operations",
                shown(text)
            ),
        }
    }
}

impl std::error::Error for Failure {}
