//! The key sets of issuers: how long they are kept, when they are fetched anew, and what comes of an issuer that fails.

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

/// A token by the second RSA key, which lives through the day.
fn rotated() -> String {
    token(&header("RS256", "new"), &lasting(), Signer::Rs256(1))
}

fn lasting() -> serde_json::Value {
    with(claims(), "exp", json!(9_999_999_999_u64))
}

/// The same by the first.
fn old() -> String {
    token(&header("RS256", "k"), &lasting(), Signer::Rs256(0))
}

async fn list(world: &World, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    world.call("GET", "/v1/operations", &headers, "").await
}

async fn is(world: &World, token: &str, status: u16) {
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

fn later(world: &World, seconds: u64) {
    world.clock.advance(Duration::from_secs(seconds));
}

#[tokio::test]
async fn a_set_is_kept_for_ten_minutes_or_as_long_as_it_says() {
    for (said, seconds) in [
        (None, 600),
        (Some("max-age=3600"), 3600),
        (Some("max-age=5"), 60),
        (Some("max-age=0, no-store"), 60),
        (Some("max-age=999999999"), 86_400),
    ] {
        let mut answer = set(&[rsa_jwk("k", 0)]);
        if let Some(said) = said {
            answer = answer.header("cache-control", said);
        }
        let peer = issuer(answer).await;
        let world = world(&peer).await;
        for _ in 0..3 {
            is(&world, &old(), 200).await;
        }
        assert_eq!(fetches(&peer), 1, "{said:?}");
        later(&world, seconds - 1);
        is(&world, &old(), 200).await;
        assert_eq!(fetches(&peer), 1, "{said:?}");
        later(&world, 1);
        is(&world, &old(), 200).await;
        assert_eq!(fetches(&peer), 2, "{said:?}");
    }
    let asked = {
        let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
        is(&world(&peer).await, &old(), 200).await;
        peer.journal().remove(0)
    };
    assert_eq!((&*asked.method, &*asked.path), ("GET", "/keys"));
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn a_new_key_is_fetched_at_once_but_unknown_ones_only_once_a_minute() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    is(&world, &old(), 200).await;
    later(&world, 60);
    peer.answer_otherwise(set(&[rsa_jwk("k", 0), rsa_jwk("new", 1)]));
    is(&world, &rotated(), 200).await;
    assert_eq!(fetches(&peer), 2);
    for _ in 0..20 {
        is(&world, &good("unknown"), 401).await;
    }
    later(&world, 59);
    is(&world, &good("unknown"), 401).await;
    assert_eq!(fetches(&peer), 2);
    later(&world, 1);
    for _ in 0..20 {
        is(&world, &good("unknown"), 401).await;
    }
    assert_eq!(fetches(&peer), 3);
    // A key that is withdrawn opens no more.
    later(&world, 600);
    peer.answer_otherwise(set(&[rsa_jwk("new", 1)]));
    is(&world, &old(), 401).await;
    is(&world, &rotated(), 200).await;
}

/// What a set must be; anything else is none, and nobody is told that a token is bad.
#[tokio::test]
async fn without_a_set_nobody_is_judged() {
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
        is(&world, &old(), 503).await;
        later(&world, 4);
        is(&world, &old(), 503).await;
        assert_eq!(fetches(&peer), 1, "not at every request: {what:.80}");
        peer.answer_otherwise(keys(100));
        later(&world, 1);
        is(&world, &old(), 200).await;
    }
    assert!(elsewhere.journal().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn an_old_set_is_used_for_a_day_while_its_issuer_fails() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = world(&peer).await;
    is(&world, &old(), 200).await;
    peer.answer_otherwise(Reply::status(500));
    later(&world, 600);
    for _ in 0..5 {
        is(&world, &old(), 200).await;
    }
    assert_eq!(fetches(&peer), 2, "tried once a minute");
    // Whether this key is a new one cannot be said.
    is(&world, &rotated(), 503).await;
    is(
        &world,
        &token(&header("RS256", "k"), &lasting(), Signer::Rs256(1)),
        401,
    )
    .await;
    later(&world, 86_400 - 601);
    is(&world, &old(), 200).await;
    later(&world, 1);
    is(&world, &old(), 503).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_us_from_fetching() {
    let peer = issuer(Reply::status(500)).await;
    let world = world(&peer).await;
    is(&world, &old(), 503).await;
    world
        .clock
        .set(world.clock.now() - Duration::from_secs(7200));
    peer.answer_otherwise(set(&[rsa_jwk("k", 0)]));
    let early = with(lasting(), "nbf", json!(0));
    is(
        &world,
        &token(&header("RS256", "k"), &early, Signer::Rs256(0)),
        200,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fetch_serves_all_who_wait() {
    let peer = issuer(set(&[rsa_jwk("k", 0)])).await;
    let world = Arc::new(world(&peer).await);
    let crowd = async |token: fn() -> String| {
        let mut callers = JoinSet::new();
        for _ in 0..32 {
            let world = Arc::clone(&world);
            callers.spawn(async move { list(&world, &token()).await.status });
        }
        callers.join_all().await
    };
    assert_eq!(crowd(old).await, [200; 32]);
    assert_eq!(fetches(&peer), 1);
    // A key that nobody knew a moment ago.
    peer.answer_otherwise(set(&[rsa_jwk("new", 1)]));
    later(&world, 60);
    assert_eq!(crowd(rotated).await, [200; 32]);
    assert_eq!(fetches(&peer), 2);
}

/// The guard judges a name when it is resolved, an address when the configuration is read.
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
    is(&world, &old(), 503).await;
    assert!(peer.journal().is_empty());
}

/// A caller that goes away in the middle does not take the fetch along.
#[tokio::test]
async fn a_fetch_outlives_the_caller_that_needed_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrives, may_answer) = (Arc::clone(&arrived), Arc::clone(&go));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
        arrives.notify_one();
        may_answer.notified().await;
        let body = json!({ "keys": [rsa_jwk("k", 0)] }).to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Nobody comes a second time.
        drop(listener);
    });
    let world = world_at(&format!("http://{address}/keys")).await;
    let request = http::Request::get("/v1/operations")
        .header("authorization", format!("Bearer {}", old()))
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
    go.notify_one();
    is(&world, &old(), 200).await;
}
