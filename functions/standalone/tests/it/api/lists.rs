//! The list of a client's operations: order, pages, filters, and invalid queries.

use std::time::Duration;

use courier_testkit::world::World;
use serde_json::Value;

use crate::api::operations::refused;

/// Returns a goals export of the given view; each view is a separate operation.
fn goals(world: &World, view: usize) -> Value {
    let mut body = world.goals();
    let id = format!("e5e7a3c1-8cdf-409d-9ce9-{view:012}");
    body["parameters"]["explorerViewId"] = id.into();
    body
}

#[tokio::test]
async fn the_list_shows_the_newest_first_in_pages_of_fifty() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for view in 0..120 {
        ids.push(world.post(&goals(&world, view)).await.id());
        world.clock.advance(Duration::from_millis(1));
    }
    ids.reverse();
    let mut listed = Vec::new();
    let mut query = String::new();
    for size in [50, 50, 20] {
        let page = world.get(&format!("/v1/operations{query}")).await;
        assert_eq!(page.status, 200);
        let operations = page.body["operations"].as_array().unwrap();
        assert_eq!(operations.len(), size);
        listed.extend(
            operations
                .iter()
                .map(|o| o["id"].as_str().unwrap().to_owned()),
        );
        query = format!("?cursor={}", page.body["next"].as_str().unwrap_or("none"));
    }
    assert_eq!(listed, ids);
    assert_eq!(query, "?cursor=none", "the last page has no next");
    refused(
        &world.get("/v1/operations?cursor=none").await,
        400,
        "invalid-query",
    );
}

#[tokio::test]
async fn the_list_is_filtered_by_status_operation_and_reference() {
    let world = World::new().await;
    let ended = world.post(&world.schedule()).await.id();
    world.closed(&ended).await;
    let open = world.post(&world.goals()).await.id();
    let mut body = world.export("dsar");
    body["reference"] = "RITM 1/2&3=ü".into();
    let export = world.post(&body).await.id();
    for (query, expected) in [
        ("", vec![&export, &open, &ended]),
        ("?status=running", vec![&export, &open]),
        ("?status=succeeded", vec![&ended]),
        ("?status=accepted", vec![]),
        ("?status=starting", vec![]),
        ("?status=failed", vec![]),
        ("?status=partiallySucceeded", vec![]),
        ("?operation=goals.exportJob", vec![&open]),
        ("?operation=nobody.knows", vec![]),
        ("?reference=RITM%201%2F2%263%3D%C3%BC", vec![&export]),
        (
            "?reference=RITM+1/2%263%3D%C3%BC&status=running",
            vec![&export],
        ),
        ("?reference=ritm", vec![]),
        ("?status=running&operation=team.schedule", vec![]),
    ] {
        let list = world.get(&format!("/v1/operations{query}")).await;
        let operations = list.body["operations"].as_array().unwrap();
        let mut ids: Vec<_> = operations
            .iter()
            .map(|o| o["id"].as_str().unwrap())
            .collect();
        let mut expected: Vec<_> = expected.into_iter().map(String::as_str).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(list.body["next"], Value::Null, "{query}");
    }
}

#[tokio::test]
async fn an_invalid_query_is_refused_with_the_parameters_name() {
    let world = World::new().await;
    let cursor = format!("0000000000000000{}", "0".repeat(32));
    for (query, parameter) in [
        ("status=done", "status"),
        ("status=RUNNING", "status"),
        ("status=", "status"),
        ("status=running&status=running", "status"),
        ("operation=a&operation=b", "operation"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        (
            "cursor=0000000000000000op_00000000000000000000000000000000",
            "cursor",
        ),
        (
            &format!("cursor={}", cursor.to_uppercase().replace('0', "G")),
            "cursor",
        ),
        ("Status=running", "Status"),
        ("x%0D%0Ay=1", "xy"),
        ("=1", ""),
    ] {
        let answer = world.get(&format!("/v1/operations?{query}")).await;
        refused(&answer, 400, "invalid-query");
        assert_eq!(answer.body["errors"][0]["parameter"], parameter, "{query}");
    }
    let first = world.get(&format!("/v1/operations?cursor={cursor}")).await;
    assert_eq!(first.status, 200, "a cursor before all operations is valid");
}
