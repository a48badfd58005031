//! Answers of Graph and of its token endpoint that cannot be used, byte by byte: after one look they show in reason,
//! history and log, and nothing waits in silence (invariant I14).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use courier_testkit::world::World;
use graph_simulator::{Action, Fault, StatusAction};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::callback::logs::Lines;

/// A Graph that gives tokens and otherwise answers with the bytes that a test has put there.
struct RawGraph {
    origin: String,
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl RawGraph {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(VecDeque::<Vec<u8>>::new()));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (to_give, seen) = (Arc::clone(&answers), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = request(&mut stream).await;
                let answer = if head.contains("/oauth2/") {
                    raw(
                        "200 OK\r\ncontent-type: application/json",
                        br#"{"access_token":"token-of-a-raw-graph","expires_in":"3599"}"#,
                    )
                } else {
                    to_give.lock().unwrap().pop_front().unwrap_or_default()
                };
                seen.lock().unwrap().push(head);
                // A client that has heard enough may be gone.
                let _ = stream.write_all(&answer).await;
            }
        });
        Self {
            origin,
            answers,
            heads,
        }
    }

    fn answer(&self, bytes: Vec<u8>) {
        self.answers.lock().unwrap().push_back(bytes);
    }

    async fn world(&self) -> World {
        World::with(|setup| setup.config = setup.config.replace("{graph}", &self.origin)).await
    }
}

/// Reads one request and returns its head.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lengths = head.lines().filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                value.trim().parse::<usize>().ok().filter(|_| is_length)
            });
            if body.len() >= lengths.sum::<usize>() {
                return head.to_owned();
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) => return text,
        }
    }
}

/// Returns an answer of this status line and headers, with the right length.
fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

const JSON: &str = "200 OK\r\ncontent-type: application/json";
const RUNNING: &[u8] = br#"{"provisionStatus":"Running"}"#;
const DONE: &[u8] = br#"{"provisionStatus":"Completed","enabled":true}"#;
const GZIP: &str = "200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip";

async fn last_line(world: &World, id: &str) -> Value {
    let history = world.get(&format!("/v1/operations/{id}/history")).await;
    let lines = history.body["history"].as_array().unwrap().clone();
    lines.last().unwrap().clone()
}

/// Answers to a poll, each with what the history says about it.
fn unusable() -> Vec<(Vec<u8>, &'static str)> {
    let utf16: Vec<u8> =
        r#"{"provisionStatus":"Completed"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cut = [&raw(JSON, DONE)[..], b""].concat();
    let html = "200 OK\r\ncontent-type: text/html; charset=utf-8";
    let answered = |status: &str, body: &str| {
        raw(
            &format!("{status}\r\ncontent-type: application/json"),
            body.as_bytes(),
        )
    };
    vec![
        (
            raw(html, b"<html>Sign in</html>"),
            "Graph answered 200 (text/html), but its body is not JSON",
        ),
        (raw("200 OK", b""), "Graph answered 200, but it has no body"),
        (
            raw(JSON, b"{}"),
            "Graph answered 200 (application/json), but its body has no status at /provisionStatus",
        ),
        (
            raw(JSON, &DONE[..20]),
            "Graph answered 200 (application/json), but its body is JSON that ends too early",
        ),
        (
            cut[..cut.len() - 3].to_vec(),
            "Graph answered 200 (application/json), but its body was cut off or came too slowly",
        ),
        (
            raw(JSON, " ".repeat(300_000).as_bytes()),
            "Graph answered 200 (application/json), but its body is longer than 256 KiB",
        ),
        (
            raw(GZIP, b"\x1f\x8b\x08\x00"),
            "Graph answered 200 (application/json), but its body is compressed, although it was asked for uncompressed",
        ),
        (
            raw(JSON, &utf16),
            "Graph answered 200 (application/json), but its body is UTF-16 or UTF-32, not UTF-8",
        ),
        (
            raw(JSON, b"{\"provisionStatus\":\"\xff\"}"),
            "Graph answered 200 (application/json), but its body is not UTF-8",
        ),
        (
            raw("204 No Content", b""),
            "Graph answered 204, but it has no body",
        ),
        (
            raw("302 Found\r\nlocation: /elsewhere", b""),
            "Graph answered 302; no redirect is followed",
        ),
        (
            raw("502 Bad Gateway\r\ncontent-type: text/html", b"<html/>"),
            "Graph answered 502 (text/html); its body is not JSON",
        ),
        (
            answered(
                "503 Service Unavailable",
                "\u{feff}{\"error\":{\"code\":\"serviceNotAvailable\",\"message\":\"m\"}}",
            ),
            "Graph answered 503 serviceNotAvailable",
        ),
        (
            answered(
                "400 Bad Request",
                r#"{"error":{"code":"badRequest","message":"m","innerError":{"code":"invalidThing"}}}"#,
            ),
            "Graph answered 400 invalidThing",
        ),
        (
            b"nonsense\r\n\r\n".to_vec(),
            "the connection ended before the answer",
        ),
    ]
}

