//! The wire between the functions and MiniStack: a reverse proxy that writes every AWS call down and strikes by script.
//!
//! It passes bytes on unchanged, `Host` included, so signatures stay valid and queue URLs come back as its own. It also
//! keeps the lineage of messages, as SQS does: a message sent with `X-Amzn-Trace-Id: …;Lineage=1:<hash>:<n>` is of n + 1.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Clock;
use crate::fault::{contains, strike};
use crate::ministack::http_client;
use crate::server::Server;

pub use crate::fault::{Action, Fault};

/// Listens until its last clone is dropped.
#[derive(Clone)]
pub struct Proxy {
    server: Arc<Server>,
    shared: Arc<Shared>,
}

/// One AWS call as it arrived, and what became of it.
#[derive(Debug, Clone)]
pub struct Call {
    /// From 1, in the order of arrival.
    pub seq: u64,
    pub at: Timestamp,
    /// `SQS`, `DynamoDB`, `SecretsManager`, `SSM`, or what the target says.
    pub service: String,
    pub operation: String,
    /// The status of the answer that was sent; `None` while there is none.
    pub status: Option<u16>,
    /// The `X-Amzn-Trace-Id` header.
    pub trace: Option<String>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub request: Bytes,
    /// The answer of MiniStack, or of the script; empty when nobody was asked.
    pub response: Bytes,
    /// The fault that struck.
    pub fault: Option<String>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    clock: Clock,
    state: Mutex<State>,
}

/// The answer of MiniStack.
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Default)]
struct State {
    journal: Vec<Call>,
    faults: Vec<Fault>,
    /// Message id → lineage hash and number.
    lineage: HashMap<String, (String, u32)>,
}

impl Proxy {
    /// `upstream` is MiniStack's URL.
    pub async fn start(upstream: &str, clock: Clock) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            http: http_client(),
            clock,
            state: Mutex::default(),
        });
        let handler = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let shared = Arc::clone(&handler);
            async move { answer(&shared, request).await }
        });
        Self {
            server: Arc::new(server.await),
            shared,
        }
    }

    /// `http://127.0.0.1:<port>`: the functions' `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// One of MiniStack's URLs, as the functions shall see it.
    pub fn through(&self, url: &str) -> String {
        url.replacen(&self.shared.upstream, &self.url(), 1)
    }

    /// Adds to the script. Of several faults that concern a call, the first strikes.
    pub fn fault(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Ends all faults, used or not.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// The faults that the script still holds.
    pub fn unused_faults(&self) -> Vec<String> {
        let state = self.shared.state();
        let unused = state.faults.iter().filter(|fault| fault.is_left());
        unused.map(|fault| format!("{fault:?}")).collect()
    }

    pub fn journal(&self) -> Vec<Call> {
        self.shared.state().journal.clone()
    }

    /// The calls of one operation.
    pub fn calls(&self, operation: &str) -> Vec<Call> {
        let mut journal = self.journal();
        journal.retain(|call| call.operation == operation);
        journal
    }

    /// The calls that have `text` in a body or a header, on the way there or back.
    pub fn find(&self, text: &str) -> Vec<Call> {
        let mut journal = self.journal();
        journal.retain(|call| {
            let mut headers = call.headers.iter();
            contains(&call.request, text)
                || contains(&call.response, text)
                || headers.any(|(_, value)| value.contains(text))
        });
        journal
    }

    /// The hash and number of a message's lineage; `None` when it was not sent from within an invocation that had one.
    pub(crate) fn lineage_of(&self, message_id: &str) -> Option<(String, u32)> {
        self.shared.state().lineage.get(message_id).cloned()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the call down; what the script says about it.
    fn record(&self, request: &Request<Bytes>) -> (u64, Option<Action>) {
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        let target = header("x-amz-target").unwrap_or_default();
        let (service, operation) = target.split_once('.').unwrap_or(("", target));
        let mut state = self.state();
        let action = strike(&mut state.faults, operation, request.body());
        let seq = state.journal.len() as u64 + 1;
        state.journal.push(Call {
            seq,
            at: (self.clock)(),
            service: service_name(service).to_owned(),
            operation: operation.to_owned(),
            status: None,
            trace: header("x-amzn-trace-id").map(ToOwned::to_owned),
            headers: header_list(request.headers()),
            request: request.body().clone(),
            response: Bytes::new(),
            fault: action.as_ref().map(|action| format!("{action:?}")),
        });
        (seq, action)
    }

    async fn forward(&self, seq: u64, request: Request<Bytes>) -> io::Result<Answered> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut forwarded = self
            .http
            .request(head.method, format!("{}{path}", self.upstream))
            .body(body);
        for (name, value) in end_to_end(&head.headers) {
            forwarded = forwarded.header(name, value);
        }
        let answer = forwarded.send().await.map_err(io::Error::other)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.map_err(io::Error::other)?;
        self.answered(seq, None, &body);
        self.keep_lineage(seq, &body);
        Ok(Answered {
            status,
            headers,
            body,
        })
    }

    fn answered(&self, seq: u64, status: Option<u16>, body: &Bytes) {
        if let Some(call) = self.state().journal.get_mut(seq as usize - 1) {
            call.status = status;
            call.response = body.clone();
        }
    }

    /// Notes which messages a call has put into a queue, if it was made within an invocation with a lineage.
    fn keep_lineage(&self, seq: u64, answer: &[u8]) {
        let mut state = self.state();
        let call = state.journal.get(seq as usize - 1);
        let sends = call.filter(|call| call.operation.starts_with("SendMessage"));
        let Some((hash, number)) = sends.and_then(|call| parse_lineage(call.trace.as_deref()?))
        else {
            return;
        };
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let batch = answer["Successful"].as_array();
        let sent = batch.into_iter().flatten().chain([&answer]);
        for id in sent.filter_map(|sent| sent["MessageId"].as_str()) {
            let lineage = (hash.clone(), number + 1);
            state.lineage.insert(id.to_owned(), lineage);
        }
    }
}

