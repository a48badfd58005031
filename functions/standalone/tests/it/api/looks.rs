//! Where and when to look again: `Location` and `Retry-After` of every 202.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use courier_core::http::{RemovedPrefix, handle};
use courier_testkit::receiver::Answer as Reply;
use courier_testkit::world::{Answer, TICKETS_KEY, World};
use graph_simulator::{Action, Fault};
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

fn pause(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_202_says_where_and_when_to_look_again() {
    let world = World::new().await;
    let looks = |answer: &Answer, path: &str, seconds: RangeInclusive<u64>| {
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.header("location"), Some(path), "{answer:?}");
        assert!(seconds.contains(&pause(answer)), "{seconds:?}: {answer:?}");
    };
    let goals = world.post(&world.goals()).await;
    let path = format!("/v1/operations/{}", goals.id());
    looks(&goals, &path, 60..=66);
    looks(&world.get(&path).await, &path, 60..=66);
    world.clock.advance(Duration::from_secs(50));
    looks(&world.get(&path).await, &path, 10..=16);
    let callback = json!({ "url": world.receiver.url("/hooks/new") }).to_string();
    let place = format!("{path}/callback");
    let changed = world.call("PATCH", &place, &[], callback).await;
    looks(&changed, &path, 10..=16);

    // Graph asks to try the start later.
    let busy = Fault::new("schedule.start", Action::throttled(429, Some("120")));
    world.simulator.script(busy);
    let postponed = world.post(&world.schedule()).await;
    assert_eq!(postponed.body["status"], "accepted");
    let path = format!("/v1/operations/{}", postponed.id());
    looks(&postponed, &path, 120..=145);
    looks(&world.get(&path).await, &path, 120..=145);

    // The receiver fails once, and the completion is sent again.
    world.receiver.answer_next(Reply::status(410));
    world.closed(&postponed.id()).await;
    let again = format!("{path}/callback/redeliver");
    looks(&world.call("POST", &again, &[], "").await, &path, 1..=5);
    let all = world
        .call("POST", "/v1/operations/callback/redeliver", &[], "")
        .await;
    looks(&all, "/v1/operations?callback=pending", 5..=5);
    world.closed(&goals.id()).await;
    world.closed(&postponed.id()).await;
}

#[tokio::test]
async fn a_start_without_a_token_is_looked_for_when_a_token_is_asked_for_again() {
    let world = World::new().await;
    for wait in [40, 200] {
        let busy = Action::throttled(503, Some(&wait.to_string()));
        world.simulator.script(Fault::new("token", busy));
        let key = wait.to_string();
        let posted = world
            .post_with(&[("idempotency-key", &key)], &world.schedule())
            .await;
        assert_eq!(posted.body["status"], "accepted", "{posted:?}");
        assert_eq!(pause(&posted), wait, "{posted:?}");
        world.advance(Duration::from_secs(10)).await;
        let path = format!("/v1/operations/{}", posted.id());
        let told = pause(&world.get(&path).await);
        assert_eq!(told, wait - 10);
        world.advance(Duration::from_secs(told)).await;
        let started = world.get(&path).await;
        assert!(!started.body["startedAt"].is_null(), "{started:?}");
        world.closed(&posted.id()).await;
        // The token that has been fetched at last expires.
        world.advance(Duration::from_secs(7200)).await;
    }
}

#[tokio::test]
async fn a_start_is_looked_for_when_graphs_pause_for_others_is_over() {
    let world = World::new().await;
    let busy = Fault::new("schedule.start", Action::throttled(429, Some("250")));
    world.simulator.script(busy);
    let first = world.post(&world.schedule()).await;
    world.clock.advance(Duration::from_secs(50));
    let mut other = world.schedule();
    other["parameters"]["teamId"] = json!("11111111-3a6a-4392-bfe1-042452793a50");
    let second = world.post(&other).await;
    assert_eq!(second.body["status"], "accepted");
    assert!((200..=202).contains(&pause(&second)), "{second:?}");
    for id in [first.id(), second.id()] {
        world.closed(&id).await;
    }
}

