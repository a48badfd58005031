//! The listener and its connections: reads requests, makes one exchange for each, and sends the answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming as Wire;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::admin;
use crate::body::AnswerBody;
use crate::declared::Place;
use crate::delivery::Delivery;
use crate::shared::Shared;
use crate::socket::Socket;

const REQUEST_BODY_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Serves until dropped; all its connections end with it.
pub(crate) async fn serve(graph: TcpListener, anonymous: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (accepted, place) = tokio::select! {
            accepted = graph.accept() => (accepted, Place::Graph),
            accepted = anonymous.accept() => (accepted, Place::Anonymous),
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, place, Arc::clone(&shared)));
            }
            // No file descriptor is free: another connection must end first.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn converse(stream: TcpStream, place: Place, shared: Arc<Shared>) {
    // Nagle's algorithm would add delays that hide the timing faults.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket::new(stream, Arc::clone(&reset));
    let service = service_fn(|request| answer(&shared, place, &reset, request));
    let mut http = http1::Builder::new();
    // The result is ignored: half of the faults end the connection with an error.
    let _ = http
        .auto_date_header(false)
        .serve_connection(socket, service)
        .await;
}

async fn answer(
    shared: &Shared,
    place: Place,
    reset: &AtomicBool,
    request: Request<Wire>,
) -> io::Result<Response<AnswerBody>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, REQUEST_BODY_LIMIT_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(io::ErrorKind::InvalidData.into()),
    };
    if let Some(answer) = admin::answer(shared, &head, &body) {
        return Ok(answer.into_response().map(AnswerBody::Whole));
    }
    let (response, delivery) = shared.exchange(head, &body, place)?;
    match delivery {
        Delivery::Prompt | Delivery::Drip(_) | Delivery::Half => {}
        Delivery::Late(pause) => tokio::time::sleep(pause).await,
        // An error of the service makes hyper drop the connection without an answer.
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
