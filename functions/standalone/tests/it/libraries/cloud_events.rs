//! The CloudEvents SDK reads our callbacks as events in binary mode (CloudEvents HTTP binding 1.0, section 3.1).

use courier_testkit::world::World;
use serde_json::{Value, json};

use crate::libraries::judge;

/// Reads a list of `{headers, body}` with the SDK and writes each event's attributes and data.
const READ: &str = r#"
import json, sys
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
def read(callback):
    event = from_http_event(HTTPMessage(callback["headers"], callback["body"].encode()))
    attributes = event.get_attributes()
    return {"attributes": {name: str(value) for name, value in attributes.items()}, "data": event.get_data()}
json.dump([read(callback) for callback in json.load(sys.stdin)], sys.stdout)
"#;

#[tokio::test]
async fn the_sdk_reads_each_callback_as_an_event_with_the_completion_as_its_data() {
    let world = World::with(|setup| setup.simulator.durations.export_seconds = 10.0).await;
    for body in [world.schedule(), world.export("dsar")] {
        let id = world.post(&body).await.id();
        assert_eq!(world.closed(&id).await["status"], "succeeded");
    }
    let callbacks = world.receiver.journal();
    let input = callbacks.iter().map(|callback| {
        let headers = callback.headers.iter().cloned();
        let headers: serde_json::Map<_, _> = headers
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        json!({ "headers": headers, "body": String::from_utf8_lossy(&callback.body) })
    });
    let events = judge(READ, &input.collect());
    assert_eq!(events.len(), 2);
    for (event, callback) in events.iter().zip(&callbacks) {
        let body: Value = serde_json::from_slice(&callback.body).unwrap();
        assert_eq!(event["data"], body);
        let attributes = &event["attributes"];
        assert_eq!(attributes["specversion"], "1.0");
        assert_eq!(attributes["type"], body["type"]);
        assert_eq!(attributes["subject"], body["data"]["id"]);
        assert_eq!(attributes["id"], callback.header("webhook-id").unwrap());
        assert_eq!(attributes["datacontenttype"], "application/json");
        let source = attributes["source"].as_str().unwrap();
        assert!(source.starts_with("urn:graph-courier:"), "{source}");
        assert!(attributes["time"].as_str().unwrap().starts_with("2026-"));
    }
}
