//! The other end of a callback: a real HTTP server on loopback that journals the requests and answers by script.
//!
//! It checks no signature: the specification's own libraries do, on the journal.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use courier_core::time::Clock;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Sleep, sleep};

/// One callback as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The number of the callback, from 1, in the order of arrival.
    pub seq: u64,
    pub at: Timestamp,
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, with names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// The receiver's behaviour after it has journalled a callback.
#[derive(Debug, Clone)]
pub enum Answer {
    Status {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    /// Sends nothing until the peer closes the connection.
    Hang,
    /// Closes the connection without an answer.
    Close,
    /// Answers 200, then sends `bytes` bytes one by one, `pause` apart.
    Drip { bytes: usize, pause: Duration },
    /// Answers 200, then sends `bytes` bytes as fast as the peer reads them.
    Huge { bytes: usize },
}

/// A receiver that listens until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    clock: Clock,
    script: Mutex<Script>,
    file: Option<Mutex<File>>,
    arrived: watch::Sender<usize>,
}

struct Script {
    journal: Vec<Callback>,
    next: VecDeque<Answer>,
    otherwise: Answer,
}

impl Callback {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "seq": self.seq,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": String::from_utf8_lossy(&self.body),
        })
    }
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// Adds a header to an `Answer::Status`; the other answers have none.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub fn retry_after(status: u16, retry_after: &str) -> Self {
        Self::status(status).header("retry-after", retry_after)
    }

    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("location", to)
    }
}

impl Receiver {
    pub async fn start(clock: Clock) -> io::Result<Self> {
        Self::launch(clock, None).await
    }

    /// Starts a receiver that also appends each callback to `journal` as a line of JSON, before answering it.
    pub async fn start_with_journal(clock: Clock, journal: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(journal)?;
        Self::launch(clock, Some(Mutex::new(file))).await
    }

    async fn launch(clock: Clock, file: Option<Mutex<File>>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            clock,
            script: Mutex::new(Script {
                journal: Vec::new(),
                next: VecDeque::new(),
                otherwise: Answer::status(204),
            }),
            file,
            arrived: watch::Sender::new(0),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Returns the receiver's origin, `http://127.0.0.1:<port>`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// Appends to the script: each callback gets the next answer.
    pub fn answer_next(&self, answer: Answer) {
        self.shared.script().next.push_back(answer);
    }

    /// Sets the answer to callbacks after the end of the script; at first it is 204.
    pub fn answer_otherwise(&self, answer: Answer) {
        self.shared.script().otherwise = answer;
    }

    pub fn journal(&self) -> Vec<Callback> {
        self.shared.script().journal.clone()
    }

    /// Returns the number of scripted answers that no callback has used.
    pub fn unused(&self) -> usize {
        self.shared.script().next.len()
    }

    /// Waits until `count` callbacks have arrived in all, and returns the journal.
    pub async fn arrived(&self, count: usize) -> Vec<Callback> {
        let mut arrived = self.shared.arrived.subscribe();
        drop(arrived.wait_for(|arrived| *arrived >= count).await);
        self.journal()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Journals the callback and returns the next answer.
    fn record(&self, head: &http::request::Parts, body: Bytes) -> io::Result<Answer> {
        let mut script = self.script();
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter();
        let callback = Callback {
            seq: script.journal.len() as u64 + 1,
            at: (self.clock)(),
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body,
        };
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(file, "{}", callback.json())?;
            file.flush()?;
        }
        script.journal.push(callback);
        self.arrived.send_replace(script.journal.len());
        let otherwise = script.otherwise.clone();
        Ok(script.next.pop_front().unwrap_or(otherwise))
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    // The error is ignored: the peer went away, or the script says so.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Trickle>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let response = match shared.record(&head, body)? {
        Answer::Status {
            status,
            headers,
            body,
        } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response
                .body(Trickle::at_once(body))
                .map_err(io::Error::other)?
        }
        Answer::Hang => std::future::pending().await,
        Answer::Close => return Err(io::Error::other("the script says so")),
        Answer::Drip { bytes, pause } => whole(Trickle::new(bytes, 1, pause)),
        Answer::Huge { bytes } => whole(Trickle::new(bytes, 16 * 1024, Duration::ZERO)),
    };
    Ok(response)
}

fn whole(body: Trickle) -> Response<Trickle> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response
}

/// A body that is sent in portions with pauses.
struct Trickle {
    portion: Bytes,
    left: usize,
    pause: Duration,
    pausing: Option<Pin<Box<Sleep>>>,
}

impl Trickle {
    fn at_once(body: Bytes) -> Self {
        Self {
            left: body.len(),
            portion: body,
            pause: Duration::ZERO,
            pausing: None,
        }
    }

    fn new(bytes: usize, portion: usize, pause: Duration) -> Self {
        Self {
            portion: Bytes::from(vec![b' '; portion]),
            left: bytes,
            pause,
            pausing: None,
        }
    }
}

impl Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if let Some(pausing) = &mut self.pausing {
            ready!(pausing.as_mut().poll(context));
        }
        if !self.pause.is_zero() {
            self.pausing = Some(Box::pin(sleep(self.pause)));
        }
        let portion = self.portion.slice(..self.portion.len().min(self.left));
        self.left -= portion.len();
        Poll::Ready(Some(Ok(Frame::data(portion))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.left as u64)
    }
}
