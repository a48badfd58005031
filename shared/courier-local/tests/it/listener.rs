//! The HTTP listener, spoken to in plain bytes: what arrives, what is answered, how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use courier_local::{Limits, serve};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::workspace::soon;

/// Long enough to see that something does not happen.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(100);

/// No system takes so much from us without a reader.
pub(crate) const LARGE_BYTES: usize = 32 * 1024 * 1024;

/// A server whose handler answers `<path> <body length>`, panics at `/panic`, waits at `/wait` and says much at `/large`.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) gate: Arc<Semaphore>,
    /// Paths as their handlers begin (`+`) and end (`-`).
    pub(crate) log: mpsc::UnboundedReceiver<String>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let (write, log) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let held = Arc::clone(&gate);
        let handle = move |request: Request<Bytes>| {
            let (gate, write) = (Arc::clone(&held), write.clone());
            async move {
                let path = request.uri().path().to_owned();
                drop(write.send(format!("+{path}")));
                assert_ne!(path, "/panic", "canary-secret");
                if path == "/wait" {
                    gate.acquire().await.unwrap().forget();
                }
                drop(write.send(format!("-{path}")));
                if path == "/large" {
                    return Response::new(Bytes::from_static(&[b'x'; LARGE_BYTES]));
                }
                let answer = Response::builder().status(match path.as_str() {
                    "/unknown" => 401,
                    "/often" => 429,
                    "/missing" => 404,
                    _ => 200,
                });
                let body = Bytes::from(format!("{path} {}", request.body().len()));
                answer.body(body).unwrap()
            }
        };
        let task = tokio::spawn(serve(listener, limits, handle, stopped));
        Self {
            address,
            gate,
            log,
            stop,
            task,
        }
    }

    pub(crate) async fn connect(&self) -> Peer {
        Peer {
            stream: TcpStream::connect(self.address).await.unwrap(),
            text: String::new(),
        }
    }

    pub(crate) async fn logged(&mut self, expected: &str) {
        assert_eq!(soon(self.log.recv()).await.as_deref(), Some(expected));
    }
}

pub(crate) struct Peer {
    stream: TcpStream,
    text: String,
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to and including `end`; what was read.
    pub(crate) async fn read_to(&mut self, end: &str) -> String {
        loop {
            if let Some(place) = self.text.find(end) {
                let rest = self.text.split_off(place + end.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let mut buffer = [0; 4096];
            let count = soon(self.stream.read(&mut buffer)).await.unwrap();
            assert!(count > 0, "closed after {:?}", self.text);
            self.text
                .push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads until the server closes; what was left.
    pub(crate) async fn read_to_end(mut self) -> String {
        let mut rest = Vec::new();
        drop(soon(self.stream.read_to_end(&mut rest)).await);
        self.text + std::str::from_utf8(&rest).unwrap()
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[tokio::test]
async fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send(&(get("/a") + &get("/b"))).await;
    assert!(
        peer.read_to("/a 0")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    assert!(
        peer.read_to("/b 0")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    peer.send("POST /c HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    peer.read_to("/c 3").await;
    peer.send("GET /d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(peer.read_to_end().await.ends_with("/d 0"));
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send("POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    peer.send("3\r\nabc\r\n").await;
    peer.send("4\r\ndefg\r\n0\r\n\r\n").await;
    peer.read_to("/a 7").await;
}

#[tokio::test]
async fn a_broken_body_is_refused() {
    let mut server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send("POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n")
        .await;
    let answer = peer.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.stop.send_replace(true);
    soon(&mut server.task).await.unwrap();
    assert_eq!(server.log.recv().await, None, "the handler never saw it");
}

#[tokio::test]
async fn a_panic_is_answered_without_its_words() {
    let mut server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send(&get("/panic")).await;
    let head = peer.read_to("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert!(
        head.contains("content-type: application/problem+json") && head.contains("x-request-id: "),
        "{head}"
    );
    let body = peer.read_to("}").await;
    assert!(
        body.contains("urn:graph-courier:problem:internal") && !body.contains("canary"),
        "{body}"
    );
    server.logged("+/panic").await;
    peer.send(&get("/next")).await;
    peer.read_to("/next 0").await;
}

#[tokio::test]
async fn a_handler_finishes_although_its_client_has_gone() {
    let mut server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send(&get("/wait")).await;
    server.logged("+/wait").await;
    drop(peer);
    let mut other = server.connect().await;
    other.send(&get("/a")).await;
    other.read_to("/a 0").await;
    server.stop.send_replace(true);
    server.logged("+/a").await;
    server.logged("-/a").await;
    let early = timeout(A_MOMENT, &mut server.task).await;
    assert!(early.is_err(), "the server waits for its handlers");
    server.gate.add_permits(1);
    server.logged("-/wait").await;
    soon(server.task).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_finishes_the_request_in_flight_and_takes_no_new_one() {
    let limits = Limits {
        header_seconds: 3600,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let (idle, mut peer) = (server.connect().await, server.connect().await);
    peer.send(&get("/wait")).await;
    server.logged("+/wait").await;
    server.stop.send_replace(true);
    assert_eq!(idle.read_to_end().await, "", "an idle connection is closed");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "no new connection"
    );
    assert!(!server.task.is_finished());
    server.gate.add_permits(1);
    let answer = peer.read_to_end().await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("/wait 0"),
        "{answer}"
    );
    soon(server.task).await.unwrap();
}
