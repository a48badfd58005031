//! Consideration for receivers: the circuit breaker for one that fails, the limit on concurrent deliveries, the
//! CloudEvents handshake; and access tokens for a receiver that has a token endpoint.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::engine::step::step;
use courier_local::worker;
use courier_testkit::receiver::{Answer, Callback};
use courier_testkit::world::World;
use jiff::Timestamp;
use serde_json::json;

use crate::callback::profiles::world;

/// Asks for an operation of its own team, whose callback goes to `/as/NUMBER`, and returns its id.
pub(crate) async fn post(world: &World, number: usize) -> String {
    let mut body = world.schedule();
    body["parameters"]["teamId"] = json!(format!("871dbd5c-3a6a-4392-bfe1-{number:012}"));
    body["callback"]["url"] = json!(world.receiver.url(&format!("/as/{number}")));
    world.post(&body).await.id()
}

/// Returns the ids of `count` operations, each for another team, that have ended and whose first callback was due.
pub(crate) async fn ended(world: &World, count: usize) -> Vec<String> {
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(post(world, number).await);
    }
    world.work().await;
    ids
}

fn tries(journal: &[Callback], path: &str) -> usize {
    journal
        .iter()
        .filter(|callback| callback.path == path)
        .count()
}

#[tokio::test]
async fn a_failing_receiver_gets_few_attempts_and_loses_no_callback() {
    let world = World::new().await;
    world.receiver.answer_otherwise(Answer::status(503));
    let ids = ended(&world, 40).await;
    // Five of the deliveries that are due fail and open the circuit breaker; the others wait without an attempt.
    assert_eq!(world.receiver.journal().len(), 5);
    let mut attempts = 0;
    for id in &ids {
        let operation = world.operation(id).await;
        attempts += operation["callback"]["attempts"].as_u64().unwrap();
    }
    assert_eq!(
        attempts, 5,
        "a delivery that waits for the circuit breaker is no attempt"
    );
    world.advance(Duration::from_secs(29)).await;
    assert_eq!(world.receiver.journal().len(), 5);
    // One delivery is tried; it fails, and the pause is doubled.
    world.advance(Duration::from_secs(12)).await;
    assert_eq!(world.receiver.journal().len(), 6);
    world.advance(Duration::from_secs(50)).await;
    assert_eq!(world.receiver.journal().len(), 6);
    world.receiver.answer_otherwise(Answer::status(204));
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(world.closed(id).await["callback"]["status"], "delivered");
        assert!(tries(&world.receiver.journal(), &format!("/as/{number}")) <= 3);
    }
}

#[tokio::test]
async fn a_receiver_that_fails_for_hours_gets_one_attempt_every_five_minutes() {
    let world = World::new().await;
    world.receiver.answer_otherwise(Answer::Close);
    let ids = ended(&world, 30).await;
    for _ in 0..90 {
        world.advance(Duration::from_secs(120)).await;
    }
    let tried = world.receiver.journal().len();
    assert!(
        (30..=50).contains(&tried),
        "{tried} attempts in three hours"
    );
    world.receiver.answer_otherwise(Answer::status(200));
    for id in ids {
        assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    }
}

/// A 404 concerns one callback, not the receiver, so it does not count for the circuit breaker.
#[tokio::test]
async fn a_callback_refused_with_404_delays_no_other() {
    let world = World::new().await;
    world.receiver.answer_otherwise(Answer::status(404));
    ended(&world, 30).await;
    assert_eq!(world.receiver.journal().len(), 30);
}

/// Works off one message after the other until none is due.
async fn work_one_by_one(world: &World) {
    let one = |message, receives| {
        let app = Arc::clone(&world.app);
        async move { step(&app, &message, receives, Timestamp::MAX).await }
    };
    let now = world.clock.now();
    while worker::drain(&world.database, now, 1, one).await > 0 {}
}

