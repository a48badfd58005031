//! `DELETE /v1/operations/{id}`: what an operation says about people goes, what answers a repeat of its request stays.

use std::time::Duration;

use courier_core::operation::{OperationId, Record};
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{Answer, HR_KEY, World};
use courier_testkit::world_requests::body;
use serde_json::{Value, json};

use crate::api::operations::refused;

const NAME: &str = "Erika Mustermann";

async fn delete(world: &World, id: &str) -> Answer {
    let path = format!("/v1/operations/{id}");
    world.call("DELETE", &path, &[], "").await
}

async fn record(world: &World, id: &str) -> Record {
    let id = OperationId::parse(id).unwrap();
    world.app.store.load(&id).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_erased_operation_keeps_only_its_tombstone_and_a_replay_starts_nothing() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let mut body = body(&world, operation);
        body["reference"] = format!("RITM of {NAME}").into();
        let request = [("idempotency-key", "k-1")];
        let id = world.post_with(&request, &body).await.id();
        let before = world.closed(&id).await;
        world.clock.advance(Duration::from_secs(60));

        let erased = delete(&world, &id).await;
        assert_eq!(erased.status, 200, "{erased:?}");
        let mut expected = before.clone();
        for field in ["reference", "result", "error"] {
            expected[field] = Value::Null;
        }
        for field in ["clientRequestId", "requestId"] {
            expected["graph"][field] = Value::Null;
        }
        for field in ["origin", "profile", "eventId"] {
            expected["callback"][field] = Value::Null;
        }
        expected["callback"]["status"] = "none".into();
        expected["erasedAt"] = erased.body["erasedAt"].clone();
        expected["evidence"] = erased.body["evidence"].clone();
        assert_ne!(
            before["evidence"], expected["evidence"],
            "the chain goes on"
        );
        assert_eq!(erased.body, expected);
        assert_eq!(erased.body["erasedAt"].as_str().map(str::len), Some(24));
        assert_eq!(delete(&world, &id).await.body, erased.body, "again");

        let stored = record(&world, &id).await;
        let user = body["parameters"]["userId"].as_str().unwrap_or("teamId");
        let stored = serde_json::to_string(&stored).unwrap();
        for personal in [NAME, user, "teamId", "explorerViewId", "v1.", "https://"] {
            assert!(!stored.contains(personal), "{personal} in {stored}");
        }
        let history = world.history(&id).await;
        assert_eq!(history.first().map(String::as_str), Some("accepted"));
        assert_eq!(history.last().map(String::as_str), Some("erased"));

        let replay = world.post_with(&request, &body).await;
        assert_eq!(replay.header("idempotency-replayed"), Some("true"));
        assert_eq!((replay.status, &replay.body), (200, &erased.body));
        body["parameters"]["another"] = "payload".into();
        assert!(world.post_with(&request, &body).await.status >= 400);
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
        assert_eq!(world.receiver.journal().len(), 1, "{operation}");
        let found = world.get("/v1/operations?callback=none").await;
        assert_eq!(found.body["operations"], json!([erased.body]));
        let found = world.get("/v1/operations?callback=delivered").await;
        assert_eq!(found.body["operations"], json!([]));
    }
}

#[tokio::test]
async fn an_operation_that_is_not_closed_is_not_erased() {
    let world = World::new().await;
    let open = world.post(&world.export("dsar")).await.id();
    let undelivered = world.post(&world.schedule()).await.id();
    world
        .receiver
        .answer_next(courier_testkit::receiver::Answer::status(500));
    world.ended(&undelivered).await;
    for id in [&open, &undelivered] {
        let before = record(&world, id).await;
        let answer = delete(&world, id).await;
        refused(&answer, 409, "conflict");
        assert_eq!(record(&world, id).await, before);
    }
    for id in [&open, &undelivered] {
        world.closed(id).await;
        assert_eq!(delete(&world, id).await.status, 200);
    }
}

#[tokio::test]
async fn another_clients_operation_is_not_erased() {
    let world = World::new().await;
    let id = world.post(&world.schedule()).await.id();
    let closed = world.closed(&id).await;
    let path = format!("/v1/operations/{id}");
    let answer = world
        .call("DELETE", &path, &[("x-api-key", HR_KEY)], "")
        .await;
    refused(&answer, 404, "not-found");
    assert_eq!(world.operation(&id).await, closed);
}

#[tokio::test]
async fn an_erased_completion_cannot_be_delivered_again_or_elsewhere() {
    let world = World::new().await;
    let id = world.post(&world.schedule()).await.id();
    world.closed(&id).await;
    delete(&world, &id).await;
    let path = format!("/v1/operations/{id}/callback");
    let again = world
        .call("POST", &format!("{path}/redeliver"), &[], "")
        .await;
    refused(&again, 409, "conflict");
    let url = json!({ "url": world.receiver.url("/hooks/other") }).to_string();
    refused(&world.call("PATCH", &path, &[], url).await, 409, "conflict");
    assert_eq!(world.receiver.journal().len(), 1);
}