async fn answer(
    shared: &Arc<Shared>,
    request: Request<Bytes>,
) -> io::Result<Response<Full<Bytes>>> {
    let (seq, action) = shared.record(&request);
    let lost = || io::Error::other("the script says so");
    match action {
        None => {
            let answer = apply(shared, seq, request).await?;
            let mut response = Response::builder().status(answer.status);
            for (name, value) in end_to_end(&answer.headers) {
                response = response.header(name, value);
            }
            shared.answered(seq, Some(answer.status), &answer.body);
            let body = Full::new(answer.body);
            response.body(body).map_err(io::Error::other)
        }
        Some(Action::Refuse {
            status,
            kind,
            message,
        }) => {
            let body = Bytes::from(json!({ "__type": kind, "message": message }).to_string());
            shared.answered(seq, Some(status), &body);
            let name = kind.rsplit('#').next().unwrap_or_default();
            Response::builder()
                .status(status)
                .header("content-type", "application/x-amz-json-1.0")
                .header("x-amzn-errortype", name)
                .body(Full::new(body))
                .map_err(io::Error::other)
        }
        Some(Action::AppliedButLost) => {
            apply(shared, seq, request).await?;
            Err(lost())
        }
        Some(Action::AppliedThenHangs) => {
            apply(shared, seq, request).await?;
            std::future::pending().await
        }
        Some(Action::Hang) => std::future::pending().await,
        Some(Action::Close) => Err(lost()),
    }
}

/// Passes a call on, in a task of its own: a caller that dies after sending does not take its call back.
async fn apply(shared: &Arc<Shared>, seq: u64, request: Request<Bytes>) -> io::Result<Answered> {
    let shared = Arc::clone(shared);
    tokio::spawn(async move { shared.forward(seq, request).await })
        .await
        .map_err(io::Error::other)?
}

/// `…;Lineage=1:<hash>:<n>` → the hash and n.
pub(crate) fn parse_lineage(trace: &str) -> Option<(String, u32)> {
    let mut parts = trace.split(';').map(str::trim);
    let lineage = parts.find_map(|part| part.strip_prefix("Lineage="))?;
    let (hash, number) = lineage.strip_prefix("1:")?.split_once(':')?;
    Some((hash.to_owned(), number.parse().ok()?))
}

fn end_to_end(
    headers: &HeaderMap,
) -> impl Iterator<Item = (&http::HeaderName, &http::HeaderValue)> {
    let hops = [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
    ];
    headers
        .iter()
        .filter(move |(name, _)| !hops.contains(&name.as_str()))
}

fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

fn service_name(target: &str) -> &str {
    match target {
        "AmazonSQS" => "SQS",
        "DynamoDB_20120810" => "DynamoDB",
        "secretsmanager" => "SecretsManager",
        "AmazonSSM" => "SSM",
        other => other,
    }
}
