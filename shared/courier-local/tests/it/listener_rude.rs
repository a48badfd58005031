//! The HTTP listener against clients that mean no good: what they are answered, and who is answered beside them.

use courier_local::Limits;
use tokio::time::timeout;

use crate::listener::{A_MOMENT, LARGE_BYTES, Server, get};
use crate::workspace::soon;

/// Nobody is closed for being slow.
fn patient(connections: usize) -> Limits {
    Limits {
        body_seconds: 3600,
        header_seconds: 3600,
        write_seconds: 3600,
        connections,
        ..Limits::default()
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_its_connection_closed() {
    let mut server = Server::start(Limits::default()).await;
    let post = |headers: &str, body: &str| {
        format!("POST /a HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n{body}")
    };
    let chunked = |body: &str| post("transfer-encoding: chunked", body);
    let long = "x".repeat(20_000);
    let many: String = (0..101)
        .map(|number| format!("x-{number}: y\r\n"))
        .collect();
    for (sent, status) in [
        (
            post("content-length: 3\r\ncontent-length: 4", "abcd"),
            "400",
        ),
        (post("content-length: -1", ""), "400"),
        (post("content-length: +3", "abc"), "400"),
        (post("content-length: 3, 4", "abcd"), "400"),
        (post("content-length: 0x3", "abc"), "400"),
        (post("content-length: 18446744073709551616", "abc"), "400"),
        (
            post("content-length: 3\r\ntransfer-encoding: gzip", "abc"),
            "400",
        ),
        (post("transfer-encoding: chunked, gzip", "0\r\n\r\n"), "400"),
        (chunked("nonsense\r\n"), "400"),
        (chunked("-1\r\na\r\n0\r\n\r\n"), "400"),
        (chunked("ffffffffffffffff1\r\na"), "400"),
        (chunked("3\r\nabcd\r\n0\r\n\r\n"), "400"),
        (chunked(&format!("3;{long}\r\nabc\r\n0\r\n\r\n")), "400"),
        (chunked(&format!("0\r\nx: {long}\r\n\r\n")), "400"),
        (
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "400",
        ),
        ("GET / HTTP/1.1\r\nhost : x\r\n\r\n".into(), "400"),
        ("GET / HTTP/1.1\r\nhost\r\n\r\n".into(), "400"),
        ("GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n".into(), "400"),
        ("GET / HTTP/1.1\r\nhost: a\0b\r\n\r\n".into(), "400"),
        ("GET / HTTP/3.0\r\n\r\n".into(), "400"),
        ("GET /\r\n\r\n".into(), "400"),
        (
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".into(),
            "400",
        ),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nhost: {long}\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
        (long.clone(), "431"),
    ] {
        let shown: String = sent.chars().take(80).collect();
        let mut peer = server.connect().await;
        // Of what comes after a refusal nothing may be taken for a request.
        peer.send(&(sent + &get("/smuggled"))).await;
        let answer = peer.read_to_end().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown:?}: {answer:?}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{shown:?}: {answer:?}"
        );
    }
    let mut http2 = server.connect().await;
    http2.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(http2.read_to_end().await, "");
    server.stop.send_replace(true);
    soon(&mut server.task).await.unwrap();
    assert_eq!(server.log.recv().await, None, "no handler saw any of it");
}

