//! The HTTP listener against clients that are slow, large or many.

use courier_local::Limits;
use tokio::time::timeout;

use crate::listener::{A_MOMENT, Server, get};

fn impatient() -> Limits {
    Limits {
        header_seconds: 1,
        body_seconds: 1,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let server = Server::start(impatient()).await;
    let (mut slow, silent) = (server.connect().await, server.connect().await);
    slow.send("GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    slow.read_to_end().await;
    silent.read_to_end().await;
}

#[tokio::test]
async fn an_idle_connection_and_a_head_that_has_begun_have_limits_of_their_own() {
    for (header_seconds, idle_seconds, begun) in [(3600, 1, ""), (1, 3600, "GET / HT")] {
        let server = Server::start(Limits {
            header_seconds,
            idle_seconds,
            ..Limits::default()
        })
        .await;
        let mut peer = server.connect().await;
        for _ in 0..2 {
            peer.send(&get("/a")).await;
            peer.read_to("/a 0").await;
        }
        peer.send(begun).await;
        assert_eq!(peer.read_to_end().await, "");
    }
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    let padding = "x".repeat(17 * 1024);
    peer.send(&format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-large: {padding}\r\n\r\n"
    ))
    .await;
    let answer = peer.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    let server = Server::start(impatient()).await;
    let mut peer = server.connect().await;
    peer.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    let answer = peer.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("application/problem+json") && answer.contains("connection: close"),
        "{answer}"
    );
    let (_, id) = answer.split_once("x-request-id: ").unwrap();
    let (id, _) = id.split_once("\r\n").unwrap();
    assert!(
        answer.contains(&format!("\"requestId\":\"{id}\"")),
        "{answer}"
    );
}

#[tokio::test]
async fn the_handler_sees_one_byte_more_than_the_cap_and_the_connection_ends() {
    let server = Server::start(Limits::default()).await;
    for (length, seen) in [(65_536, 65_536), (65_537, 65_537), (1_000_000, 65_537)] {
        let body = "x".repeat(length);
        let counted = format!("content-length: {length}\r\n\r\n{body}");
        let chunked =
            format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
        let kept = length <= 65_536;
        for head in [counted, chunked] {
            let mut peer = server.connect().await;
            peer.send(&format!("POST /a HTTP/1.1\r\nhost: x\r\n{head}"))
                .await;
            let answer = peer.read_to(&format!("/a {seen}")).await;
            assert_eq!(answer.contains("connection: close"), !kept, "{answer}");
            if !kept {
                assert_eq!(peer.read_to_end().await, "");
            }
        }
    }
}

#[tokio::test]
async fn a_large_body_may_be_sent_to_its_end_before_it_is_refused() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send("POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    peer.send(&"x".repeat(100_000)).await;
    let early = timeout(A_MOMENT, peer.read_to("/a")).await;
    assert!(early.is_err(), "{early:?}");
    peer.send(&"x".repeat(900_000)).await;
    peer.read_to("/a 65537").await;
}
