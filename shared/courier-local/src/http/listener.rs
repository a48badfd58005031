//! An HTTP/1.1 server around one handler function, with limits on size, time and number, and a graceful shutdown.
//!
//! It knows no routes. The answers that it makes itself (a body that does not arrive, a broken body, a request without
//! a host, a panic) are problem documents in the core's format.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use courier_core::http::exchange::Exchange;
use courier_core::http::problem::Problem;
use courier_core::operation::{Ids, random_ids};
use futures_util::FutureExt;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::http::connections::{ConnectionSlot, Connections};
use crate::http::host_header;
use crate::http::read_deadline::{Awaited, ReadDeadline, ReadLimits};
use crate::http::write_deadline::WriteDeadline;

/// The smallest read buffer that hyper accepts.
const BUFFER_MIN_BYTES: usize = 8192;
/// Bytes beyond the cap that are read and discarded, so that the sender reads the answer instead of a reset.
const DISCARD_BYTES: usize = 1024 * 1024;
/// Pause after a failed accept, which usually means that no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Limits {
    /// Upper bound of a body in bytes; a longer one is cut to one byte more, so that the handler sees that it is too
    /// long.
    pub body_bytes: usize,
    pub body_seconds: u64,
    pub header_bytes: usize,
    /// Seconds that a request's head may take; for the first one they begin with the connection.
    pub header_seconds: u64,
    /// Seconds that a connection is kept between two requests.
    ///
    /// A proxy keeps its connections for 60 s by default. It must close them first, or its next request meets a
    /// connection that is just being closed.
    pub idle_seconds: u64,
    /// Seconds within which the client must accept what is written to it.
    pub write_seconds: u64,
    /// Upper bound of simultaneous connections.
    ///
    /// For one more, the connection that has waited longest for its client is closed. While all of them have a request
    /// in a handler, new ones wait in the system's backlog.
    pub connections: usize,
    /// Seconds that requests in flight get to finish when the shutdown begins.
    pub shutdown_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 65_536,
            body_seconds: 10,
            header_bytes: 16 * 1024,
            header_seconds: 10,
            idle_seconds: 75,
            write_seconds: 10,
            connections: 4096,
            shutdown_seconds: 30,
        }
    }
}

/// Serves until `shutdown` becomes true (or its sender is gone), then finishes the requests in flight.
///
/// A handler runs to its end even if its client goes away: it may have called Graph already.
pub async fn serve<H, F>(
    listener: TcpListener,
    limits: Limits,
    handle: H,
    mut shutdown: watch::Receiver<bool>,
) where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    // Every handler holds a sender, so `handlers` ends when the last handler has.
    let (running, mut handlers) = mpsc::channel::<Infallible>(1);
    let server = Arc::new(Server {
        limits,
        handle,
        running,
        shutdown: shutdown.clone(),
        ids: random_ids(),
    });
    let connections = Connections::new(server.limits.connections);
    let mut conversations = JoinSet::new();
    let mut accepting = Box::pin(accept(&listener, &connections));
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(_) = conversations.join_next() => {}
            accepted = accepting.as_mut() => {
                accepting.set(accept(&listener, &connections));
                match accepted {
                    Ok(stream) => {
                        let (slot, evicted) = connections.enter();
                        conversations.spawn(Arc::clone(&server).converse(stream, slot, evicted));
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "accepting a connection failed; trying again after a pause");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
    drop(accepting);
    drop(listener);
    let patience = Duration::from_secs(server.limits.shutdown_seconds);
    drop(server);
    let finished = timeout(patience, async {
        while conversations.join_next().await.is_some() {}
        handlers.recv().await;
    });
    if finished.await.is_err() {
        tracing::warn!("the shutdown time is over; requests were still running");
    }
}

/// Accepts the next connection once there is room for it; an accepted one is lost if this future is dropped.
async fn accept(listener: &TcpListener, connections: &Connections) -> std::io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    connections.room().await;
    Ok(stream)
}

struct Server<H> {
    limits: Limits,
    handle: H,
    running: mpsc::Sender<Infallible>,
    shutdown: watch::Receiver<bool>,
    ids: Ids,
}

