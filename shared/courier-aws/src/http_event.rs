//! One HTTP request as API Gateway's HTTP API and function URLs hand it over, and the answer: payload format 2.0.
//!
//! Not `lambda_http`, which panics at a query that is no URI and takes no header outside ASCII: a 5xx that any caller can
//! cause (ADR 0021). Source: "Working with AWS Lambda proxy integrations for HTTP APIs", API Gateway's Developer Guide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use courier_core::http::problem::Problem;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use serde::{Deserialize, Serialize};

/// What a caller sent, as far as it is used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpEvent {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: RequestContext,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct RequestContext {
    http: RequestLine,
}

#[derive(Deserialize)]
struct RequestLine {
    method: String,
}

/// What the caller is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAnswer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

impl HttpEvent {
    /// The request with the body that the sender wrote and perhaps signed. What is not HTTP is a `Problem` of the 4xx.
    pub fn into_request(self) -> Result<Request<Bytes>, Problem> {
        let method = Method::from_bytes(self.request_context.http.method.as_bytes());
        let method = method.map_err(|_| Problem::MethodNotAllowed {
            allow: "GET, PATCH, POST",
        })?;
        let mut target = encoded(&self.raw_path);
        if !self.raw_query_string.is_empty() {
            let _ = write!(target, "?{}", encoded(&self.raw_query_string));
        }
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        // A target that is no URI now is no path of ours.
        *request.uri_mut() = target.parse().map_err(|_| Problem::NotFound)?;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Problem::BrokenHeader);
            };
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = match self.body {
            None => Bytes::new(),
            Some(text) if self.is_base64_encoded => {
                let body = STANDARD.decode(text).map_err(|_| Problem::BrokenBody)?;
                body.into()
            }
            Some(text) => text.into(),
        };
        Ok(request)
    }
}

impl From<Response<Bytes>> for HttpAnswer {
    fn from(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = parts.headers.iter();
        Self {
            status_code: parts.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            // All our answers are JSON.
            body: text(&body),
            is_base64_encoded: false,
        }
    }
}

/// A path or query with `%` in front of what no URI may have: an HTTP API decodes the path, and neither door encodes the query.
fn encoded(raw: &str) -> String {
    let mut encoded = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        if byte.is_ascii_graphic() && !br##"#"<>\^`{|}"##.contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