#[tokio::test]
async fn chunks_count_for_more_than_a_length_and_end_the_connection() {
    let server = Server::start(Limits::default()).await;
    for both in [
        "content-length: 30\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
    ] {
        let mut peer = server.connect().await;
        let request =
            format!("POST /a HTTP/1.1\r\nhost: x\r\n{both}\r\n\r\n5\r\nabcde\r\n0\r\n\r\n");
        peer.send(&(request + &get("/smuggled"))).await;
        let answer = peer.read_to_end().await;
        assert!(
            answer.contains("connection: close") && answer.ends_with("/a 5"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_refused() {
    let mut server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send("POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    peer.finish().await;
    let answer = peer.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    server.stop.send_replace(true);
    soon(&mut server.task).await.unwrap();
    assert_eq!(server.log.recv().await, None, "the handler never saw it");
}

#[tokio::test]
async fn a_half_closed_client_is_answered() {
    let mut server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send(&get("/wait")).await;
    peer.finish().await;
    server.logged("+/wait").await;
    server.gate.add_permits(1);
    let answer = peer.read_to_end().await;
    assert!(answer.ends_with("/wait 0"), "{answer}");
}

#[tokio::test]
async fn an_upgrade_is_ignored_and_expect_continue_is_answered() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    peer.send("GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
        .await;
    let answer = peer.read_to("/a 0").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    peer.send("POST /b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await;
    assert_eq!(
        peer.read_to("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    peer.send("abc").await;
    peer.read_to("/b 3").await;
}

#[tokio::test]
async fn a_thousand_pipelined_requests_are_answered_in_order() {
    let server = Server::start(Limits::default()).await;
    let mut peer = server.connect().await;
    let requests: String = (0..1000)
        .map(|number| get(&format!("/{number}-")))
        .collect();
    peer.send(&requests).await;
    for number in 0..1000 {
        let answer = peer.read_to(&format!("/{number}- 0")).await;
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    }
}

/// Who asks without end and without a key has one answer made for him for each connection.
#[tokio::test]
async fn only_401_and_429_close_the_connection() {
    let server = Server::start(Limits::default()).await;
    for (path, answers) in [("/unknown", 1), ("/often", 1), ("/missing", 3)] {
        let mut peer = server.connect().await;
        peer.send(&get(path).repeat(3)).await;
        peer.finish().await;
        let said = peer.read_to_end().await;
        assert_eq!(said.matches("HTTP/1.1 4").count(), answers, "{said}");
        let closes = said.contains("connection: close");
        assert_eq!(closes, answers == 1, "{said}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let limits = Limits {
        header_seconds: 3600,
        write_seconds: 1,
        shutdown_seconds: 3600,
        ..Limits::default()
    };
    let mut server = Server::start(limits).await;
    let mut peer = server.connect().await;
    peer.send("GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    server.logged("+/large").await;
    server.logged("-/large").await;
    server.stop.send_replace(true);
    soon(server.task).await.unwrap();
    assert!(peer.read_to_end().await.len() < LARGE_BYTES);
}

#[tokio::test]
async fn the_longest_idle_connection_is_evicted_for_the_next() {
    let server = Server::start(patient(2)).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for first_turn in [true, false, true] {
        let peer = if first_turn { &mut first } else { &mut second };
        peer.send(&get("/a")).await;
        peer.read_to("/a 0").await;
    }
    let mut third = server.connect().await;
    for peer in [&mut third, &mut first] {
        peer.send(&get("/b")).await;
        peer.read_to("/b 0").await;
    }
    assert_eq!(second.read_to_end().await, "");
}

#[tokio::test]
async fn a_connection_is_evicted_only_after_its_request_is_answered() {
    let mut server = Server::start(patient(1)).await;
    let mut first = server.connect().await;
    first.send(&get("/wait")).await;
    server.logged("+/wait").await;
    let mut second = server.connect().await;
    second.send(&get("/b")).await;
    let early = timeout(A_MOMENT, server.log.recv()).await;
    assert!(early.is_err(), "there is no room");
    server.gate.add_permits(1);
    let answer = first.read_to_end().await;
    assert!(answer.ends_with("/wait 0"), "{answer}");
    second.read_to("/b 0").await;
}

#[tokio::test]
async fn a_request_is_answered_while_many_clients_are_stalled() {
    let head = "POST /a HTTP/1.1\r\nhost: x\r\n";
    for rude in [
        String::new(),
        "GET /a HT".to_owned(),
        format!("{head}content-length: 10\r\n\r\nabc"),
        format!("{head}content-length: 10\r\nexpect: 100-continue\r\n\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nab"),
        get("/large"),
        get("/a").repeat(100),
    ] {
        let server = Server::start(patient(8)).await;
        let mut standing = Vec::new();
        for _ in 0..40 {
            let mut peer = server.connect().await;
            peer.send(&rude).await;
            standing.push(peer);
        }
        let mut polite = server.connect().await;
        for number in 0..3 {
            polite.send(&get(&format!("/{number}-polite"))).await;
            polite.read_to(&format!("/{number}-polite 0")).await;
        }
    }
}
