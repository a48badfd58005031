//! API Gateway's HTTP API, and a function URL, in front of a function: payload format 2.0 there and back.
//!
//! Called as a method instead of by HTTP; what the caller's connection would do is no concern of the function.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

use crate::function::{Function, Outcome, new_trace};
use crate::{ACCOUNT, REGION};

/// The longest that an HTTP API waits.
const INTEGRATION: Duration = Duration::from_secs(30);
const HTTP_API_BYTES: usize = 10 * 1024 * 1024;
const FUNCTION_URL_BYTES: usize = 6 * 1024 * 1024;

/// One of the two ways to call a function by HTTP.
pub struct Gateway {
    function: Function,
    kind: Kind,
    /// The API's id or the URL's.
    id: String,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    HttpApi,
    FunctionUrl,
}

/// What the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }
}

impl Gateway {
    /// An HTTP API with a `$default` route and stage.
    pub fn http_api(function: &Function) -> Self {
        Self::new(function, Kind::HttpApi, INTEGRATION)
    }

    /// A function URL without authentication.
    pub fn function_url(function: &Function) -> Self {
        // It lives as long as the invocation.
        let patience = function.timeout() + INTEGRATION;
        Self::new(function, Kind::FunctionUrl, patience)
    }

    fn new(function: &Function, kind: Kind, patience: Duration) -> Self {
        let id = Uuid::new_v4().simple().to_string()[..10].to_owned();
        Self {
            function: function.clone(),
            kind,
            id,
            patience,
        }
    }

