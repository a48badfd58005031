//! One call has many completions delivered again, or says how many it would be; it works for a few seconds only.

use std::sync::Arc;
use std::time::Duration;

use courier_testkit::intercepted::{Call, Intercepted};
use courier_testkit::receiver::Answer;
use courier_testkit::world::{self, HR_KEY, World};
use serde_json::{Value, json};

use crate::api::operations::refused;
use crate::callback::circuit_breaker::post;

const ALL: &str = "/v1/operations/callback/redeliver";

/// Ends `count` operations a minute apart, whose completions are undeliverable, and returns their ids.
async fn undeliverable(world: &World, count: usize) -> Vec<String> {
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    world.receiver.answer_otherwise(Answer::status(410));
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(post(world, number).await);
        world.work().await;
        world.clock.advance(Duration::from_secs(60));
    }
    world.receiver.answer_otherwise(Answer::status(204));
    ids
}

async fn redeliver(world: &World, query: &str) -> world::Answer {
    world.call("POST", &format!("{ALL}?{query}"), &[], "").await
}

#[tokio::test]
async fn a_dry_run_answers_with_filter_and_count_and_delivers_nothing() {
    let world = World::new().await;
    let began = world.clock.now();
    let ids = undeliverable(&world, 25).await;
    let minutes = |minutes: u64| format!("{:.3}", began + Duration::from_secs(60 * minutes));
    let (since, until) = (minutes(5), minutes(20));
    let query = format!("operation=team.schedule&since={since}&until={until}");
    let dry = redeliver(&world, &format!("{query}&dryRun=true")).await;
    let filter = json!({
        "operation": "team.schedule", "callback": "undeliverable", "since": since, "until": until,
    });
    let expected = json!({
        "dryRun": true, "filter": filter, "count": 15, "redelivered": [], "next": null,
    });
    assert_eq!((dry.status, &dry.body), (200, &expected));
    world.work().await;
    assert_eq!(world.receiver.journal().len(), 25);
    let answer = redeliver(&world, &query).await;
    assert_eq!((answer.status, &answer.body["count"]), (202, &json!(15)));
    let mut redelivered = answer.body["redelivered"].as_array().unwrap().clone();
    redelivered.reverse();
    assert_eq!(json!(redelivered), json!(ids[5..20]));
    for id in &ids[5..20] {
        assert_eq!(world.closed(id).await["callback"]["status"], "delivered");
    }
    assert_eq!(world.receiver.journal().len(), 40);
}

/// Each write of this store takes a second of the World's clock.
#[tokio::test]
async fn a_call_ends_after_a_few_seconds_and_the_next_one_goes_on_where_it_came_to() {
    let world = World::with(|setup| {
        let clock = setup.clock.clone();
        setup.store = Box::new(move |database| {
            Arc::new(Intercepted::new(database, move |call| {
                if matches!(call, Call::Write(_)) {
                    clock.advance(Duration::from_secs(1));
                }
                Box::pin(async {})
            }))
        });
    })
    .await;
    let ids = undeliverable(&world, 25).await;
    let mut cursor = String::new();
    let mut counts = Vec::new();
    loop {
        let answer = redeliver(&world, &cursor).await;
        counts.push(answer.body["count"].as_u64().unwrap());
        match answer.body["next"].as_str() {
            Some(next) => cursor = format!("cursor={next}"),
            None => break,
        }
    }
    assert_eq!(counts, [10, 10, 5]);
    for id in &ids {
        assert_eq!(world.closed(id).await["callback"]["status"], "delivered");
    }
}

#[tokio::test]
async fn an_invalid_bulk_call_is_refused_and_redelivers_nothing() {
    let world = World::new().await;
    undeliverable(&world, 1).await;
    for (query, parameter) in [
        ("dryRun=yes", "dryRun"),
        ("dryRun=true&dryRun=true", "dryRun"),
        ("since=yesterday", "since"),
        ("until=2026-11-21", "until"),
        ("callback=lost", "callback"),
        ("Since=2026-11-21T20:00:00Z", "Since"),
    ] {
        let answer = redeliver(&world, query).await;
        refused(&answer, 400, "invalid-query");
        assert_eq!(answer.body["errors"][0]["parameter"], parameter, "{query}");
    }
    world.work().await;
    assert_eq!(world.receiver.journal().len(), 1);
}

#[tokio::test]
async fn undeliverable_completions_are_listed_and_redelivered_in_pages() {
    let world = World::new().await;
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let mut gone = Vec::new();
    for number in 0..70 {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = json!(format!("871dbd5c-3a6a-4392-bfe1-{number:012}"));
        body["reference"] = json!(if number % 2 == 0 { "even" } else { "odd" });
        let key = format!("k{number}");
        let lost = number < 60;
        world
            .receiver
            .answer_next(Answer::status(if lost { 410 } else { 204 }));
        let id = world
            .post_with(&[("idempotency-key", &key)], &body)
            .await
            .id();
        world.work().await;
        if lost {
            gone.push(id);
        }
    }
    let list = world.get("/v1/operations?callback=undeliverable").await;
    assert_eq!(list.body["operations"].as_array().unwrap().len(), 50);
    let odd = world
        .get("/v1/operations?callback=undeliverable&reference=odd")
        .await;
    assert_eq!(odd.body["operations"].as_array().unwrap().len(), 30);
    refused(
        &world.get("/v1/operations?callback=lost").await,
        400,
        "invalid-query",
    );
    let before = world.receiver.journal().len();
    let all = "/v1/operations/callback/redeliver";
    let (mut redelivered, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = world
            .call("POST", &format!("{all}?{cursor}"), &[], "")
            .await;
        assert_eq!(answer.status, 202);
        let ids = answer.body["redelivered"].as_array().unwrap();
        redelivered.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
        match answer.body["next"].as_str() {
            Some(next) => cursor = format!("cursor={next}"),
            None => break,
        }
    }
    redelivered.sort();
    gone.sort();
    assert_eq!(redelivered, gone);
    world.advance(Duration::from_secs(5)).await;
    assert_eq!(world.receiver.journal().len(), before + 60);
    let other = world.call("POST", all, &[("x-api-key", HR_KEY)], "").await;
    assert_eq!(other.body["redelivered"], json!([]));
    assert_eq!(other.body["next"], Value::Null);
    let again = world.call("POST", all, &[], "").await;
    assert_eq!(again.body["redelivered"], json!([]));
}
