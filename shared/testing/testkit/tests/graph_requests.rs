//! What we send to Graph, held against the slice of its OpenAPI and against what the documentation asks of clients.

#![cfg(test)]

use std::collections::BTreeSet;

use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::World;
use courier_testkit::world_requests::body;
use graph_simulator::Entry;

#[expect(
    dead_code,
    reason = "it also judges answers, which the simulator's own tests use"
)]
#[path = "../../../graph-simulator/tests/slice/mod.rs"]
mod slice;

const USER: &str = "cc5f4f0a-3a6a-4392-bfe1-042452793a51";

/// Every call to Graph of one good run.
async fn calls(operation: &str, acts_as: bool) -> Vec<Entry> {
    let world = World::new().await;
    let mut body = body(&world, operation);
    if acts_as {
        body["parameters"]["actsAs"] = USER.into();
        let settings = &mut body["parameters"]["schedule"];
        settings["timeClockEnabled"] = true.into();
        settings["startDayOfWeek"] = "sunday".into();
        settings["workforceIntegrationIds"] = vec!["WFI_1"].into();
        let place = serde_json::json!({ "altitude": 1.5, "latitude": -90, "longitude": 180 });
        settings["timeClockSettings"] = serde_json::json!({ "approvedLocation": place });
    }
    let id = world.post(&body).await.id();
    assert_eq!(world.closed(&id).await["status"], "succeeded");
    let mut calls = world.simulator.journal();
    calls.retain(|call| call.call != "token");
    calls
}

#[tokio::test]
async fn every_request_is_one_that_graph_documents() {
    let slice = slice::Slice::load();
    let runs = OPERATIONS.map(|operation| (operation, false));
    for (operation, acts_as) in runs.into_iter().chain([("schedule", true)]) {
        let calls = calls(operation, acts_as).await;
        let starts = calls.iter().filter(|call| call.method != "GET");
        assert_eq!(starts.count(), 1, "{operation}");
        for call in &calls {
            let name = format!("{} {}", call.method, call.path);
            let Some(body) = &call.body else {
                assert_eq!(call.method, "GET", "{name}");
                // Fails when the slice has no such GET that answers 200.
                slice.examples("GET", &call.path, 200);
                continue;
            };
            let body = body.to_string();
            let complaints = slice.request_complaints(&call.method, &call.path, body.as_bytes());
            assert_eq!(complaints, Vec::<String>::new(), "{name}");
        }
    }
}

#[tokio::test]
async fn every_request_carries_what_the_documentation_asks_for_and_nothing_strange() {
    for (operation, acts_as) in [
        ("export", false),
        ("goals", false),
        ("schedule", false),
        ("schedule", true),
    ] {
        let calls = calls(operation, acts_as).await;
        let mut ids = BTreeSet::new();
        for call in &calls {
            let header = |name: &str| call.headers.get(name).map(String::as_str);
            let name = format!("{} {}", call.method, call.path);
            let id = call.client_request_id.as_deref().unwrap();
            assert_eq!(
                id.split('-').map(str::len).collect::<Vec<_>>(),
                [8, 4, 4, 4, 12]
            );
            assert!(ids.insert(id), "a fresh client-request-id: {name}");
            assert_eq!(header("accept"), Some("application/json"), "{name}");
            assert_eq!(header("accept-encoding"), Some("identity"), "{name}");
            assert_eq!(header("traceparent"), None, "{name}");
            assert_eq!(header("tracestate"), None, "{name}");
            let agent = header("user-agent").unwrap();
            assert!(agent.starts_with("graph-courier/"), "{name}: {agent}");
            let kind = if operation == "goals" {
                "delegated:"
            } else {
                "app:"
            };
            let token = call.authorization.as_deref().unwrap();
            assert!(token.starts_with(kind), "{name}: {token}");
            assert_eq!(call.acts_as.as_deref(), acts_as.then_some(USER), "{name}");
            let poll = call.method == "GET";
            let members = poll.then_some("include-unknown-enum-members");
            assert_eq!(header("prefer"), members, "{name}");
            let json = (!poll).then_some("application/json");
            assert_eq!(header("content-type"), json, "{name}");
        }
    }
}
