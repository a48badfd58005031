//! Records that this program cannot use: damaged ones, those of a newer version, those of an operation it does not know.

use std::time::Duration;

use courier_core::engine::sweep::sweep;
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Store, Write};
use courier_testkit::sample::{next, sample_record, unreadable};
use courier_testkit::world::World;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::operations::refused;

fn sample(world: &World) -> Record {
    let mut record = sample_record(&OperationId::random());
    record.client = "tickets".to_owned();
    record.created_at = world.clock.now();
    record.due_at = Some(world.clock.now());
    record
}

#[tokio::test]
async fn an_unreadable_record_is_500_by_itself_and_left_out_of_lists() {
    let world = World::new().await;
    let good = world.post(&world.goals()).await.id();
    let damaged = unreadable(&sample(&world));
    world.database.insert(&damaged).await.unwrap();
    for part in ["", "/history"] {
        let answer = world
            .get(&format!("/v1/operations/{}{part}", damaged.id))
            .await;
        refused(&answer, 500, "unreadable-record");
    }
    for query in [
        "",
        "?status=running",
        "?operation=goals.exportJob",
        "?callback=pending",
    ] {
        let list = world.get(&format!("/v1/operations{query}")).await;
        assert_eq!(list.status, 200, "{query}");
        let listed = list.body["operations"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{query}");
        assert_eq!(listed[0]["id"], good.as_str());
    }
    assert!(world.app.metrics.take().unusable >= 1);
}

/// More of them than a sweep reads at a time, all more overdue than the one that can be helped.
#[tokio::test]
async fn overdue_records_that_cannot_be_helped_do_not_keep_the_others_from_their_message() {
    let world = World::new().await;
    for number in 0..520 {
        let mut record = sample(&world);
        if number % 2 == 0 {
            record.operation = "unknown.operation".to_owned();
        } else {
            record = unreadable(&record);
        }
        world.database.insert(&record).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(1));
    let id = world.post(&world.goals()).await.id();
    let far = world.clock.now() + Duration::from_secs(90_000_000);
    for lost in world
        .database
        .receive(far, &courier_local::Capacity::in_turn(1000), far)
    {
        world.database.delete(&lost.receipt);
    }
    world.clock.advance(Duration::from_secs(3_000));
    drop(world.app.metrics.take());
    sweep(&world.app, Timestamp::MAX).await.unwrap();
    assert_eq!(world.app.metrics.take().unusable, 520);
    assert_eq!(world.closed(&id).await["status"], "succeeded");

    sweep(&world.app, Timestamp::MAX).await.unwrap();
    assert_eq!(
        world.app.metrics.take().unusable,
        0,
        "left alone for an hour"
    );
    world.clock.advance(Duration::from_secs(3_600 + 601));
    sweep(&world.app, Timestamp::MAX).await.unwrap();
    assert_eq!(
        world.app.metrics.take().unusable,
        520,
        "and then seen again"
    );
}

#[tokio::test]
async fn what_a_newer_version_has_written_is_kept_by_every_write() {
    let world = World::new().await;
    let id = world.post(&world.export("dsar")).await.id();
    let newer = json!({ "list": [1, "two", null] });
    let mut record = load(&world, &id).await;
    record.unknown.insert("newer".to_owned(), newer.clone());
    record
        .graph
        .unknown
        .insert("newer".to_owned(), newer.clone());
    record
        .delivery
        .unknown
        .insert("newer".to_owned(), newer.clone());
    let callback = record.callback.as_mut().unwrap();
    callback.unknown.insert("newer".to_owned(), newer.clone());
    record.history[0]
        .unknown
        .insert("newer".to_owned(), newer.clone());
    let write = world.database.update(&next(&record)).await.unwrap();
    assert_eq!(write, Write::Applied);

    let path = format!("/v1/operations/{id}/cancel");
    assert_eq!(world.call("POST", &path, &[], "").await.status, 200);
    world.closed(&id).await;
    let record: Value = serde_json::to_value(load(&world, &id).await).unwrap();
    for place in ["", "/graph", "/delivery", "/callback", "/history/0"] {
        let kept = record.pointer(&format!("{place}/newer"));
        assert_eq!(kept, Some(&newer), "{place}");
    }
}

async fn load(world: &World, id: &str) -> Record {
    let id = OperationId::parse(id).unwrap();
    world.database.load(&id).await.unwrap().unwrap()
}
