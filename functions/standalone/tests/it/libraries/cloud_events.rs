//! The CloudEvents SDKs of Python and JavaScript read our callbacks as events in binary mode (CloudEvents HTTP binding 1.0, section
//! 3.1), and the samples of what `[events]` sends in structured mode (section 3.2).

use courier_testkit::receiver::Callback;
use courier_testkit::world::World;
use serde_json::{Value, json};

use crate::libraries::{judge, judge_in_node};
use crate::rules::root;

/// Reads a list of `{headers, body}` with the SDK and writes each event's attributes, and whether its data is the whole body.
const IN_PYTHON: &str = r#"
import json, sys
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
def read(callback):
    event = from_http_event(HTTPMessage(callback["headers"], callback["body"].encode()))
    attributes = event.get_attributes()
    return {"attributes": {name: str(value) for name, value in attributes.items()}, "whole": event.get_data() == json.loads(callback["body"])}
json.dump([read(callback) for callback in json.load(sys.stdin)], sys.stdout)
"#;

/// The same as a JavaScript module.
const IN_JAVASCRIPT: &str = r#"
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { HTTP } from "cloudevents";
function read({ headers, body }) {
  const { data, ...attributes } = HTTP.toEvent({ headers, body }).toJSON();
  return { attributes, whole: isDeepStrictEqual(data, JSON.parse(body)) };
}
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(read)));
"#;

#[tokio::test]
async fn the_sdks_read_each_callback_as_an_event_with_the_completion_as_its_data() {
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
    let input = input.collect();
    for events in [
        judge(IN_PYTHON, &input),
        judge_in_node(IN_JAVASCRIPT, &input),
    ] {
        assert_eq!(events.len(), 2);
        for (event, callback) in events.iter().zip(&callbacks) {
            is_completion(event, callback);
        }
    }
}

/// The samples are what is sent, which a test of the core holds.
#[test]
fn the_sdks_read_each_sample_of_an_event_that_is_sent() {
    let mut samples = Vec::new();
    for file in std::fs::read_dir(root().join("events/out")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("bus.") {
            samples.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    assert_eq!(samples.len(), 10);
    let headers = json!({ "content-type": "application/cloudevents+json; charset=utf-8" });
    let input = samples.iter();
    let input = input.map(|body| json!({ "headers": headers, "body": body }));
    let input = input.collect();
    for events in [
        judge(IN_PYTHON, &input),
        judge_in_node(IN_JAVASCRIPT, &input),
    ] {
        for (event, sample) in events.iter().zip(&samples) {
            let sample: Value = serde_json::from_str(sample).unwrap();
            let attributes = &event["attributes"];
            for name in ["id", "type", "source", "sequence", "dataschema", "client"] {
                assert_eq!(attributes[name], sample[name], "{name}");
            }
        }
    }
}

/// Checks that an SDK found in the headers and the body what we put there.
fn is_completion(event: &Value, callback: &Callback) {
    let body: Value = serde_json::from_slice(&callback.body).unwrap();
    assert_eq!(event["whole"], true, "{event}");
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
