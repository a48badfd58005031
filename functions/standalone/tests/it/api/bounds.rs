//! What bounds the store: the retention of closed operations, and the number of open ones of each client.

use std::time::Duration;

use courier_core::engine::sweep::sweep;
use courier_core::operation::{OperationId, Outcome};
use courier_core::ports::Store;
use courier_testkit::sample::{closed, sample_record};
use courier_testkit::world::{HR_KEY, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::operations::refused;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn goals(world: &World, view: usize) -> Value {
    let mut body = world.goals();
    let id = format!("e5e7a3c1-8cdf-409d-9ce9-{view:012}");
    body["parameters"]["explorerViewId"] = id.into();
    body
}

/// Stores this many operations of the client that ended at `ended`.
async fn ended_at(world: &World, count: usize, ended: Timestamp) -> Vec<OperationId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut record = sample_record(&OperationId::random());
        record.client = "tickets".to_owned();
        world.database.insert(&record).await.unwrap();
        let end = closed(&record, Outcome::Succeeded, ended);
        world.database.update(&end).await.unwrap();
        ids.push(record.id);
    }
    ids
}

async fn stored(world: &World, ids: &[OperationId]) -> usize {
    world.database.load_many(ids).await.unwrap().len()
}

#[tokio::test]
async fn one_sweep_forgets_everything_whose_retention_is_over() {
    let world = World::with(|setup| setup.config.push_str("[retention]\ndays = 40\n")).await;
    let now = world.clock.now();
    let hour = SignedDuration::from_hours(1);
    let kept = ended_at(&world, 3, now - DAY * 40 + hour).await;
    let old = ended_at(&world, 701, now - DAY * 40 - hour).await;
    sweep(&world.app, Timestamp::MAX).await.unwrap();
    assert_eq!(stored(&world, &old).await, 0);
    assert_eq!(stored(&world, &kept).await, 3);
}

#[tokio::test]
async fn without_a_setting_the_retention_is_ninety_days() {
    let world = World::new().await;
    let now = world.clock.now();
    let kept = ended_at(&world, 1, now - DAY * 89).await;
    let old = ended_at(&world, 1, now - DAY * 91).await;
    sweep(&world.app, Timestamp::MAX).await.unwrap();
    assert_eq!(stored(&world, &old).await, 0);
    assert_eq!(stored(&world, &kept).await, 1);
}

#[tokio::test]
async fn a_client_with_too_many_open_operations_gets_429_and_its_replays_are_answered() {
    let world = World::with(|setup| {
        let client = "[clients.tickets]\n";
        let limited = format!("{client}max_open_operations = 3\n");
        setup.config = setup.config.replace(client, &limited);
        setup.simulator.durations.goals_seconds = 60.0;
    })
    .await;
    let mut first = Vec::new();
    for view in 0..3 {
        let answer = world.post(&goals(&world, view)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        first.push(answer.id());
    }
    let fourth = world.post(&goals(&world, 3)).await;
    refused(&fourth, 429, "too-many-open-operations");
    assert!(fourth.header("retry-after").is_some(), "{fourth:?}");
    let detail = fourth.body["detail"].as_str().unwrap();
    assert!(detail.contains("limit is 3"), "{detail}");

    let key = [("idempotency-key", "k-1")];
    let refusal = world.post_with(&key, &goals(&world, 4)).await;
    refused(&refusal, 429, "too-many-open-operations");
    let other = world.call("POST", "/v1/operations", &[("x-api-key", HR_KEY)], {
        let mut body = goals(&world, 5);
        body.as_object_mut().unwrap().remove("callback");
        body.to_string()
    });
    assert_eq!(other.await.status, 202, "another client has its own limit");

    for id in &first {
        world.closed(id).await;
    }
    world.clock.advance(Duration::from_secs(6));
    let accepted = world.post_with(&key, &goals(&world, 4)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    for view in 6..8 {
        world.post(&goals(&world, view)).await;
    }
    let full = world.post(&goals(&world, 8)).await;
    refused(&full, 429, "too-many-open-operations");
    let replay = world.post_with(&key, &goals(&world, 4)).await;
    assert_eq!(replay.header("idempotency-replayed"), Some("true"));
    assert_eq!(replay.id(), accepted.id());
}
