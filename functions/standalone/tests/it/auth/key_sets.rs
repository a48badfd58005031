//! The key sets of issuers: how long they are cached, when they are fetched again, and what happens when a fetch fails.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use courier_testkit::receiver::{Answer as Reply, Receiver};
use courier_testkit::world::{Answer, World};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::auth::issuer::{
    AUDIENCE, ISSUER, Signer, claims, document, good, header, issuer, rsa_jwk, set, token, with,
    world, world_at,
};

/// Returns a token of the second RSA key that does not expire during a test.
fn new_key_token() -> String {
    token(&header("RS256", "new"), &lasting(), Signer::Rs256(1))
}

fn lasting() -> serde_json::Value {
    with(claims(), "exp", json!(9_999_999_999_u64))
}

/// Returns a token of the first RSA key that does not expire during a test.
fn old_key_token() -> String {
    token(&header("RS256", "k"), &lasting(), Signer::Rs256(0))
}

async fn list(world: &World, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    world.call("GET", "/v1/operations", &headers, "").await
}

async fn assert_status(world: &World, token: &str, status: u16) {
    let answer = list(world, token).await;
    assert_eq!(answer.status, status, "{answer:?}");
    if status == 503 {
        assert_eq!(answer.problem(), "unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
}

fn fetches(peer: &Receiver) -> usize {
    peer.journal().len()
}

fn advance_clock(world: &World, seconds: u64) {
    world.clock.advance(Duration::from_secs(seconds));
}

#[tokio::test]
async fn a_key_set_is_cached_for_ten_minutes_or_its_max_age() {
    for (cache_control, seconds) in [
        (None, 600),
        (Some("max-age=3600"), 3600),
        (Some("max-age=5"), 60),
        (Some("max-age=0, no-store"), 60),
        (Some("max-age=999999999"), 86_400),
    ] {
        let mut answer = set(&[rsa_jwk("k", 0)]);
        if let Some(cache_control) = cache_control {
            answer = answer.header("cache-control", cache_control);
        }
        let peer = issuer(answer).await;
        let world = world(&peer).await;
        for _ in 0..3 {
            assert_status(&world, &old_key_token(), 200).await;
        }
        assert_eq!(fetches(&peer), 1, "{cache_control:?}");
        advance_clock(&world, seconds - 1);
        assert_status(&world, &old_key_token(), 200).await;
        assert_eq!(fetches(&peer), 1, "{cache_control:?}");
        advance_clock(&world, 1);
        assert_status(&world, &old_key_token(), 200).await;
        assert_eq!(fetches(&peer), 2, "{cache_control:?}");
    }
    let fetched = {
        let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
        assert_status(&world(&peer).await, &old_key_token(), 200).await;
        peer.journal().remove(0)
    };
    assert_eq!((&*fetched.method, &*fetched.path), ("GET", "/keys"));
    assert_eq!(fetched.header("authorization"), None);
}

#[tokio::test]
async fn a_new_key_is_fetched_at_once_but_unknown_keys_at_most_once_a_minute() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    assert_status(&world, &old_key_token(), 200).await;
    advance_clock(&world, 60);
    peer.answer_otherwise(set(&[rsa_jwk("k", 0), rsa_jwk("new", 1)]));
    assert_status(&world, &new_key_token(), 200).await;
    assert_eq!(fetches(&peer), 2);
    for _ in 0..20 {
        assert_status(&world, &good("unknown"), 401).await;
    }
    advance_clock(&world, 59);
    assert_status(&world, &good("unknown"), 401).await;
    assert_eq!(fetches(&peer), 2);
    advance_clock(&world, 1);
    for _ in 0..20 {
        assert_status(&world, &good("unknown"), 401).await;
    }
    assert_eq!(fetches(&peer), 3);
    // A token of a withdrawn key is refused.
    advance_clock(&world, 600);
    peer.answer_otherwise(set(&[rsa_jwk("new", 1)]));
    assert_status(&world, &old_key_token(), 401).await;
    assert_status(&world, &new_key_token(), 200).await;
}

/// Without a valid key set a token can be neither accepted nor refused, so the answer is 503.
#[tokio::test]
async fn without_a_valid_key_set_a_token_is_answered_503() {
    let elsewhere = issuer(set(&[rsa_jwk("k", 0)])).await;
    let key = rsa_jwk("k", 0);
    let keys = |count: usize| set(&vec![key.clone(); count]);
    for answer in [
        Reply::status(500),
        Reply::status(404),
        Reply::status(204),
        Reply::redirect(&elsewhere.url("/keys")),
        Reply::Close,
        Reply::Huge { bytes: 10_000_000 },
        keys(101),
        document("{}".to_owned()),
        document("[]".to_owned()),
        document(r#"{"keys":{}}"#.to_owned()),
        document("<html>".to_owned()),
        document(format!(r#"{{"keys":[],"keys":[{key}]}}"#)),
        document(format!(r#"{{"keys":[{key}]}}{}"#, " ".repeat(256 * 1024))),
    ] {
        let what = format!("{answer:?}");
        let peer = issuer(answer).await;
        let world = world(&peer).await;
        assert_status(&world, &old_key_token(), 503).await;
        advance_clock(&world, 4);
        assert_status(&world, &old_key_token(), 503).await;
        assert_eq!(fetches(&peer), 1, "not at every request: {what:.80}");
        peer.answer_otherwise(keys(100));
        advance_clock(&world, 1);
        assert_status(&world, &old_key_token(), 200).await;
    }
    assert!(elsewhere.journal().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn a_cached_key_set_is_used_for_a_day_while_its_issuer_fails() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    assert_status(&world, &old_key_token(), 200).await;
    peer.answer_otherwise(Reply::status(500));
    advance_clock(&world, 600);
    for _ in 0..5 {
        assert_status(&world, &old_key_token(), 200).await;
    }
    assert_eq!(fetches(&peer), 2, "tried once a minute");
    // The unknown key may be new, which only a fetch can show, so this is no 401.
    assert_status(&world, &new_key_token(), 503).await;
    assert_status(
        &world,
        &token(&header("RS256", "k"), &lasting(), Signer::Rs256(1)),
        401,
    )
    .await;
    advance_clock(&world, 86_400 - 601);
    assert_status(&world, &old_key_token(), 200).await;
    advance_clock(&world, 1);
    assert_status(&world, &old_key_token(), 503).await;
}

#[tokio::test]
async fn a_clock_set_back_does_not_delay_the_next_fetch() {
    let peer = issuer(Reply::status(500)).await;
    let world = world(&peer).await;
    assert_status(&world, &old_key_token(), 503).await;
    world
        .clock
        .set(world.clock.now() - Duration::from_secs(7200));
    peer.answer_otherwise(set(&[rsa_jwk("k", 0)]));
    let early = with(lasting(), "nbf", json!(0));
    assert_status(
        &world,
        &token(&header("RS256", "k"), &early, Signer::Rs256(0)),
        200,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fetch_serves_all_waiting_callers() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = Arc::new(world(&peer).await);
    let crowd = async |token: fn() -> String| {
        let mut callers = JoinSet::new();
        for _ in 0..32 {
            let caller_world = Arc::clone(&world);
            callers.spawn(async move { list(&caller_world, &token()).await.status });
        }
        callers.join_all().await
    };
    assert_eq!(crowd(old_key_token).await, [200; 32]);
    assert_eq!(fetches(&peer), 1);
    // The new key is in no cached set, so all callers need a fetch.
    peer.answer_otherwise(set(&[rsa_jwk("new", 1)]));
    advance_clock(&world, 60);
    assert_eq!(crowd(new_key_token).await, [200; 32]);
    assert_eq!(fetches(&peer), 2);
}

/// A guarded call checks a host name when it is resolved; an address is checked when the configuration is read.
#[tokio::test]
async fn a_private_issuer_is_not_called() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let port = peer.origin().rsplit_once(':').unwrap().1.to_owned();
    let world = World::with(|setup| {
        let client = format!(
            r#"
[clients.tokens]
tenant = "contoso"
operations = ["team.schedule"]
[clients.tokens.jwt]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks_url = "http://localhost:{port}/keys"
required_scope = "Operations.Start"
[seal]
"#
        );
        setup.config = setup
            .config
            .replace("[seal]\n", &client)
            .replace("callback_origins = [\"{receiver}\"]\n", "")
            .replace("127.0.0.0/8", "10.0.0.0/8");
    })
    .await;
    assert_status(&world, &old_key_token(), 503).await;
    assert!(peer.journal().is_empty());
}

#[tokio::test]
async fn when_the_caller_that_fetches_disconnects_the_next_one_fetches() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let arrived = Arc::new(Notify::new());
    let arrives = Arc::clone(&arrived);
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        first.readable().await.unwrap();
        arrives.notify_one();
        let (mut second, _) = listener.accept().await.unwrap();
        let body = json!({ "keys": [rsa_jwk("k", 0)] }).to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        second.write_all(answer.as_bytes()).await.unwrap();
        // A third fetch would be refused.
        drop((listener, first));
    });
    let world = world_at(&format!("http://{address}/keys")).await;
    let request = http::Request::get("/v1/operations")
        .header("authorization", format!("Bearer {}", old_key_token()))
        .body(bytes::Bytes::new())
        .unwrap();
    {
        let mut call = pin!(courier_core::http::handle(
            &world.app,
            request,
            Timestamp::MAX
        ));
        tokio::select! {
            answer = &mut call => panic!("answered without the keys: {answer:?}"),
            () = arrived.notified() => {}
        }
    }
    assert_status(&world, &old_key_token(), 200).await;
    assert_status(&world, &old_key_token(), 200).await;
}
