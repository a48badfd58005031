//! One request from its arrival to its answer: the id by which it is found again, its line in the log, and what every
//! answer has. Hosts wrap it around the handler, so that answers of their own have the same.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header, request};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Span;

use crate::operation::Ids;
use crate::operation::trace_context::TraceContext;
use crate::redact::scrub;

const REQUEST_ID: &str = "x-request-id";
/// The longest request id that a caller may choose.
const MAX_ID_BYTES: usize = 128;
/// Characters of a path that are logged; the longest path of the API has fewer.
const MAX_PATH_CHARS: usize = 128;

/// A request that is being answered.
pub struct Exchange {
    id: HeaderValue,
    method: Method,
    path: String,
    /// The id of the trace that the caller says the request belongs to.
    trace_id: Option<String>,
    received: Instant,
}

/// The name of the client that the handler has authenticated, as an extension of its answer.
#[derive(Clone)]
pub(super) struct CallerName(pub(super) String);

/// Marks the answer to a request that a machine repeats all day, as an extension: its line in the log is at `debug`.
#[derive(Clone)]
pub struct Routine;

impl Exchange {
    /// Begins with the arrival of a request's head.
    pub fn begin(head: &request::Parts, ids: &Ids) -> Self {
        let path = scrub(head.uri.path());
        let trace = TraceContext::read(&head.headers);
        Self {
            id: chosen_id(&head.headers).unwrap_or_else(|| {
                let id = ids().simple().to_string();
                HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
            }),
            method: head.method.clone(),
            path: path.chars().take(MAX_PATH_CHARS).collect(),
            trace_id: trace.map(|trace| trace.trace_id().to_owned()),
            received: Instant::now(),
        }
    }

    /// Returns the span for the handler, which gives each of its log lines the request's id and its trace's.
    pub fn span(&self) -> Span {
        tracing::info_span!(
            "request",
            request.id = self.id(),
            trace.id = self.trace_id()
        )
    }

    /// Completes the answer and logs it: one line for each request, with the target `access`.
    ///
    /// The answer gets the request's id, also in a problem document. The answer to `HEAD` keeps only its headers.
    pub fn end(self, mut response: Response<Bytes>) -> Response<Bytes> {
        let client = response.extensions().get::<CallerName>();
        let status = response.status().as_u16();
        let milliseconds = u64::try_from(self.received.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (method, path) = (self.method.as_str(), self.path.as_str());
        let (id, trace) = (self.id(), self.trace_id());
        let client = client.map(|name| name.0.as_str());
        if response.extensions().get::<Routine>().is_some() {
            tracing::debug!(target: "access", method, path, status, milliseconds, request.id = id, "request answered");
        } else {
            tracing::info!(target: "access", method, path, status, milliseconds, client, request.id = id, trace.id = trace, "request answered");
        }
        let content = response.headers().get(header::CONTENT_TYPE);
        if content.is_some_and(|content| content == "application/problem+json")
            && let Ok(Value::Object(mut document)) = serde_json::from_slice(response.body())
        {
            document.insert("requestId".to_owned(), self.id().into());
            *response.body_mut() = Value::Object(document).to_string().into();
        }
        if self.method == Method::HEAD {
            let length = response.body().len();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Bytes::new();
        }
        response.headers_mut().insert(REQUEST_ID, self.id);
        response
    }

    fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }
}

/// Returns the caller's own request id, if it sent exactly one and that one is short and plain.
fn chosen_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(REQUEST_ID).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let bytes = value.as_bytes();
    let is_ours = (1..=MAX_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(is_plain);
    is_ours.then(|| value.clone())
}