    /// Waits so long for the function, instead of an HTTP API's 30 s.
    #[must_use]
    pub fn with_integration_timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// One HTTP request; `target` is the path with its query.
    pub async fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let most = match self.kind {
            Kind::HttpApi => HTTP_API_BYTES,
            Kind::FunctionUrl => FUNCTION_URL_BYTES,
        };
        if body.len() > most {
            return self.failure(413, "Request Entity Too Large");
        }
        let trace = new_trace(self.function.now());
        let event = self.event(method, target, headers, body, &trace);
        let invocation = self.function.invoke_traced(&event, &trace);
        match timeout(self.patience, invocation).await {
            Ok(Outcome::Answer(answer)) => self.answer(&answer),
            Ok(Outcome::NotJson(text)) => self.bare(text),
            Ok(Outcome::Error { .. } | Outcome::TimedOut | Outcome::Crashed) => self.broken(),
            Err(_) => self.failure(503, "Service Unavailable"),
        }
    }

    fn domain(&self) -> String {
        let id = &self.id;
        match self.kind {
            Kind::HttpApi => format!("{id}.execute-api.{REGION}.amazonaws.com"),
            Kind::FunctionUrl => format!("{id}.lambda-url.{REGION}.on.aws"),
        }
    }

    fn event(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        trace: &str,
    ) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // An HTTP API decodes the path, and cuts it at a question mark found that way; a function URL does neither.
        let path = match self.kind {
            Kind::HttpApi => cut(&decode(path)),
            Kind::FunctionUrl => path.to_owned(),
        };
        let (headers, cookies) = self.request_headers(headers, body.len(), trace);
        let text = is_text(headers.get("content-type"));
        let text = text.then(|| std::str::from_utf8(body).ok()).flatten();
        let now = self.function.now();
        let account = match self.kind {
            Kind::HttpApi => ACCOUNT,
            Kind::FunctionUrl => "anonymous",
        };
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "accountId": account,
                "apiId": self.id,
                "domainName": self.domain(),
                "domainPrefix": self.id,
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "203.0.113.1",
                    "userAgent": headers.get("user-agent").cloned().unwrap_or_default(),
                },
                "requestId": Uuid::new_v4().to_string(),
                "routeKey": "$default",
                "stage": "$default",
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": now.as_millisecond(),
            },
            "isBase64Encoded": !body.is_empty() && text.is_none(),
        });
        if !query.is_empty() {
            event["queryStringParameters"] = parameters(query);
        }
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        if !body.is_empty() {
            event["body"] = text
                .map_or_else(|| STANDARD.encode(body), ToOwned::to_owned)
                .into();
        }
        event
    }

    /// Lower-cased and joined, with what the front end adds; and the cookies, which go elsewhere.
    fn request_headers(
        &self,
        headers: &[(&str, &str)],
        length: usize,
        trace: &str,
    ) -> (Map<String, Value>, Vec<String>) {
        let (domain, length) = (self.domain(), length.to_string());
        let root = trace.split(';').next().unwrap_or_default();
        let added = [
            ("host", domain.as_str()),
            ("content-length", &length),
            ("x-amzn-trace-id", root),
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
        ];
        let (mut all, mut cookies): (Map<String, Value>, _) = (Map::new(), Vec::new());
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            if name == "cookie" {
                cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
                continue;
            }
            let joined = match all.get(&name).and_then(Value::as_str) {
                Some(before) => format!("{before},{value}"),
                None => (*value).to_owned(),
            };
            all.insert(name, joined.into());
        }
        for (name, value) in added {
            all.insert(name.to_owned(), value.into());
        }
        (all, cookies)
    }

    /// The function's answer as HTTP: format 2.0 when it has a `statusCode`, else a 200 with the answer as its body.
    fn answer(&self, answer: &Value) -> Answer {
        let Some(status) = answer.get("statusCode") else {
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
        let mut headers = Vec::new();
        for (name, value) in optional(answer, "headers", Value::as_object)?
            .into_iter()
            .flatten()
        {
            headers.push((name.to_ascii_lowercase(), plain(value)?));
        }
        for cookie in optional(answer, "cookies", Value::as_array)?
            .into_iter()
            .flatten()
        {
            headers.push(("set-cookie".to_owned(), cookie.as_str()?.to_owned()));
        }
        let body = optional(answer, "body", Value::as_str)?.unwrap_or_default();
        let body = match optional(answer, "isBase64Encoded", Value::as_bool)? {
            Some(true) => Bytes::from(STANDARD.decode(body).ok()?),
            Some(false) | None => Bytes::copy_from_slice(body.as_bytes()),
        };
        if !headers.iter().any(|(name, _)| name == "content-type") {
            let default = match self.kind {
                Kind::HttpApi => "text/plain;charset=UTF-8",
                Kind::FunctionUrl => "application/json",
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

    fn bare(&self, text: String) -> Answer {
        Answer::new(200, "application/json", text)
    }

    fn broken(&self) -> Answer {
        match self.kind {
            Kind::HttpApi => self.failure(500, "Internal Server Error"),
            Kind::FunctionUrl => self.failure(502, "Internal Server Error"),
        }
    }

    fn failure(&self, status: u16, message: &str) -> Answer {
        let body = match self.kind {
            Kind::HttpApi => json!({ "message": message }),
            Kind::FunctionUrl => json!({ "Message": message }),
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

/// Whether a body of this type goes into the event as it is.
fn is_text(content_type: Option<&Value>) -> bool {
    let Some(content_type) = content_type.and_then(Value::as_str) else {
        return true;
    };
    let content_type = content_type.to_ascii_lowercase();
    let texts = [
        "text/",
        "application/json",
        "application/javascript",
        "application/xml",
    ];
    texts.iter().any(|text| content_type.starts_with(text))
}

fn parameters(query: &str) -> Value {
    let mut all = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let joined = match all.get(name.as_ref()).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.into_owned(),
        };
        all.insert(name.into_owned(), joined.into());
    }
    Value::Object(all)
}

fn cut(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// Percent-decodes; a stray percent sign stays.
fn decode(path: &str) -> String {
    let (bytes, mut decoded, mut at) = (path.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = path.get(at + 1..at + 3).filter(|digits| {
            *byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
