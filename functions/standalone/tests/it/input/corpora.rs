//! The corpora of `shared/courier-core/tests/corpora` through the front door: every refusal is a problem document with the
//! status that is written beside the case, no spelling makes us call ourselves, and the server answers on.

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

/// A POST of the tickets client that waits for nothing; `headers` go before what is usual.
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
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    Answer {
        status,
        headers,
        body,
    }
}

/// Status and problem, as a refusal must have them, or the status alone.
fn told(answer: &Answer) -> String {
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

/// Each gets the answer that is written beside it, and the server answers on.
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
            told(&answer),
            request.answer,
            "{}: {:?}",
            request.name,
            answer.body
        );
    }
    assert_still_answers(&world).await;
}

#[tokio::test]
async fn no_json_body_is_more_than_a_mistake_of_its_sender() {
    assert_answers(doors::json()).await;
}

#[tokio::test]
async fn every_body_gets_the_answer_that_is_written_beside_it() {
    assert_answers(doors::bodies()).await;
}

#[tokio::test]
async fn every_header_gets_the_answer_that_is_written_beside_it() {
    assert_answers(doors::heads(schedule().to_string().as_bytes())).await;
}

/// Listeners on every address of this machine that a spelling may mean.
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

    /// Nobody has come; and had somebody come, it would be known.
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
async fn no_spelling_of_this_machine_is_called() {
    let canaries = Canaries::new();
    let world = World::with(public).await;
    for case in cases(cases::SPELLINGS) {
        for port in canaries.ports() {
            for scheme in ["https", "http"] {
                let mut body = schedule();
                body["callback"]["url"] =
                    format!("{scheme}://{}:{port}/canary", case.text()).into();
                let answer = send(&world, key(case.line), body.to_string().into_bytes()).await;
                let told = told(&answer);
                let refusals = ["400 invalid-request", "403 callback-forbidden"];
                assert!(refusals.contains(&&*told), "line {}: {told}", case.line);
                assert_eq!(answer.body["errors"][0]["pointer"], "/callback/url");
            }
        }
    }
    canaries.assert_silent();
    assert_still_answers(&world).await;
}

/// Where a private network is allowed a name may be registered; what it resolves to is judged at every attempt.
#[tokio::test]
async fn a_registered_name_of_this_machine_is_taken_but_never_called() {
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