#[tokio::test]
async fn a_running_operation_is_looked_for_ever_more_rarely_as_graph_is() {
    let world = World::with(|setup| setup.simulator.durations.export_seconds = 100_000.0).await;
    let posted = world.post(&world.export("dsar")).await;
    let path = format!("/v1/operations/{}", posted.id());
    let begun = world.clock.now();
    let (mut looks, mut rare) = (0, 0);
    loop {
        let answer = world.get(&path).await;
        if answer.status == 200 {
            break;
        }
        let age = world
            .clock
            .now()
            .duration_since(begun)
            .as_secs()
            .unsigned_abs();
        let told = pause(&answer);
        // A tenth of the age, with its jitter; Graph's own pause is longer at first.
        let most = (age * 11 / 100).clamp(66, 3600) + 1;
        let least = (age / 20).clamp(1, 3600);
        assert!((1..=most).contains(&told), "{told} after {age} s");
        rare += u32::from(told >= least);
        looks += 1;
        world.advance(Duration::from_secs(told)).await;
    }
    assert!(looks < 120, "{looks} looks in a day");
    assert!(rare * 2 > looks, "{rare} of {looks} looks");
    world.closed(&posted.id()).await;
}

#[tokio::test]
async fn nobody_is_told_to_come_long_after_the_deadline() {
    let world = World::new().await;
    let busy = Action::throttled(503, Some("3600"));
    world.simulator.script(Fault::new("token", busy));
    let mut body = world.schedule();
    body["deadline"] = json!(world.clock.now() + Duration::from_secs(100));
    let posted = world.post(&body).await;
    assert_eq!((posted.status, pause(&posted)), (202, 100), "{posted:?}");
    world.advance(Duration::from_secs(98)).await;
    let path = format!("/v1/operations/{}", posted.id());
    let late = world.get(&path).await;
    assert_eq!((late.status, pause(&late)), (202, 2), "{late:?}");
    assert_eq!(world.closed(&posted.id()).await["status"], "expired");
}

#[tokio::test]
async fn locations_are_below_the_public_url_where_one_is_configured() {
    let front = "https://courier.contoso.com/it/graph";
    for written in [front.to_owned(), format!("{front}/")] {
        let world = World::with(|setup| {
            setup.config = format!("public_url = \"{written}\"\n{}", setup.config);
        })
        .await;
        let key = [("idempotency-key", "k")];
        let posted = world.post_with(&key, &world.schedule()).await;
        let path = format!("/v1/operations/{}", posted.id());
        let url = format!("{front}{path}");
        assert_eq!(posted.header("location"), Some(&*url));
        let read = world.get(&path).await;
        assert_eq!((read.status, read.header("location")), (202, Some(&*url)));
        world.closed(&posted.id()).await;
        let repeated = world.post_with(&key, &world.schedule()).await;
        assert_eq!(
            (repeated.status, repeated.header("location")),
            (200, Some(&*url))
        );
        let all = "/v1/operations/callback/redeliver";
        let all = world.call("POST", all, &[], "").await;
        let list = format!("{front}/v1/operations?callback=pending");
        assert_eq!(all.header("location"), Some(&*list));
    }
}

#[tokio::test]
async fn locations_have_what_a_gateway_removed_unless_there_is_a_public_url() {
    for (public_url, front) in [
        ("", "/prod/it/graph"),
        (
            "public_url = \"https://a.example/x\"\n",
            "https://a.example/x",
        ),
    ] {
        let world =
            World::with(|setup| setup.config = format!("{public_url}{}", setup.config)).await;
        let request = Request::post("/v1/operations")
            .header("x-api-key", TICKETS_KEY)
            .header("content-type", "application/json")
            .extension(RemovedPrefix("/prod/it/graph".to_owned()))
            .body(Bytes::from(world.schedule().to_string()));
        let answer = handle(&world.app, request.unwrap(), Timestamp::MAX).await;
        assert_eq!(answer.status(), 202);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        let id = body["id"].as_str().unwrap();
        let location = format!("{front}/v1/operations/{id}");
        assert_eq!(answer.headers()["location"], location.as_str());
        world.closed(id).await;
    }
}
