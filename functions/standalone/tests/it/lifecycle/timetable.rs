//! The learned timetable: the looks at a job follow how long earlier jobs took, and callers see when it is expected.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use courier_core::catalogue::Catalogue;
use courier_core::engine::sweep::sweep;
use courier_core::lifecycle::schedule::next_poll_at;
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Document, Store};
use courier_testkit::intercepted::{Call, Intercepted};
use courier_testkit::world::{Answer, Setup, World};
use jiff::Timestamp;
use serde_json::Value;

const DOCUMENT: &str = "durations/contoso/user.exportPersonalData";

/// Makes each export take ten hours.
fn ten_hours(setup: &mut Setup) {
    setup.simulator.durations.export_seconds = 36_000.0;
}

async fn begin(world: &World, number: usize) -> Answer {
    let answer = world.post(&world.export(&format!("dsar-{number}"))).await;
    assert_eq!(answer.body["status"], "running", "{answer:?}");
    answer
}

/// Runs exports with these numbers one after the other to their end.
async fn run(world: &World, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let answer = begin(world, number).await;
        assert_eq!(answer.body["expectedBy"], Value::Null, "{number}");
        assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
    }
}

async fn record(world: &World, id: &str) -> Record {
    let id = OperationId::parse(id).unwrap();
    world.database.load(&id).await.unwrap().unwrap()
}

async fn document(world: &World) -> Option<Document> {
    world.database.load_document(DOCUMENT).await.unwrap()
}

/// Returns the number of ended jobs that the document counts.
async fn samples(world: &World) -> Option<u64> {
    let body: Value = serde_json::from_str(&document(world).await?.body).unwrap();
    body["samples"].as_u64()
}

/// Returns the times at which Graph was asked about the job of a record; it started when the one before it ended.
fn looks(world: &World, record: &Record) -> Vec<Timestamp> {
    let job = record.started_at.unwrap();
    let polls = world.simulator.calls("export.poll").into_iter();
    polls.map(|poll| poll.at).filter(|at| *at > job).collect()
}

#[tokio::test]
async fn looks_follow_how_long_earlier_jobs_took_and_callers_see_when_the_end_is_expected() {
    let world = World::with(ten_hours).await;
    run(&world, 0..1).await;
    let unlearned = world.simulator.calls("export.poll").len();
    run(&world, 1..8).await;
    assert_eq!(samples(&world).await, Some(8));

    let begun = begin(&world, 8).await;
    let stored = record(&world, &begun.id()).await;
    let forecast = serde_json::to_string(stored.forecast.as_ref().unwrap()).unwrap();
    assert!(forecast.len() <= 200, "{forecast}");
    let told = begun.body["expectedBy"].as_str().unwrap();
    let expected: Timestamp = told.parse().unwrap();
    let usual = expected
        .duration_since(stored.started_at.unwrap())
        .as_secs();
    assert!((36_000..50_000).contains(&usual), "{usual}");

    let closed = world.closed(&begun.id()).await;
    assert_eq!(closed["expectedBy"], Value::Null);
    assert_eq!(samples(&world).await, Some(9));
    assert_eq!(record(&world, &begun.id()).await.forecast, None);
    let looks = looks(&world, &stored);
    assert!(looks.len() * 2 < unlearned, "{} {unlearned}", looks.len());
    let ended: Timestamp = closed["endedAt"].as_str().unwrap().parse().unwrap();
    let lag = ended.duration_since(stored.started_at.unwrap()).as_secs() - 36_000;
    assert!(lag < 36_000 / 25, "{lag}");

    // Each look can be computed from the record that the start left. Graph asked for a minute then, and for nothing later.
    let row = &Catalogue::shipped().find(&stored.operation).unwrap().poll;
    let mut retry_after = stored.graph.retry_after.map(Duration::from_secs);
    assert_eq!(retry_after, Some(Duration::from_secs(60)));
    let mut last = stored.started_at.unwrap();
    for look in looks.iter().copied() {
        let computed = next_poll_at(&stored, row, retry_after.take(), last);
        assert_eq!(look, computed, "{looks:?} {stored:?}");
        last = look;
    }
}

#[tokio::test]
async fn ends_within_a_minute_are_merged_by_two_writes_and_late_or_cancelled_ones_by_none() {
    let world = World::with(|setup| setup.simulator.durations.export_seconds = 200.0).await;
    for number in 0..5 {
        begin(&world, number).await;
    }
    world.advance(Duration::from_secs(70)).await;
    world.advance(Duration::from_secs(300)).await;
    let first = document(&world).await.unwrap();
    assert_eq!((first.revision, samples(&world).await), (1, Some(1)));
    sweep(&world.app, Timestamp::MAX).await.unwrap();
    let second = document(&world).await.unwrap();
    assert_eq!((second.revision, samples(&world).await), (2, Some(5)));

    // The program stood still for a day: the job may have ended at any time in it.
    let late = begin(&world, 5).await;
    world.advance(Duration::from_secs(86_400)).await;
    assert_eq!(world.closed(&late.id()).await["status"], "succeeded");
    let cancelled = begin(&world, 6).await;
    let path = format!("/v1/operations/{}/cancel", cancelled.id());
    world.call("POST", &path, &[], "").await;
    assert_eq!(world.closed(&cancelled.id()).await["status"], "cancelled");
    sweep(&world.app, Timestamp::MAX).await.unwrap();
    assert_eq!(document(&world).await.unwrap(), second);
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_left_alone_and_stops_nothing() {
    for body in [r#"{"version":2,"curve":[1,2]}"#, "{", ""] {
        let world = World::with(ten_hours).await;
        let written = world.database.swap_document(DOCUMENT, 0, body);
        assert!(written.await.unwrap());
        run(&world, 0..2).await;
        assert_eq!(document(&world).await.unwrap().body, body);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_about_durations_stops_nothing() {
    let world = World::with(|setup| {
        ten_hours(setup);
        setup.store = Box::new(|database| {
            Arc::new(Intercepted::new(database, |call| {
                if matches!(call, Call::LoadDocument(DOCUMENT)) {
                    Box::pin(pending())
                } else {
                    Box::pin(async {})
                }
            }))
        });
    })
    .await;
    run(&world, 0..2).await;
    assert_eq!(document(&world).await, None);
}

#[tokio::test]
async fn what_another_process_has_merged_meanwhile_is_kept() {
    const OTHER: &str = r#"{"version":1,"samples":20,"weights":{"60":5.0}}"#;
    let world = World::with(|setup| {
        ten_hours(setup);
        setup.store = Box::new(|database| {
            let (other, was_first) = (database.clone(), AtomicBool::new(false));
            Arc::new(Intercepted::new(database, move |call| {
                let is_write = matches!(call, Call::SwapDocument(DOCUMENT));
                if !is_write || was_first.swap(true, Ordering::SeqCst) {
                    return Box::pin(async {});
                }
                let other = other.clone();
                Box::pin(async move {
                    assert!(other.swap_document(DOCUMENT, 0, OTHER).await.unwrap());
                })
            }))
        });
    })
    .await;
    run(&world, 0..1).await;
    assert_eq!(samples(&world).await, Some(21));
    assert_eq!(document(&world).await.unwrap().revision, 2);
}
