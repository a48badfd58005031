//! The HTTP listener and `Host`: a request that does not say for whom it is meant is refused.

use courier_local::Limits;
use tokio::time::timeout;

use crate::listener::{A_MOMENT, Server, get};

#[tokio::test]
async fn a_request_without_exactly_one_valid_host_is_refused_with_a_problem() {
    let mut server = Server::start(Limits::default()).await;
    for (sent, rule) in [
        ("GET /a HTTP/1.1\r\n\r\n", "is missing"),
        (
            "POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
            "is missing",
        ),
        ("GET http://x/a HTTP/1.1\r\n\r\n", "is missing"),
        (
            "GET /a HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n",
            "must be sent once",
        ),
        (
            "GET /a HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
            "must be sent once",
        ),
        (
            "GET /a HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n",
            "must be sent once",
        ),
    ] {
        refused(&mut server, sent, rule).await;
    }
    for host in [
        "a b", "x/y", "x:y", "x:1:2", "u@x", "u:p@x", "http://x", "[::1", "::1", "x?y", "x#y",
        "x\u{e9}", "x, y", "[::1]x", "x\\y", ":x", "x:80a",
    ] {
        let sent = format!("GET /a HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let rule = "must be a host, with or without a port";
        refused(&mut server, &sent, rule).await;
    }
    assert!(timeout(A_MOMENT, server.log.recv()).await.is_err());
}

async fn refused(server: &mut Server, sent: &str, rule: &str) {
    let mut peer = server.connect().await;
    // What follows is not answered: the connection is closed.
    peer.send(&format!("{sent}{}", get("/next"))).await;
    let answer = peer.read_to_end().await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
        "{sent:?}: {answer}"
    );
    assert!(
        answer.contains("content-type: application/problem+json\r\n"),
        "{answer}"
    );
    let error = format!(r#"{{"header":"host","rule":"{rule}"}}"#);
    assert!(answer.contains(&error), "{sent:?}: {answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{sent:?}: {answer}");
}

#[tokio::test]
async fn every_valid_host_is_served_and_http_1_0_needs_none() {
    let server = Server::start(Limits::default()).await;
    for sent in [
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.0\r\nhost: x\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n",
        // The target of a request to a proxy; its host counts instead of the header's, which must be there all the same.
        "GET http://x/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET http://other:8080/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ] {
        let mut peer = server.connect().await;
        peer.send(sent).await;
        let answer = peer.read_to_end().await;
        assert!(
            answer.contains(" 200 OK\r\n") && answer.ends_with("/a 0"),
            "{sent:?}: {answer}"
        );
    }
    for host in [
        "x",
        "X.example",
        "x:8080",
        "x:",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:8080",
        "_x",
        "x.",
        "a-b_c~d",
    ] {
        let mut peer = server.connect().await;
        peer.send(&format!(
            "GET /a HTTP/1.1\r\nHost:  {host} \r\nconnection: close\r\n\r\n"
        ))
        .await;
        let answer = peer.read_to_end().await;
        assert!(answer.ends_with("/a 0"), "{host}: {answer}");
    }
}
