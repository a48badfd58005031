//! Receivers that answer with harmful bytes, and clients that name forbidden callback targets: neither has an effect.

use std::time::Duration;

use courier_testkit::world::World;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Accepts one connection, sends `answer`, then repeats `more` until the write fails; returns the number of bytes sent.
async fn serve_hostile(listener: TcpListener, answer: Vec<u8>, more: Vec<u8>) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 1024];
    assert!(stream.read(&mut head).await.unwrap() > 0);
    stream.write_all(&answer).await.unwrap();
    let mut sent = answer.len();
    while !more.is_empty() && write(&mut stream, &more).await {
        sent += more.len();
    }
    sent
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok()
}

/// Makes one delivery attempt to a peer that answers like this.
///
/// Returns how many bytes the peer could send, and the attempt's line of the history.
async fn attempt(answer: &str, more: &str) -> (usize, serde_json::Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let world = World::with(|setup| {
        setup.timeouts.callback = Duration::from_secs(5);
        let known = "callback_origins = [\"{receiver}\"]";
        let both = format!("callback_origins = [\"{{receiver}}\", \"{origin}\"]");
        let config = setup.config.replace(known, &both);
        setup.config = config.replace("[callbacks]", "[callbacks]\nkeep_answers = true");
    })
    .await;
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let mut body = world.schedule();
    body["callback"]["url"] = json!(format!("{origin}/x"));
    let id = world.post(&body).await.id();
    let (answer, more) = (answer.as_bytes().to_vec(), more.as_bytes().to_vec());
    let peer = tokio::spawn(serve_hostile(listener, answer, more));
    world.work().await;
    let history = world.get(&format!("/v1/operations/{id}/history")).await;
    let lines = history.body["history"].as_array().unwrap().clone();
    let line = lines
        .into_iter()
        .find(|line| line["event"] == "callbackAttempt");
    (peer.await.unwrap(), line.unwrap())
}

#[tokio::test]
async fn endless_headers_count_as_no_answer_and_use_bounded_memory() {
    let line = format!("x-filler: {}\r\n", "a".repeat(8000));
    let (sent, line) = attempt("HTTP/1.1 200 OK\r\n", &line).await;
    assert_eq!(line["httpStatus"], serde_json::Value::Null, "{line}");
    // The bound includes what the socket buffers hold.
    assert!(sent < 16 * 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn a_compressed_answer_is_not_decompressed() {
    // The answer claims to be gzip; if it were decompressed it could grow a thousandfold.
    let answer = "HTTP/1.1 500 no\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\u{1f}zip";
    let (_, line) = attempt(answer, "").await;
    assert_eq!(line["httpStatus"], 500);
    assert_eq!(line["answer"], "\\u{1f}zip");
}

#[tokio::test]
async fn an_answer_that_is_not_http_counts_as_no_answer() {
    for answer in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
    ] {
        let (_, line) = attempt(answer, "").await;
        assert_eq!(
            line["httpStatus"],
            serde_json::Value::Null,
            "{answer}: {line}"
        );
    }
}

/// The addresses at which a function in the cloud finds credentials or its own runtime, by address and by name.
#[tokio::test]
async fn callback_urls_of_the_runtime_api_and_metadata_services_are_refused() {
    let world = World::with(|setup| {
        setup.config = setup.config.replace("127.0.0.0/8", "10.0.0.0/8");
        setup.config = setup
            .config
            .replace("{receiver}", "https://tickets.example");
    })
    .await;
    let private = "must not point to a private or local address";
    for (url, rule) in [
        (
            "https://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
            private,
        ),
        (
            "https://169.254.100.1:9001/2018-06-01/runtime/invocation/next",
            private,
        ),
        ("https://169.254.79.129:2000/", private),
        ("https://169.254.169.254/latest/meta-data/iam/", private),
        ("https://169.254.170.2/v2/credentials", private),
        ("https://[fd00:ec2::254]/latest/meta-data/", private),
        ("https://100.100.100.200/", private),
        ("https://192.0.0.192/", private),
        ("https://localhost:2773/secretsmanager/get", private),
        ("https://localhost.localdomain/", private),
        ("https://metadata/", private),
        ("https://metadata.google.internal/", private),
        ("https://instance-data.ec2.internal/", private),
        ("https://tickets.example./", private),
        ("file:///proc/self/environ", "must be https"),
        ("http://169.254.169.254/latest/", "must be https"),
    ] {
        let mut body = world.schedule();
        body["callback"]["url"] = json!(url);
        let refused = world.post(&body).await;
        assert_eq!(refused.status, 400, "{url}");
        let errors = json!([{ "pointer": "/callback/url", "rule": rule }]);
        assert_eq!(refused.body["errors"], errors, "{url}");
    }
    assert_eq!(world.receiver.journal().len(), 0);
}
