//! Reads a function's answer as each front door does.
//!
//! Sources: "Lambda proxy integrations" for HTTP and REST APIs, API Gateway's Developer Guide; "Lambda functions as targets",
//! Elastic Load Balancing's guide to application load balancers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Gateway, Kind};

impl Gateway {
    /// The function's answer as HTTP. Without a `statusCode` payload format 2.0 takes it for the body of a 200.
    pub(super) fn answer(&self, answer: &Value) -> Answer {
        let lenient = matches!(self.kind, Kind::HttpApi | Kind::FunctionUrl);
        let Some(status) = answer.get("statusCode") else {
            if !lenient {
                return self.broken();
            }
            let text = answer.as_str().map(ToOwned::to_owned);
            return self.bare(text.unwrap_or_else(|| answer.to_string()));
        };
        self.formatted(status, answer)
            .unwrap_or_else(|| self.broken())
    }

    /// `None` when the answer breaks the format.
    fn formatted(&self, status: &Value, answer: &Value) -> Option<Answer> {
        let digits = status.as_str().and_then(|text| text.parse().ok());
        let status = status.as_u64().or(digits)?;
        let status = u16::try_from(status)
            .ok()
            .filter(|status| (100..=599).contains(status))?;
        let mut headers = self.answered_headers(answer)?;
        let body = optional(answer, "body", Value::as_str)?.unwrap_or_default();
        let body = match optional(answer, "isBase64Encoded", Value::as_bool)? {
            Some(true) => Bytes::from(STANDARD.decode(body).ok()?),
            Some(false) | None => Bytes::copy_from_slice(body.as_bytes()),
        };
        if !headers.iter().any(|(name, _)| name == "content-type") {
            let default = match self.kind {
                Kind::HttpApi => "text/plain;charset=UTF-8",
                Kind::FunctionUrl | Kind::RestApi => "application/json",
                Kind::LoadBalancer { .. } => "application/octet-stream",
            };
            headers.push(("content-type".to_owned(), default.to_owned()));
        }
        headers.push(("content-length".to_owned(), body.len().to_string()));
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    /// A REST API takes both fields, a load balancer one of them: that which it fills in its events.
    fn answered_headers(&self, answer: &Value) -> Option<Vec<(String, String)>> {
        let mut headers = Vec::new();
        let [single, lists] = match self.kind {
            Kind::HttpApi | Kind::FunctionUrl => [true, false],
            Kind::RestApi => [true, true],
            Kind::LoadBalancer { lists } => [!lists, lists],
        };
        let named = |field| optional(answer, field, Value::as_object);
        let single = named("headers")?.filter(|_| single);
        for (name, value) in single.into_iter().flatten() {
            headers.push((name.to_ascii_lowercase(), plain(value)?));
        }
        let lists = named("multiValueHeaders")?.filter(|_| lists);
        for (name, values) in lists.into_iter().flatten() {
            for value in values.as_array()? {
                headers.push((name.to_ascii_lowercase(), plain(value)?));
            }
        }
        let cookies = optional(answer, "cookies", Value::as_array)?;
        for cookie in cookies.into_iter().flatten() {
            headers.push(("set-cookie".to_owned(), cookie.as_str()?.to_owned()));
        }
        Some(headers)
    }

    pub(super) fn bare(&self, text: String) -> Answer {
        Answer::new(200, "application/json", text)
    }

    pub(super) fn broken(&self) -> Answer {
        match self.kind {
            Kind::HttpApi => self.failure(500, "Internal Server Error"),
            Kind::FunctionUrl => self.failure(502, "Internal Server Error"),
            Kind::RestApi => self.failure(502, "Internal server error"),
            Kind::LoadBalancer { .. } => self.failure(502, "Bad Gateway"),
        }
    }

    pub(super) fn failure(&self, status: u16, message: &str) -> Answer {
        let body = match self.kind {
            Kind::HttpApi | Kind::RestApi => json!({ "message": message }),
            Kind::FunctionUrl => json!({ "Message": message }),
            Kind::LoadBalancer { .. } => {
                let page = format!("<html><body><h1>{status} {message}</h1></body></html>");
                return Answer::new(status, "text/html", page);
            }
        };
        Answer::new(status, "application/json", body.to_string())
    }
}

/// `Some(None)` when the field is missing or null, `None` when it is of another type.
fn optional<'a, T>(
    answer: &'a Value,
    name: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Option<Option<T>> {
    match answer.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// A header's value; numbers and booleans are written out.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
