//! The corpora of `shared/courier-core/tests/corpora` over HTTP: every refusal is a problem document with the status
//! that the case expects, no spelling of an address makes courier call its own machine, and the server keeps answering.

#[path = "../../../../../shared/courier-core/tests/corpora/cases.rs"]
#[expect(dead_code, reason = "the other corpora have no HTTP")]
mod cases;
#[path = "../../../../../shared/courier-core/tests/corpora/doors.rs"]
mod doors;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use courier_testkit::world::{Answer, TICKETS_KEY, World};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::input::corpora::cases::cases;
use crate::input::corpora::doors::Sent;
use crate::input::fields::{public, schedule};

/// Sends a POST of the tickets client with `Prefer: respond-async`; `headers` replace the default ones.
async fn send(world: &World, mut headers: HeaderMap, body: Vec<u8>) -> Answer {
    let usual = [
        ("content-type", "application/json"),
        ("prefer", "respond-async"),
        ("x-api-key", TICKETS_KEY),
    ];
    for (name, value) in usual {
        let credentials = name == "x-api-key" && headers.contains_key("authorization");
        if !headers.contains_key(name) && !credentials {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    let url = format!("{}/v1/operations", world.api);
    let request = world.http.post(url).headers(headers).body(body);
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let bytes = answer.bytes().await.unwrap();
    let body: Value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{status} {headers:?}: {error}"));
    Answer {
        status,
        headers,
        body,
    }
}

/// Returns the status and, of a refusal, the problem type, after checking the problem document.
fn status_and_problem(answer: &Answer) -> String {
    if answer.status < 300 {
        return answer.status.to_string();
    }
    let problem = answer.problem();
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert_eq!(answer.body["status"], answer.status, "{answer:?}");
    assert!(!answer.body.to_string().contains("canary"), "{answer:?}");
    format!("{} {problem}", answer.status)
}

async fn assert_still_answers(world: &World) {
    let answer = world.post(&schedule()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(world.operation(&answer.id()).await["id"], answer.id());
}

fn key(line: usize) -> HeaderMap {
    let value = format!("line {line}").parse().unwrap();
    HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), value)])
}

/// Checks that each request gets the answer of its case, and that the server still answers afterwards.
async fn assert_answers(sent: Vec<Sent>) {
    let world = World::with(public).await;
    for request in sent {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let answer = send(&world, headers, request.body).await;
        assert_eq!(
            status_and_problem(&answer),
            request.answer,
            "{}: {:?}",
            request.name,
            answer.body
        );
    }
    assert_still_answers(&world).await;
}

#[tokio::test]
async fn every_json_case_of_the_corpus_gets_its_expected_answer() {
    assert_answers(doors::json()).await;
}

#[tokio::test]
async fn every_body_of_the_corpus_gets_its_expected_answer() {
    assert_answers(doors::bodies()).await;
}

#[tokio::test]
async fn every_header_of_the_corpus_gets_its_expected_answer() {
    assert_answers(doors::heads(schedule().to_string().as_bytes())).await;
}

/// Listeners on every address of this machine that a spelling may resolve to.
struct Canaries(Vec<TcpListener>);

impl Canaries {
    fn new() -> Self {
        let bind = |address| {
            let listener = TcpListener::bind((address, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Self(["127.0.0.1", "127.0.0.2", "::1"].map(bind).into())
    }

    fn ports(&self) -> Vec<u16> {
        let addresses = self.0.iter().map(|canary| canary.local_addr().unwrap());
        addresses.map(|address| address.port()).collect()
    }

    /// Checks that no listener was called, and that a call would have been noticed.
    fn assert_silent(&self) {
        for canary in &self.0 {
            let seen = canary.accept().map(|(_, peer)| peer);
            assert_eq!(seen.unwrap_err().kind(), ErrorKind::WouldBlock);
            let _caller = TcpStream::connect(canary.local_addr().unwrap()).unwrap();
            canary.accept().unwrap();
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_loopback_address_is_called() {
    let canaries = Canaries::new();
    let world = World::with(public).await;
    for case in cases(cases::SPELLINGS) {
        for port in canaries.ports() {
            for scheme in ["https", "http"] {
                let mut body = schedule();
                body["callback"]["url"] =
                    format!("{scheme}://{}:{port}/canary", case.text()).into();
                let answer = send(&world, key(case.line), body.to_string().into_bytes()).await;
                let found = status_and_problem(&answer);
                let refusals = ["400 invalid-request", "403 callback-forbidden"];
                assert!(refusals.contains(&&*found), "line {}: {found}", case.line);
                assert_eq!(answer.body["errors"][0]["pointer"], "/callback/url");
            }
        }
    }
    canaries.assert_silent();
    assert_still_answers(&world).await;
}

/// A name may be registered where a private network is allowed; the address it resolves to is checked at every attempt.
#[tokio::test]
async fn a_registered_name_of_this_machine_is_accepted_but_never_called() {
    let canaries = Canaries::new();
    let origins: Vec<String> = canaries
        .ports()
        .iter()
        .flat_map(|port| ["https", "http"].map(|scheme| format!("{scheme}://localhost:{port}")))
        .collect();
    let world = World::with(|setup| {
        let config = setup.config.replace("127.0.0.0/8", "10.0.0.0/8");
        setup.config = config.replace("{receiver}", &origins.join("\", \""));
    })
    .await;
    for (index, origin) in origins.iter().enumerate() {
        let mut body = schedule();
        body["callback"] = json!({ "url": format!("{origin}/canary") });
        let id = send(&world, key(index), body.to_string().into_bytes())
            .await
            .id();
        let operation = world.closed(&id).await;
        assert_eq!(operation["status"], "succeeded");
        assert_ne!(operation["callback"]["status"], "delivered");
    }
    canaries.assert_silent();
}
