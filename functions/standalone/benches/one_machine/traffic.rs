//! Callers and their receiver, as lean as possible because they share the cores with the measured server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Time after which a wait for callbacks or requests has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// One connection of a caller.
pub(crate) struct Connection {
    sender: client::SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = address.to_owned();
        Ok(Self { sender, host })
    }

    /// Sends a request; returns the id of the accepted operation and how many milliseconds the 202 took.
    pub(crate) async fn post(&mut self, request: Request<Full<Bytes>>) -> Result<(String, f64)> {
        let began = Instant::now();
        let (status, body) = self.send(request).await?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        ensure!(status == StatusCode::ACCEPTED, "{status}: {body:?}");
        let document: Value = serde_json::from_slice(&body)?;
        let id = document["id"].as_str().context("no id")?.to_owned();
        Ok((id, took))
    }

    pub(crate) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes)> {
        set(request.headers_mut(), "host", &self.host);
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}

/// Answers callbacks with 204, records when each operation's first one arrived, and keeps the last one.
pub(crate) struct Receiver {
    pub(crate) origin: String,
    last: Mutex<(HeaderMap, Bytes)>,
    arrivals: Mutex<HashMap<String, Timestamp>>,
    count: watch::Sender<usize>,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Arc::new(Self {
            origin: format!("http://{}", listener.local_addr()?),
            last: Mutex::default(),
            arrivals: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let served = Arc::clone(&receiver);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = Arc::clone(&served);
                let service = service_fn(move |request| Arc::clone(&receiver).take(request));
                tokio::spawn(
                    server::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(receiver)
    }

    async fn take(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> hyper::Result<Response<Full<Bytes>>> {
        let at = now();
        let subject = request.headers().get("ce-subject");
        let id = subject
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (head.headers, body);
        let mut arrivals = self.arrivals();
        arrivals.entry(id).or_insert(at);
        self.count.send_replace(arrivals.len());
        drop(arrivals);
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// Returns headers and body of the last callback.
    pub(crate) fn last(&self) -> (HeaderMap, Bytes) {
        let last = self.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn arrivals(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first callbacks of `count` operations.
    pub(crate) async fn arrived(&self, count: usize) -> Result<()> {
        self.arrived_within(count, PATIENCE).await
    }

    pub(crate) async fn arrived_within(&self, count: usize, patience: Duration) -> Result<()> {
        let mut seen = self.count.subscribe();
        let arrived = timeout(patience, seen.wait_for(|seen| *seen >= count)).await;
        let got = *self.count.borrow();
        ensure!(arrived.is_ok(), "{got} of {count} callbacks came");
        Ok(())
    }
}

pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a main holds the clock")]
    Timestamp::now()
}
