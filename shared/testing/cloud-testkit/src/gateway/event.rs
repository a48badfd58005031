//! Makes the events of each front door from a request.
//!
//! Sources: "Lambda proxy integrations" for HTTP and REST APIs, API Gateway's Developer Guide; "Lambda functions as targets",
//! Elastic Load Balancing's guide to application load balancers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Gateway, Kind};
use crate::{ACCOUNT, REGION};

/// A request of a caller; `target` is the path with its query.
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) target: &'r str,
    pub(super) headers: &'r [(&'r str, &'r str)],
    pub(super) body: &'r [u8],
}

impl Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter();
        let found = found.find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// The body as it goes into an event: as text if `may_be_text` and it is some, else in base64.
    fn body(&self, may_be_text: bool) -> (Option<String>, bool) {
        let text = may_be_text && is_text(self.header("content-type"));
        let text = text.then(|| std::str::from_utf8(self.body).ok()).flatten();
        match text {
            _ if self.body.is_empty() => (None, false),
            Some(text) => (Some(text.to_owned()), false),
            None => (Some(STANDARD.encode(self.body)), true),
        }
    }
}

impl Gateway {
    pub(super) fn event(&self, request: &Request<'_>, trace: &str) -> Value {
        match self.kind {
            Kind::HttpApi | Kind::FunctionUrl => self.payload_2(request, trace),
            Kind::RestApi => self.payload_1(request, trace),
            Kind::LoadBalancer { lists } => self.target_event(request, trace, lists),
        }
    }

    fn payload_2(&self, request: &Request<'_>, trace: &str) -> Value {
        let (path, query) = split(request.target);
        // An HTTP API decodes the path, and cuts it at a question mark found that way; a function URL does neither.
        let is_api = self.kind == Kind::HttpApi;
        let path = if is_api {
            cut(&decode(path))
        } else {
            path.to_owned()
        };
        let path = format!("{}{path}", self.front);
        let (headers, cookies) = self.request_headers(request, trace);
        let (body, is_encoded) = request.body(true);
        let now = self.function.now();
        let account = if is_api { ACCOUNT } else { "anonymous" };
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
                    "method": request.method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "203.0.113.1",
                    "userAgent": headers.get("user-agent").cloned().unwrap_or_default(),
                },
                "requestId": Uuid::new_v4().to_string(),
                "routeKey": "$default",
                "stage": self.stage,
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": now.as_millisecond(),
            },
            "isBase64Encoded": is_encoded,
        });
        if !query.is_empty() {
            event["queryStringParameters"] = parameters(query);
        }
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        if let Some(body) = body {
            event["body"] = body.into();
        }
        event
    }

    /// The event of a REST API: names of headers as they were sent, parameters decoded.
    fn payload_1(&self, request: &Request<'_>, trace: &str) -> Value {
        let (path, query) = split(request.target);
        let path = format!("{}{path}", self.front);
        let mut headers = Lists::default();
        for (name, value) in request.headers {
            headers.add(name, value);
        }
        for (name, value) in self.added_headers(request, trace) {
            headers.add(name, &value);
        }
        let mut parameters = Lists::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parameters.add(&name, &value);
        }
        // Its binary media types are `*/*`.
        let (body, is_encoded) = request.body(false);
        let now = self.function.now();
        // A mapping to a stage takes its place in the path.
        let stage = if self.front.is_empty() {
            format!("/{}", self.stage)
        } else {
            String::new()
        };
        json!({
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": request.method,
            "headers": headers.last(),
            "multiValueHeaders": headers.all(),
            "queryStringParameters": Some(parameters.last()).filter(|all| !all.is_empty()),
            "multiValueQueryStringParameters": Some(parameters.all()).filter(|all| !all.is_empty()),
            "pathParameters": { "proxy": path.trim_start_matches('/') },
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": self.id,
                "domainName": self.domain(),
                "domainPrefix": self.id,
                "httpMethod": request.method,
                "identity": { "sourceIp": "203.0.113.1", "userAgent": request.header("user-agent") },
                "path": format!("{stage}{path}"),
                "protocol": "HTTP/1.1",
                "requestId": Uuid::new_v4().to_string(),
                "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "requestTimeEpoch": now.as_millisecond(),
                "resourcePath": "/{proxy+}",
                "stage": self.stage,
            },
            "body": body,
            "isBase64Encoded": is_encoded,
        })
    }

    /// The event of a load balancer: names of headers in lower case, parameters as they were sent.
    fn target_event(&self, request: &Request<'_>, trace: &str, lists: bool) -> Value {
        let (path, query) = split(request.target);
        let (mut headers, mut parameters) = (Lists::default(), Lists::default());
        for (name, value) in request.headers {
            headers.add(&name.to_ascii_lowercase(), value);
        }
        // Any name gets by here that its listener has no rule against.
        let host = request.header("host");
        let added = self.added_headers(request, trace).into_iter();
        for (name, value) in added.filter(|(name, _)| host.is_none() || *name != "host") {
            headers.add(name, &value);
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.add(name, value);
        }
        let (body, is_encoded) = request.body(true);
        let group = format!(
            "arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/courier/{}",
            self.id
        );
        let mut event = json!({
            "requestContext": { "elb": { "targetGroupArn": group } },
            "httpMethod": request.method,
            "path": format!("{}{path}", self.front),
            "body": body.unwrap_or_default(),
            "isBase64Encoded": is_encoded,
        });
        if lists {
            event["multiValueHeaders"] = headers.all().into();
            event["multiValueQueryStringParameters"] = parameters.all().into();
        } else {
            event["headers"] = headers.last().into();
            event["queryStringParameters"] = parameters.last().into();
        }
        event
    }

    /// Lower-cased and joined, with what the front end adds; and the cookies, which go elsewhere.
    fn request_headers(
        &self,
        request: &Request<'_>,
        trace: &str,
    ) -> (Map<String, Value>, Vec<String>) {
        let (mut all, mut cookies): (Map<String, Value>, _) = (Map::new(), Vec::new());
        for (name, value) in request.headers {
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
        for (name, value) in self.added_headers(request, trace) {
            all.insert(name.to_owned(), value.into());
        }
        (all, cookies)
    }

    /// The front end's facts about the connection.
    fn added_headers(&self, request: &Request<'_>, trace: &str) -> [(&'static str, String); 6] {
        let root = trace.split(';').next().unwrap_or_default();
        [
            ("host", self.domain()),
            ("content-length", request.body.len().to_string()),
            ("x-amzn-trace-id", root.to_owned()),
            ("x-forwarded-for", "203.0.113.1".to_owned()),
            ("x-forwarded-port", "443".to_owned()),
            ("x-forwarded-proto", "https".to_owned()),
        ]
    }
}

/// Values by name, several of each.
#[derive(Default)]
struct Lists(BTreeMap<String, Vec<String>>);

impl Lists {
    fn add(&mut self, name: &str, value: &str) {
        let values = self.0.entry(name.to_owned()).or_default();
        values.push(value.to_owned());
    }

    fn all(&self) -> Map<String, Value> {
        let all = self.0.iter();
        all.map(|(name, values)| (name.clone(), json!(values)))
            .collect()
    }

    fn last(&self) -> Map<String, Value> {
        let all = self.0.iter();
        all.map(|(name, values)| (name.clone(), json!(values.last())))
            .collect()
    }
}

fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// True if a body of this type goes into the event as it is.
fn is_text(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else {
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