impl<H, F> Server<H>
where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        slot: ConnectionSlot,
        evicted: oneshot::Receiver<()>,
    ) {
        // With Nagle's algorithm, the last segment of an answer may wait for an acknowledgement.
        drop(stream.set_nodelay(true));
        let mut shutdown = self.shutdown.clone();
        let limits = self.limits.clone();
        let slot = Arc::new(slot);
        let awaited = Awaited::first_head();
        let read_limits = ReadLimits {
            head: Duration::from_secs(limits.header_seconds),
            idle: Duration::from_secs(limits.idle_seconds),
        };
        let stream = ReadDeadline::new(stream, read_limits, awaited.clone());
        let stream = WriteDeadline::new(stream, Duration::from_secs(limits.write_seconds));
        let service = service_fn(move |request| {
            awaited.nothing();
            let answer = Arc::clone(&self).answer(request, Arc::clone(&slot));
            let awaited = awaited.clone();
            async move {
                let answer = answer.await;
                awaited.next_request();
                answer
            }
        });
        let connection = http1::Builder::new()
            // `ReadDeadline` times heads: hyper's own limit would hold for an idle connection too.
            .header_read_timeout(None)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(BUFFER_MIN_BYTES))
            // A client that has closed its sending side may still read the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // A broken connection is the client's problem; the handler's work goes on without it.
        tokio::select! {
            ended = connection.as_mut() => drop(ended),
            _ = evicted => {}
            () = stopped(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        slot: Arc<ConnectionSlot>,
    ) -> Result<Response<Full<Bytes>>, Evicted> {
        let (head, body) = request.into_parts();
        let exchange = Exchange::begin(&head, &self.ids);
        let patience = Duration::from_secs(self.limits.body_seconds);
        let read = timeout(patience, read(body, self.limits.body_bytes)).await;
        if !slot.work() {
            return Err(Evicted);
        }
        let (response, close) = match read {
            Ok(Ok(body)) => match host_header::check(&head) {
                Err(problem) => (exchange.end(problem.into_response()), true),
                Ok(()) => {
                    let too_long = body.len() > self.limits.body_bytes;
                    let request = Request::from_parts(head, body);
                    (self.run(request, exchange).await, too_long)
                }
            },
            Ok(Err(_)) => (exchange.end(Problem::BrokenBody.into_response()), true),
            Err(_) => (exchange.end(Problem::SlowBody.into_response()), true),
        };
        // hyper tries to send the answer before this task ends, so no answer is lost when the connection is evicted.
        slot.wait();
        let mut response = response.map(Full::new);
        // A client that was refused for its credentials or its rate must open a new connection for the next try.
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        if close || refused.contains(&response.status()) {
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Runs the handler in a task of its own, which goes on to the line in the log if the client goes away.
    async fn run(self: Arc<Self>, request: Request<Bytes>, exchange: Exchange) -> Response<Bytes> {
        let running = self.running.clone();
        let handler = tokio::spawn(async move {
            let handled = AssertUnwindSafe(async { (self.handle)(request).await }).catch_unwind();
            let response = async {
                handled.await.unwrap_or_else(|_| {
                    tracing::error!("a request handler panicked; answering 500");
                    Problem::Internal.into_response()
                })
            };
            let response = response.instrument(exchange.span()).await;
            let response = exchange.end(response);
            drop(running);
            response
        });
        handler
            .await
            .unwrap_or_else(|_| Problem::Internal.into_response())
    }
}

/// Makes hyper close the connection without an answer.
#[derive(Debug, Error)]
#[error("the connection makes room for another")]
struct Evicted;

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|stop| *stop).await);
}

/// Reads the body; of one that is longer than `cap`, returns the first `cap + 1` bytes.
async fn read(mut body: Incoming, cap: usize) -> Result<Bytes, hyper::Error> {
    let mut kept = BytesMut::new();
    let mut discarded = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = data.len().min(cap + 1 - kept.len());
        kept.extend_from_slice(&data[..room]);
        discarded += data.len() - room;
        if discarded > DISCARD_BYTES {
            break;
        }
    }
    Ok(kept.freeze())
}