#[tokio::test]
async fn what_came_instead_of_a_status_shows_after_one_look() {
    let graph = RawGraph::start().await;
    let (logged, _guard) = Lines::listen();
    let world = graph.world().await;
    graph.answer(raw(JSON, RUNNING));
    let answer = world.post(&world.schedule()).await;
    assert_eq!(answer.body["status"], "running", "{answer:?}");
    let id = answer.id();
    let mut told = Vec::new();
    for (bytes, detail) in unusable() {
        graph.answer(bytes);
        world.jump().await;
        assert_eq!(
            world.operation(&id).await["reason"],
            "no_usable_answer",
            "{detail}"
        );
        let line = last_line(&world, &id).await;
        assert_eq!(line["event"], "noUsableAnswer", "{detail}");
        assert_eq!(line["detail"], detail);
        told.push(detail);
    }
    let warnings = logged.about("gave no usable answer");
    let details: Vec<_> = warnings
        .iter()
        .map(|line| line["fields"]["detail"].clone())
        .collect();
    // The log is spared lines of one status within a minute; the first of each status is there.
    for detail in [told[0], told[9], told[10], told[11], told[12]] {
        assert!(details.contains(&detail.into()), "{detail}: {details:?}");
    }
    // A byte order mark is no trouble (RFC 8259 §8.1).
    graph.answer(raw(JSON, &[b"\xEF\xBB\xBF", DONE].concat()));
    let closed = world.closed(&id).await;
    assert_eq!(closed["status"], "succeeded");
    assert_eq!(closed["reason"], Value::Null);
    let heads = graph.heads.lock().unwrap().clone();
    assert!(heads.len() > 15);
    for head in heads {
        assert!(head.contains("accept-encoding: identity"), "{head}");
    }
    let callback = world.receiver.journal().remove(0);
    assert_eq!(callback.header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn refused_poll_names_graphs_code_and_the_error_of_its_challenge() {
    let graph = RawGraph::start().await;
    let world = graph.world().await;
    graph.answer(raw(JSON, RUNNING));
    let id = world.post(&world.schedule()).await.id();
    let challenge = "401 Unauthorized\r\nwww-authenticate: Bearer error=\"insufficient_claims\", claims=\"eyJhbGciOi\"\r\ncontent-type: application/json\r\nrequest-id: 5a6c9e0a-0000-4000-8000-000000000000";
    let body = br#"{"error":{"code":"InvalidAuthenticationToken","message":"token canary@contoso.example"}}"#;
    // The poll is repeated at once with another token.
    graph.answer(raw(challenge, body));
    graph.answer(raw(challenge, body));
    world.jump().await;
    assert_eq!(world.operation(&id).await["reason"], "authorization_lost");
    let line = last_line(&world, &id).await;
    assert_eq!(
        line["detail"],
        "needs Schedule.ReadWrite.All; Graph answered 401 InvalidAuthenticationToken (WWW-Authenticate: insufficient_claims)"
    );
    assert_eq!(line["httpStatus"], 401, "{line}");
    assert_eq!(line["requestId"], "5a6c9e0a-0000-4000-8000-000000000000");
    assert!(!line.to_string().contains("canary"), "{line}");
    graph.answer(raw(JSON, DONE));
    assert_eq!(world.closed(&id).await["status"], "succeeded");
}

#[tokio::test]
async fn start_is_no_lost_answer_because_of_its_headers() {
    let many = |count: usize| {
        let headers = (0..count).map(|number| format!("\r\nx-filler-{number}: 1"));
        format!("{JSON}{}", headers.collect::<String>())
    };
    let long = format!("{JSON}\r\nx-long: {}", "a".repeat(60_000));
    for head in [
        many(150),
        many(900),
        long,
        format!("{JSON}\r\nx-folded: one,\r\n two"),
        format!("{JSON}\r\nx-latin: \u{e9}\u{fffd}"),
        format!("{JSON}\r\nx bad name: 1"),
        format!("{JSON}\r\nlocation: /one\r\nlocation: /two"),
    ] {
        let graph = RawGraph::start().await;
        let world = graph.world().await;
        graph.answer(raw(&head, DONE));
        let answer = world.post(&world.schedule()).await;
        let told: String = head.chars().take(120).collect();
        assert_eq!(answer.body["status"], "succeeded", "{told}: {answer:?}");
    }
    // With more than that an answer is lost, as one that was cut off is.
    let graph = RawGraph::start().await;
    let world = graph.world().await;
    graph.answer(raw(&many(1100), DONE));
    let answer = world.post(&world.schedule()).await;
    assert_eq!(answer.body["status"], "starting", "{answer:?}");
    assert_eq!(answer.body["reason"], "no_usable_answer");
    let line = last_line(&world, &answer.id()).await;
    assert_eq!(line["event"], "startAnswerLost");
}

#[tokio::test]
async fn start_that_a_proxy_answers_is_lost_and_its_page_is_named() {
    let graph = RawGraph::start().await;
    let world = graph.world().await;
    let page = "502 Bad Gateway\r\ncontent-type: text/html; charset=us-ascii";
    graph.answer(raw(page, b"<html><body>Bad Gateway</body></html>"));
    let answer = world.post(&world.export("dsar")).await;
    assert_eq!(
        (&answer.body["status"], &answer.body["reason"]),
        (&"starting".into(), &"no_usable_answer".into())
    );
    let line = last_line(&world, &answer.id()).await;
    assert_eq!(line["event"], "startAnswerLost");
    assert_eq!(
        line["detail"],
        "Graph answered 502 (text/html); its body is not JSON"
    );
}

/// Starts a schedule while the token endpoint answers like this; returns the reason and the detail of the last line.
async fn without_a_token(status: u16, body: &Value) -> (Value, String) {
    let world = World::new().await;
    let action = StatusAction {
        status,
        body: Some(body.to_string()),
        ..StatusAction::default()
    };
    let fault = Fault::new("token", Action::Status(Box::new(action)));
    world.simulator.script(fault);
    let (logged, _guard) = Lines::listen();
    let answer = world.post(&world.schedule()).await;
    let line = last_line(&world, &answer.id()).await;
    let text = format!("{answer:?} {line} {:?}", logged.about(""));
    assert!(!text.contains("canary"), "{text}");
    assert_eq!(line["event"], "startPostponed", "{line}");
    let closed = world.closed(&answer.id()).await;
    assert_eq!(closed["status"], "succeeded");
    let detail = line["detail"].as_str().unwrap().to_owned();
    (answer.body["reason"].clone(), detail)
}

#[tokio::test]
async fn refusal_of_the_token_endpoint_is_named_by_error_number_and_trace() {
    let trace = "5a6c9e0a-0000-4000-8000-000000000000";
    let refusal = |error: &str, code: u64| {
        json!({
            "error": error, "error_codes": [code], "trace_id": trace,
            "error_description": format!("AADSTS{code}: canary of the tenant"),
        })
    };
    let refused = without_a_token(401, &refusal("invalid_client", 7_000_215)).await;
    let detail = format!(
        "authorization_lost: the token endpoint answered 401 invalid_client (AADSTS7000215, trace {trace})"
    );
    assert_eq!(refused, ("authorization_lost".into(), detail));
    for code in [90_006, 90_012, 90_024, 90_033, 90_055, 90_090] {
        let (reason, _) = without_a_token(400, &refusal("invalid_request", code)).await;
        assert_eq!(reason, "no_usable_answer", "{code}");
    }
    for error in ["temporarily_unavailable", "server_error"] {
        let (reason, _) = without_a_token(400, &refusal(error, 1)).await;
        assert_eq!(reason, "no_usable_answer", "{error}");
    }
    let (reason, detail) = without_a_token(200, &json!({ "token": "canary" })).await;
    assert_eq!(reason, "authorization_lost");
    assert!(detail.contains("answered 200"), "{detail}");
}

#[tokio::test]
async fn schedule_that_exists_after_a_lost_answer_is_looked_at_and_not_unknown() {
    let status = |status, code: &str, processed| {
        Action::Status(Box::new(StatusAction {
            status,
            code: Some(code.to_owned()),
            processed,
            ..StatusAction::default()
        }))
    };
    // What was never put does not come to be there by looking: it runs into its deadline.
    for (processed, expected) in [(true, "succeeded"), (false, "expired")] {
        let cut_off = match processed {
            true => Action::LostAfter,
            false => Action::LostBefore,
        };
        for lost in [status(500, "generalException", processed), cut_off] {
            let world = World::with(|setup| {
                setup.timeouts.graph = Duration::from_millis(400);
            })
            .await;
            let name = format!("{lost:?}");
            world.simulator.script(Fault::new("schedule.start", lost));
            let exists = status(409, "ResourceExists", false);
            world.simulator.script(Fault::new("schedule.start", exists));
            let id = world.post(&world.schedule()).await.id();
            let closed = world.closed(&id).await;
            assert_eq!(closed["status"], expected, "{name}: {closed}");
            assert_eq!(closed["adopted"], true, "{name}");
            assert_eq!(world.simulator.calls("schedule.start").len(), 2, "{name}");
            assert!(!world.simulator.calls("schedule.poll").is_empty(), "{name}");
        }
    }
}