#[tokio::test]
async fn concurrent_deliveries_to_one_receiver_stay_within_the_limit() {
    let world = World::with(|setup| {
        let network = "allow_networks = [\"127.0.0.0/8\"]";
        let limited = format!("{network}\nin_flight_per_host = 3");
        setup.config = setup.config.replace(network, &limited);
    })
    .await;
    world.simulator.set_durations(|d| d.schedule_seconds = 30.0);
    world.receiver.answer_otherwise(Answer::Hang);
    let mut ids = Vec::new();
    for number in 0..12 {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = json!(format!("871dbd5c-3a6a-4392-bfe1-{number:012}"));
        ids.push(world.post(&body).await.id());
    }
    // All jobs end before their next poll, so all callbacks are due together.
    world.clock.advance(Duration::from_secs(90));
    let mut parked = 0;
    let nine_wait = async {
        while parked < 9 {
            parked += world
                .app
                .metrics
                .take()
                .callbacks
                .get("parked")
                .unwrap_or(&0);
            tokio::task::yield_now().await;
        }
        world.receiver.arrived(3).await;
    };
    // Three deliveries hang; the work is abandoned, as if its process had died.
    let one = || work_one_by_one(&world);
    let four = async { tokio::join!(one(), one(), one(), one()) };
    tokio::select! {
        _ = four => panic!("three deliveries hang"),
        () = nine_wait => {}
    }
    assert_eq!(world.receiver.journal().len(), 3);
    world.receiver.answer_otherwise(Answer::status(204));
    for id in ids {
        assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    }
}

#[tokio::test]
async fn a_handshake_is_repeated_until_permitted_and_not_after() {
    let world = World::with(|setup| {
        let text = setup.config.replace(
            "[clients.hr]",
            "[clients.tickets.callback]\nhandshake = true\n[clients.hr]",
        );
        let network = "allow_networks = [\"127.0.0.0/8\"]";
        setup.config = text.replace(network, &format!("{network}\norigin = \"courier.example\""));
    })
    .await;
    for refusal in [
        Answer::status(405),
        Answer::status(200),
        Answer::status(200).header("webhook-allowed-origin", "other.example"),
        Answer::status(403).header("webhook-allowed-origin", "*"),
        Answer::Close,
    ] {
        world.receiver.answer_next(refusal);
    }
    let permit = Answer::status(200).header("webhook-allowed-origin", "courier.example");
    world.receiver.answer_next(permit);
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let id = world.post(&world.schedule()).await.id();
    let closed = world.closed(&id).await;
    assert_eq!(closed["callback"]["status"], "delivered");
    assert_eq!(closed["callback"]["attempts"], 6);
    let second = world.post(&world.goals()).await.id();
    world.closed(&second).await;
    let journal = world.receiver.journal();
    let methods: Vec<&str> = journal
        .iter()
        .map(|callback| callback.method.as_str())
        .collect();
    let handshakes = ["OPTIONS"; 6];
    assert_eq!(methods, [&handshakes[..], &["POST", "POST"]].concat());
    for callback in &journal[..6] {
        assert_eq!(
            callback.header("webhook-request-origin"),
            Some("courier.example")
        );
        assert!(callback.body.is_empty() && callback.header("webhook-id").is_none());
    }
}

pub(crate) const OAUTH: &str = r#"
profile = "servicenow-scripted"
[clients.tickets.callback.oauth2]
token_url = "{receiver}/as/oauth_token.do"
client_id = "courier"
client_secret = "env:RECEIVER_OAUTH"
scope = "graph"
"#;

fn token(token: &str, expires_in: u64) -> Answer {
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
    Answer::Status {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into(),
    }
}

#[tokio::test]
async fn an_access_token_is_fetched_once_reused_and_replaced_when_it_is_refused() {
    let world = world(OAUTH).await;
    let next = |answer| world.receiver.answer_next(answer);
    next(Answer::status(500));
    next(token("canary-first-token", 3600));
    next(Answer::status(204));
    next(Answer::status(204));
    // The token is revoked before it expires.
    next(Answer::status(401));
    next(token("canary-second-token", 3600));
    next(Answer::status(204));
    for id in ended(&world, 3).await {
        let closed = world.closed(&id).await;
        assert_eq!(closed["callback"]["status"], "delivered", "{closed}");
    }
    let journal = world.receiver.journal();
    let seen: Vec<(&str, Option<&str>)> = journal
        .iter()
        .map(|call| {
            let fetch = call.path.ends_with("/oauth_token.do");
            (
                if fetch { "token" } else { "callback" },
                call.header("authorization"),
            )
        })
        .collect();
    let (first, second) = ("Bearer canary-first-token", "Bearer canary-second-token");
    assert_eq!(
        seen,
        [
            ("token", None),
            ("token", None),
            ("callback", Some(first)),
            ("callback", Some(first)),
            ("callback", Some(first)),
            ("token", None),
            ("callback", Some(second)),
        ]
    );
    let form = String::from_utf8_lossy(&journal[0].body).into_owned();
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=courier&client_secret=canary-receiver-oauth-secret&scope=graph"
    );
}

