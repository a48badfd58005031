//! What single kinds of receivers want or send: authorization schemes of their own, tokens for an audience, and pages that
//! answer in the receiver's place.

use std::time::Duration;

use courier_testkit::receiver::{Answer, Callback};
use courier_testkit::world::World;
use serde_json::{Value, json};

use crate::callback::circuit_breaker;
use crate::callback::profiles::world;

/// Answers like a web server: with a status, a media type (or none) and a body.
fn page(status: u16, media_type: Option<&str>, body: &str) -> Answer {
    let content_type = media_type.map(|text| ("content-type".to_owned(), text.to_owned()));
    Answer::Status {
        status,
        headers: content_type.into_iter().collect(),
        body: body.to_owned().into(),
    }
}

/// Ends an operation, whose callback goes to a place at which the receiver expects credentials, and returns its id.
async fn ended(world: &World) -> String {
    circuit_breaker::ended(world, 1).await.remove(0)
}

/// Delivers one completion and returns the requests that the receiver got for it.
async fn delivered(world: &World) -> Vec<Callback> {
    let id = ended(world).await;
    let closed = world.closed(&id).await;
    assert_eq!(closed["callback"]["status"], "delivered", "{closed}");
    world.receiver.journal()
}

#[tokio::test]
async fn a_token_goes_in_the_header_and_with_the_scheme_that_the_receiver_wants() {
    for (settings, header, value) in [
        ("", "authorization", "Bearer canary-receiver-token"),
        (
            "token_scheme = \"Splunk\"",
            "authorization",
            "Splunk canary-receiver-token",
        ),
        (
            "token_scheme = \"GenieKey\"",
            "authorization",
            "GenieKey canary-receiver-token",
        ),
        (
            "token_scheme = \"\"",
            "authorization",
            "canary-receiver-token",
        ),
        (
            "token_header = \"X-Api-Key\"",
            "x-api-key",
            "canary-receiver-token",
        ),
        (
            "token_header = \"Authorization\"\ntoken_scheme = \"Token\"",
            "authorization",
            "Token canary-receiver-token",
        ),
        (
            "token_header = \"X-Auth\"\ntoken_scheme = \"Bearer\"",
            "x-auth",
            "Bearer canary-receiver-token",
        ),
    ] {
        let table = format!("profile = \"generic\"\ntoken = \"env:RECEIVER_TOKEN\"\n{settings}");
        let world = world(&table).await;
        let callbacks = delivered(&world).await;
        assert_eq!(callbacks[0].header(header), Some(value), "{settings}");
        let credentials = ["authorization", "x-api-key", "x-auth"];
        let sent = credentials
            .iter()
            .filter(|name| callbacks[0].header(name).is_some());
        assert_eq!(sent.count(), 1, "{settings}");
    }
}

#[tokio::test]
async fn an_access_token_is_asked_for_with_the_audience_and_resource_of_the_receiver() {
    let table = r#"
profile = "generic"
[clients.tickets.callback.oauth2]
token_url = "{receiver}/as/token"
client_id = "courier"
client_secret = "env:RECEIVER_OAUTH"
audience = "https://api.tickets.example"
resource = "urn:tickets"
"#;
    let world = World::with(|setup| {
        let before = "[clients.hr]";
        let table = format!("[clients.tickets.callback]\n{table}\n{before}");
        setup.config = setup.config.replace(before, &table);
    })
    .await;
    let token = json!({ "access_token": "canary-token", "token_type": "Bearer" }).to_string();
    world
        .receiver
        .answer_next(page(200, Some("application/json"), &token));
    let requests = delivered(&world).await;
    let form: Vec<_> = url::form_urlencoded::parse(&requests[0].body)
        .into_owned()
        .collect();
    for (name, value) in [
        ("audience", "https://api.tickets.example"),
        ("resource", "urn:tickets"),
    ] {
        assert!(
            form.contains(&(name.to_owned(), value.to_owned())),
            "{form:?}"
        );
    }
    assert!(form.iter().all(|(name, _)| name != "scope"), "{form:?}");
    assert_eq!(
        requests[1].header("authorization"),
        Some("Bearer canary-token")
    );
}

const SERVICENOW: &str =
    "profile = \"servicenow-scripted\"\nusername = \"u\"\npassword = \"env:RECEIVER_PASSWORD\"";
const HIBERNATING: &str = "<html><title>Instance Hibernating page</title>";

#[tokio::test]
async fn a_page_in_the_place_of_a_receiver_that_answers_in_json_takes_no_completion() {
    let world = world(SERVICENOW).await;
    for (media_type, body) in [
        (Some("text/html; charset=utf-8"), HIBERNATING),
        (Some("application/xhtml+xml"), HIBERNATING),
        (None, HIBERNATING),
    ] {
        world.receiver.answer_next(page(200, media_type, body));
    }
    // A page that is so slow that nothing of it has come when the answer is judged.
    let pause = Duration::from_secs(3600);
    world.receiver.answer_next(Answer::Drip { bytes: 9, pause });
    let json = Some("application/JSON;charset=UTF-8");
    world
        .receiver
        .answer_next(page(200, json, "{\"result\":{}}"));
    let id = ended(&world).await;
    let closed = world.closed(&id).await;
    assert_eq!(
        (
            &closed["callback"]["status"],
            &closed["callback"]["attempts"]
        ),
        (&json!("delivered"), &json!(5))
    );
    let answer = world.get(&format!("/v1/operations/{id}/history")).await;
    let history = answer.body["history"].as_array().unwrap();
    let attempts = history
        .iter()
        .filter(|line| line["event"] == "callbackAttempt")
        .collect::<Vec<&Value>>();
    for attempt in &attempts[..4] {
        let detail = attempt["detail"].as_str().unwrap();
        assert!(detail.contains("is not JSON"), "{attempt}");
        assert_eq!(attempt["httpStatus"], 200);
    }
    assert_eq!(attempts[0]["answerType"], "text/html");
    assert_eq!(attempts[4]["detail"], Value::Null);
}

#[tokio::test]
async fn an_answer_without_a_body_and_any_answer_to_other_profiles_takes_the_completion() {
    for (settings, answer) in [
        (SERVICENOW, Answer::status(204)),
        (SERVICENOW, page(200, Some("text/html"), "")),
        (
            SERVICENOW,
            page(201, Some("application/problem+json"), "{}"),
        ),
        (
            "profile = \"servicenow-scripted\"\njson_only = false\nusername = \"u\"\npassword = \"env:RECEIVER_PASSWORD\"",
            page(200, Some("text/html"), HIBERNATING),
        ),
        (
            "profile = \"standard-webhooks\"",
            page(200, Some("text/html"), "ok"),
        ),
    ] {
        let world = world(settings).await;
        world.receiver.answer_next(answer);
        assert_eq!(delivered(&world).await.len(), 1, "{settings}");
    }
    let world = world("profile = \"standard-webhooks\"\njson_only = true").await;
    world
        .receiver
        .answer_next(page(200, Some("text/plain"), "ok"));
    assert_eq!(delivered(&world).await.len(), 2);
}

/// Five such answers in a row make the receiver count as down, like five errors.
#[tokio::test]
async fn a_receiver_whose_place_a_page_has_taken_is_left_alone() {
    let world = world(SERVICENOW).await;
    for _ in 0..5 {
        world
            .receiver
            .answer_next(page(200, Some("text/html"), HIBERNATING));
    }
    let ids = circuit_breaker::ended(&world, 6).await;
    let attempts = world.receiver.journal().len();
    assert_eq!(attempts, 5, "the sixth waits");
    for id in ids {
        assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
    }
}
