//! The listener and its connections: bytes in, one exchange, and the answer on its way out.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming as Wire;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin;
use crate::answer::{Answer, Content, Payload};
use crate::body::AnswerBody;
use crate::exchange::{Delivery, Incoming, Outgoing, World};
use crate::options::Clock;
use crate::socket::Socket;

const REQUEST_BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    world: Mutex<World>,
    /// The number of journal entries.
    pub(crate) seen: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(clock: Clock, world: World) -> Self {
        let seen = watch::Sender::new(0);
        let world = Mutex::new(world);
        Self { clock, world, seen }
    }

    /// One request from the wire to the journal, whatever the wire is.
    pub(crate) fn exchange(
        &self,
        head: Parts,
        body: &[u8],
    ) -> io::Result<(Response<Bytes>, Delivery)> {
        let incoming = Incoming {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            payload: Payload::parse(body),
        };
        let now = (self.clock)();
        let Outgoing { answer, delivery } = self.world().exchange(&incoming, now)?;
        self.seen.send_modify(|seen| *seen += 1);
        Ok((response(answer), delivery))
    }

    /// The world, also after a panic of another holder: tests want to see it then.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until it is dropped; all its connections end with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&shared)));
                }
                // Out of file descriptors: let a connection end first.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    // Without it a fault of timing would drown in Nagle's own delays.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket::new(stream, Arc::clone(&reset));
    let service = service_fn(|request| answer(&shared, &reset, request));
    let mut http = http1::Builder::new();
    // A connection that ends with an error is what half of the faults are for.
    let _ = http
        .auto_date_header(false)
        .serve_connection(socket, service)
        .await;
}

async fn answer(
    shared: &Shared,
    reset: &AtomicBool,
    request: Request<Wire>,
) -> io::Result<Response<AnswerBody>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, REQUEST_BODY_LIMIT_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(io::ErrorKind::InvalidData.into()),
    };
    if let Some(answer) = admin::answer(shared, &head, &body) {
        return Ok(response(answer).map(AnswerBody::Whole));
    }
    let (response, delivery) = shared.exchange(head, &body)?;
    match delivery {
        Delivery::Prompt | Delivery::Drip(_) | Delivery::Half => {}
        Delivery::Late(pause) => tokio::time::sleep(pause).await,
        // An error of the service makes hyper drop the connection without a word.
        Delivery::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
        Delivery::Reset => {
            reset.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Delivery::Never => std::future::pending().await,
    }
    Ok(response.map(|bytes| match delivery {
        Delivery::Drip(pause) => AnswerBody::drip(bytes, pause),
        Delivery::Half => AnswerBody::half(&bytes),
        Delivery::Prompt
        | Delivery::Late(_)
        | Delivery::Close
        | Delivery::Reset
        | Delivery::Never => AnswerBody::Whole(bytes),
    }))
}

fn response(answer: Answer) -> Response<Bytes> {
    let (media_type, bytes) = match answer.content {
        Content::Empty => (None, Bytes::new()),
        Content::Json(value) => (
            Some(
                "application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8",
            ),
            Bytes::from(value.to_string()),
        ),
        Content::Text { media_type, text } => (Some(media_type), text),
    };
    let length = bytes.len();
    let mut response = Response::new(bytes);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    if let Some(media_type) = media_type {
        let value = HeaderValue::from_static(media_type);
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    if answer.status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}