#[tokio::test]
async fn an_access_token_that_cannot_be_had_is_asked_for_once_and_is_no_delivery_attempt() {
    let world = world(OAUTH).await;
    world.receiver.answer_next(Answer::retry_after(429, "120"));
    let ids = ended(&world, 3).await;
    world.work().await;
    assert_eq!(world.receiver.journal().len(), 1, "one request for all");
    for id in &ids {
        let waiting = world.operation(id).await;
        assert_eq!(waiting["callback"]["attempts"], 0, "{waiting}");
    }
    world.receiver.answer_next(token("canary-token", 3600));
    world.advance(Duration::from_secs(119)).await;
    assert_eq!(
        world.receiver.journal().len(),
        1,
        "before the pause is over"
    );
    for id in &ids {
        let closed = world.closed(id).await;
        assert_eq!(closed["callback"]["status"], "delivered", "{closed}");
        assert_eq!(closed["callback"]["attempts"], 1, "{closed}");
    }
}

/// RFC 6749, section 2.3.1: the id and the secret are form-encoded before they go into the Basic header.
#[tokio::test]
async fn client_secret_basic_sends_id_and_secret_in_the_header() {
    let basic = "client_authentication = \"client_secret_basic\"\n";
    let oauth = format!("{}{basic}", OAUTH.replace("\"courier\"", "\"courier:ü 1\""));
    let world = world(&oauth).await;
    world.receiver.answer_next(token("canary-token", 3600));
    let id = ended(&world, 1).await.remove(0);
    assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    let token_request = &world.receiver.journal()[0];
    let pair = "courier%3A%C3%BC+1:canary-receiver-oauth-secret";
    let expected = format!("Basic {}", STANDARD.encode(pair));
    assert_eq!(token_request.header("authorization"), Some(&*expected));
    assert_eq!(
        String::from_utf8_lossy(&token_request.body),
        "grant_type=client_credentials&scope=graph"
    );
}

#[test]
fn a_token_url_obeys_the_same_rules_as_a_callback_url() {
    for (url, rule) in [
        (
            "https://169.254.169.254/token",
            "must not point to a private or local address",
        ),
        (
            "https://metadata.google.internal/token",
            "must not point to a private or local address",
        ),
        (
            "https://localhost/token",
            "must not point to a private or local address",
        ),
        (
            "http://login.example/token",
            "must be https unless allow_networks is set",
        ),
        (
            "https://user@login.example/token",
            "must not carry user information",
        ),
        ("/token", "must be an absolute URL"),
    ] {
        let text = courier_testkit::tenants::CONFIG
            .replace(
                "[clients.hr]",
                &format!("[clients.tickets.callback]{OAUTH}\n[clients.hr]"),
            )
            .replace("{receiver}/as/oauth_token.do", url)
            .replace("allow_networks = [\"127.0.0.0/8\"]", "")
            .replace("{graph}", "http://127.0.0.1:1")
            .replace("{receiver}", "https://tickets.example");
        let catalogue = courier_core::catalogue::Catalogue::shipped();
        let resolve = &courier_testkit::tenants::resolve;
        let Err(errors) = courier_core::config::Config::parse(&text, catalogue, resolve) else {
            panic!("{url} was accepted");
        };
        let error = format!("clients.tickets.callback.oauth2.token_url: {rule}");
        assert_eq!(errors.texts(), [error], "{url}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_redirects_is_not_followed() {
    let world = world(OAUTH).await;
    let elsewhere = world.receiver.url("/as/elsewhere");
    world.receiver.answer_next(Answer::redirect(&elsewhere));
    world.receiver.answer_next(token("t", 60));
    let id = ended(&world, 1).await.remove(0);
    world.closed(&id).await;
    let paths: Vec<String> = world
        .receiver
        .journal()
        .into_iter()
        .map(|call| call.path)
        .collect();
    assert_eq!(paths, ["/as/oauth_token.do", "/as/oauth_token.do", "/as/0"]);
}
