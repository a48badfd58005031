//! One server: where it is, with which key it is asked, and how long and how often.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use courier_core::error_chain::chain;
use courier_core::outbound::{certificates, retry_after};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::client::arguments::Target;
use crate::client::refusal::{Failure, Refusal};
use crate::client::server_clock::ServerClock;
use crate::client::target;
use crate::terminal::span;
use crate::{output, settings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time that one request waits because the server has asked for it, all pauses together.
const POLITE_WAIT: Duration = Duration::from_secs(60);
/// The pause after a 503 that names none.
const DEFAULT_PAUSE: Duration = Duration::from_secs(2);
/// Number of times that one request is sent at most.
const TRIES: u32 = 6;
/// Most bytes that are read of an answer: a page of 200 operations has about a megabyte.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A server and the key for it.
#[derive(Clone)]
pub(crate) struct Connection {
    base: Url,
    key: HeaderValue,
    http: reqwest::Client,
    timeout: Duration,
    pub(crate) clock: Arc<ServerClock>,
    /// Where waits and repeats are told.
    tell: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A request below `/v1`.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    body: Option<Value>,
    /// Time that the answer may take because it was asked to.
    held: Duration,
}

/// An answer that refuses nothing.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            held: Duration::ZERO,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Adds a query parameter, if there is a value.
    pub(crate) fn query(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.query
            .extend(value.map(|value| (name, value.to_owned())));
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks the server to hold the answer until the operation has ended, but no longer than this.
    pub(crate) fn wait(mut self, seconds: u64) -> Self {
        self.held = Duration::from_secs(seconds);
        self.header(
            HeaderName::from_static("prefer"),
            &format!("wait={seconds}"),
        )
    }
}

impl Answer {
    /// Returns the body as JSON; an answer that is none comes from another server.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        let read = serde_json::from_slice::<Value>(&self.body);
        match read {
            Ok(document) if document.is_object() => Ok(document),
            Ok(_) | Err(_) => Err(Failure::NotCourier(format!(
                "it answered {} without a document",
                self.status.as_u16()
            ))),
        }
    }

    /// Returns the body as an operation.
    pub(crate) fn operation(&self) -> Result<Value, Failure> {
        let document = self.json()?;
        if document["id"].is_string() && document["status"].is_string() {
            Ok(document)
        } else {
            let text = "its answer is no operation".to_owned();
            Err(Failure::NotCourier(text))
        }
    }

    /// Returns the text of a header, if it is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Connection {
    /// Reads where the server is and what the key is. Nothing is asked yet.
    pub(crate) fn open(target: &Target) -> anyhow::Result<Self> {
        let base = target::base(target)?;
        let key = target::key(target)?;
        let tls = certificates::named(&settings::variable)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("courier/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT.min(target.timeout));
        if let Some(roots) = tls {
            builder = builder.tls_backend_preconfigured(certificates::trusting(roots)?);
        }
        if target::is_here(&base) {
            builder = builder.no_proxy();
        } else if base.scheme() == "http" {
            output::tell(
                "warning: the key is sent without TLS, and whoever is on the way can read it",
            );
        }
        let http = builder.build().context("no HTTP client can be made")?;
        Ok(Self {
            base,
            key,
            http,
            timeout: target.timeout,
            clock: Arc::new(ServerClock::new(settings::clock())),
            tell: Arc::new(output::tell),
        })
    }

    /// Returns the same connection, which tells of its waits here.
    pub(crate) fn telling(&self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let mut other = self.clone();
        other.tell = Arc::new(tell);
        other
    }

    /// Sends a request, again where the server has asked for a pause, and returns an answer that refuses nothing.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        let mut waited = Duration::ZERO;
        let mut tries = 1;
        loop {
            let answer = self.once(call).await?;
            let status = answer.status;
            if status.is_success() || status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            let failure = self.failure(&answer);
            let Some(pause) = pause(&answer, self.clock.now()) else {
                return Err(failure);
            };
            if !failure.is_passing() || tries >= TRIES || waited + pause > POLITE_WAIT {
                return Err(failure);
            }
            (self.tell)(&format!(
                "the server asks for a pause ({}); trying again in {}",
                failure.name(),
                span(pause)
            ));
            tokio::time::sleep(pause).await;
            waited += pause;
            tries += 1;
        }
    }

    async fn once(&self, call: &Call) -> Result<Answer, Failure> {
        let url = self.url(call);
        let limit = self.timeout + call.held;
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .header("x-api-key", self.key.clone())
            .timeout(limit);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &call.body {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let unanswered = |error: reqwest::Error| {
            let text = self.explain(&error, limit);
            match error.is_connect() {
                true => Failure::NotSent(text),
                false => Failure::NoAnswer(text),
            }
        };
        let mut response = request.send().await.map_err(unanswered)?;
        let (status, headers) = (response.status(), response.headers().clone());
        self.clock.read(&headers);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES {
                let text = "its answer has more than 32 MiB".to_owned();
                return Err(Failure::NotCourier(text));
            }
        }
        Ok(Answer {
            status,
            headers,
            body: body.into(),
        })
    }

    fn url(&self, call: &Call) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), call.path);
        url.set_path(&path);
        if !call.query.is_empty() {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(&call.query);
            url.set_query(Some(&query.finish()));
        }
        url
    }

    /// Reads a refusal; an error without a problem document comes from something else than graph-courier.
    fn failure(&self, answer: &Answer) -> Failure {
        if let Some(refusal) = Refusal::read(answer, self.clock.now()) {
            return Failure::Refused(Box::new(refusal));
        }
        let status = answer.status.as_u16();
        let kind = answer.header("content-type").unwrap_or("no content type");
        if matches!(status, 429 | 502 | 503 | 504) {
            return Failure::NoAnswer(format!(
                "{} answers {status} ({kind}): a gateway or a proxy, with nothing behind it that answers now",
                self.server()
            ));
        }
        if answer.status.is_redirection() {
            let place = answer.header("location").unwrap_or("nowhere");
            return Failure::NotCourier(format!(
                "it redirects ({status}) to {place}, and the key is sent only where you say"
            ));
        }
        Failure::NotCourier(format!("it answered {status} ({kind})"))
    }

    /// Returns why there is no answer, for people.
    fn explain(&self, error: &reqwest::Error, limit: Duration) -> String {
        let server = self.server();
        let mut text = String::new();
        if error.is_timeout() && error.is_connect() {
            let _ = write!(text, "{server} did not take the connection in time");
        } else if error.is_timeout() {
            let limit = span(limit);
            let _ = write!(text, "{server} did not answer within {limit}");
        } else if error.is_connect() {
            let _ = write!(text, "no connection to {server}: {}", last(error));
        } else {
            let _ = write!(text, "{server} broke off: {}", last(error));
        }
        text
    }

    /// Returns the origin and path of the server, for messages.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// Returns the innermost causes of an error, without the URL.
pub(crate) fn last(error: &reqwest::Error) -> String {
    let text = std::error::Error::source(error).map_or_else(|| "unknown".to_owned(), chain);
    let text = text.trim_start_matches("client error (Connect): ");
    if text.contains("InvalidContentType") || text.contains("wrong version number") {
        return "it does not speak TLS: is the URL http:// instead of https://?".to_owned();
    }
    if text.contains("UnknownIssuer") {
        return "the issuer of its certificate is not trusted: SSL_CERT_FILE may name another one"
            .to_owned();
    }
    text.to_owned()
}

/// Returns how long to wait before the same request is sent again; `None` if that would change nothing.
fn pause(answer: &Answer, now: jiff::Timestamp) -> Option<Duration> {
    if !matches!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        return None;
    }
    let headers = &answer.headers;
    let asked = retry_after::parse(headers.get("retry-after"), headers.get("date"), now);
    Some(retry_after::at_least_a_second(
        asked.unwrap_or(DEFAULT_PAUSE),
    ))
}
