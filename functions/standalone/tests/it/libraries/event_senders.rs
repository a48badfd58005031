//! Other people's senders of events as clients: the CloudEvents SDKs of Python and JavaScript, and the API destination of
//! an EventBridge that is not AWS's own (MiniStack).

use std::time::Duration;

use cloud_testkit::ministack::MiniStack;
use courier_testkit::world::{TICKETS_KEY, World};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use crate::libraries::{judge, judge_in_node};
use crate::rules::read;

/// Longest time that MiniStack may take to deliver.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads a list of one event, and writes it as the SDK sends it, in structured and in binary mode.
const IN_PYTHON: &str = r#"
import json, sys
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
[event] = json.load(sys.stdin)
event = CloudEvent({name: event[name] for name in event if name not in ("data", "time")}, event["data"])
messages = [to_structured_event(event), to_binary_event(event)]
json.dump([{"headers": message.headers, "body": message.body.decode()} for message in messages], sys.stdout)
"#;

/// The same as a JavaScript module.
const IN_JAVASCRIPT: &str = r#"
import { readFileSync } from "node:fs";
import { CloudEvent, HTTP } from "cloudevents";
const [event] = JSON.parse(readFileSync(0, "utf8"));
const messages = [HTTP.structured(new CloudEvent(event)), HTTP.binary(new CloudEvent(event))];
process.stdout.write(JSON.stringify(messages.map(({ headers, body }) => ({ headers, body }))));
"#;

#[tokio::test]
async fn events_of_the_sdks_in_either_mode_are_one_operation() {
    let world = World::new().await;
    let mut event: Value = serde_json::from_str(&read("events/cloudevent-schedule.json")).unwrap();
    // The SDKs encode it in binary mode, each in its way.
    event["correlationid"] = "RITM 12348 \u{20ac}".into();
    let input = json!([event]);
    let mut places = Vec::new();
    for messages in [
        judge(IN_PYTHON, &input),
        judge_in_node(IN_JAVASCRIPT, &input),
    ] {
        assert_eq!(messages.len(), 2);
        for message in messages {
            let headers = message["headers"].as_object().unwrap().iter();
            let headers: Vec<(&str, &str)> = headers
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            let body = message["body"].as_str().unwrap().to_owned();
            let answer = world.call("POST", "/v1/operations", &headers, body).await;
            assert_eq!(answer.status, 202, "{message}: {answer:?}");
            places.push(answer.header("location").unwrap().to_owned());
        }
    }
    places.dedup();
    let [place] = &places[..] else {
        panic!("several operations: {places:?}");
    };
    let operation = world.get(place).await.body;
    assert_eq!(operation["reference"], event["correlationid"]);
    assert_eq!(world.simulator.jobs().len(), 1);
}

/// The target of a rule on the page about it, for the API destination of this ARN.
fn target(arn: &Value) -> Value {
    let page = read("docs/event-senders.md");
    let block = page.split("```json\n").nth(1).unwrap();
    let targets = block.split("```").next().unwrap();
    let mut targets: Value = serde_json::from_str(targets).unwrap();
    targets[0]["Arn"] = arn.clone();
    targets[0].take()
}

/// The same without a transformer: the attributes are headers.
fn binary(mut target: Value) -> Value {
    target.as_object_mut().unwrap().remove("InputTransformer");
    target["Id"] = "binary".into();
    target["InputPath"] = "$.detail".into();
    target["HttpParameters"]["HeaderParameters"] = json!({
        "Prefer": "respond-async",
        "ce-specversion": "1.0",
        "ce-type": "io.graph-courier.operation.requested",
        "ce-id": "$.id",
        "ce-source": "$.source",
    });
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_by_two_targets_of_an_api_destination_is_one_operation() {
    let (world, ministack) = (World::new().await, MiniStack::start().await);
    let call = async |name: &str, body: Value| {
        let answer = ministack.call(&format!("AWSEvents.{name}"), &body).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    };
    let key = json!({ "ApiKeyName": "X-Api-Key", "ApiKeyValue": TICKETS_KEY });
    let connection = json!({
        "Name": "graph-courier", "AuthorizationType": "API_KEY",
        "AuthParameters": { "ApiKeyAuthParameters": key },
    });
    let connection = call("CreateConnection", connection).await;
    let destination = json!({
        "Name": "graph-courier", "ConnectionArn": connection["ConnectionArn"],
        "InvocationEndpoint": format!("{}/v1/operations", world.api), "HttpMethod": "POST",
    });
    let destination = call("CreateApiDestination", destination).await;
    let structured = target(&destination["ApiDestinationArn"]);
    let pattern = json!({ "detail-type": ["Graph Operation Requested"] }).to_string();
    call(
        "PutRule",
        json!({ "Name": "requests", "EventPattern": pattern }),
    )
    .await;
    let targets = json!([structured, binary(structured.clone())]);
    call(
        "PutTargets",
        json!({ "Rule": "requests", "Targets": targets }),
    )
    .await;
    let event = json!({
        "Source": "com.contoso.tickets", "DetailType": "Graph Operation Requested",
        "Detail": world.schedule().to_string(),
    });
    call("PutEvents", json!({ "Entries": [event] })).await;
    // It logs the answer to each delivery.
    let mut tick = interval(Duration::from_millis(20));
    let delivered = async {
        while ministack
            .output()
            .matches("API destination graph-courier")
            .count()
            < 2
        {
            tick.tick().await;
        }
    };
    timeout(PATIENCE, delivered).await.unwrap();
    let output = ministack.output();
    assert_eq!(
        output.matches("graph-courier: HTTP 202").count(),
        2,
        "{output}"
    );
    let list = world.get("/v1/operations").await.body;
    assert_eq!(list["operations"].as_array().unwrap().len(), 1, "{list}");
    world.work().await;
    assert_eq!(world.simulator.jobs().len(), 1);
}
