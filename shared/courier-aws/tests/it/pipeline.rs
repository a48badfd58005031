//! One ticket from an event on a bus to an event on a bus: the intake queue, a container that graph-courier makes itself,
//! the export, and the announcement of its end.

use std::time::Duration;

use cloud_testkit::mapping::Mapping;
use graph_simulator::{STORAGE_ACCOUNT, STORAGE_KEY};
use serde_json::{Value, json};

use crate::cloud::Cloud;

const MINUTE: Duration = Duration::from_secs(61);
const PERSON: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
/// Minutes by which the export has ended and is announced.
const LOOKS: usize = 60;

/// Calls EventBridge.
pub(crate) async fn call(cloud: &Cloud, action: &str, body: &Value) {
    let target = format!("AWSEvents.{action}");
    let called = cloud.ministack.call(&target, body);
    called.await.unwrap();
}

/// Has what matches the pattern on the default bus delivered to a queue.
pub(crate) async fn subscribe(cloud: &Cloud, rule: &str, pattern: &Value, queue: &str) {
    let arn = cloud.ministack.queue_arn(queue).await;
    let named = json!({ "Name": rule, "EventPattern": pattern.to_string() });
    call(cloud, "PutRule", &named).await;
    let targets = json!({ "Rule": rule, "Targets": [{ "Id": rule, "Arn": arn }] });
    call(cloud, "PutTargets", &targets).await;
}

/// Gives a client to the intake queue, a storage to its tenant, and a bus to the events.
async fn configure(cloud: &Cloud) {
    let (_, after) = cloud.config.split_once("aws-secret:").unwrap();
    let secrets = after.split('#').next().unwrap();
    let (graph, events) = (cloud.simulator.base_url(), cloud.ministack.url());
    let more = format!(
        r#"
[graph.tenants.contoso.storage.dsar-eu]
account = "{STORAGE_ACCOUNT}"
key = "aws-secret:{secrets}#STORAGE_KEY"
endpoint = "{graph}/{STORAGE_ACCOUNT}"
[clients.dsar-bus]
tenant = "contoso"
source = "sqs:courier-intake"
operations = ["user.exportPersonalData"]
[events]
source = "https://courier.contoso.example"
bus = "arn:aws:events:us-east-1:000000000000:event-bus/default"
endpoint = "{events}"
"#
    );
    let config = format!("{}{more}", cloud.config);
    cloud.replace_secret("courier/config", &config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_goes_from_an_event_on_a_bus_to_an_event_on_a_bus_and_no_secret_is_in_either() {
    let cloud = Cloud::with(|graph| graph.durations.export_seconds = 600.0).await;
    configure(&cloud).await;
    let (intake, _) = cloud.ministack.create_courier_queue("courier-intake").await;
    let (told, _) = cloud.ministack.create_courier_queue("told").await;
    let requests = json!({ "detail-type": ["Graph Operation Requested"] });
    subscribe(&cloud, "requests", &requests, &intake).await;
    let ours = json!({ "source": ["io.graph-courier"] });
    subscribe(&cloud, "told", &ours, &told).await;

    let request = json!({
        "operation": "user.exportPersonalData",
        "parameters": { "userId": PERSON, "storage": "dsar-eu" },
        "reference": "DSAR-2026-0042",
        "legal": { "regulation": "gdpr", "receivedAt": cloud.clock.now(), "timeZone": "Europe/Berlin" },
    });
    let entry = json!({ "Source": "com.contoso.privacy", "DetailType": "Graph Operation Requested", "Detail": request.to_string() });
    call(&cloud, "PutEvents", &json!({ "Entries": [entry] })).await;

    let accept = cloud.function("accept-request", &[]);
    let requests = Mapping::start(&cloud.ministack, &intake, &accept).await;
    let taken = requests.drain().await;
    assert_eq!(taken[0].deleted.len(), 1, "{}", accept.logs());

    let mut events: Vec<Value> = Vec::new();
    let is_ended = |event: &Value| event["detail-type"] == "Graph Operation Ended";
    for _ in 0..LOOKS {
        cloud.clock.advance(MINUTE);
        cloud.mapping().await.drain().await;
        for message in cloud.ministack.receive(&told).await {
            assert!(!message.body.contains(PERSON), "{}", message.body);
            assert!(!message.body.contains("sig="), "{}", message.body);
            assert!(!message.body.contains(STORAGE_KEY), "{}", message.body);
            events.push(serde_json::from_str(&message.body).unwrap());
        }
        if events.iter().any(is_ended) {
            break;
        }
    }
    let kinds: Vec<_> = events.iter().map(|event| &event["detail-type"]).collect();
    let ended: Vec<_> = events.iter().filter(|event| is_ended(event)).collect();
    let [ended] = ended[..] else {
        panic!("{kinds:?} {}", cloud.poll.logs())
    };
    let detail = &ended["detail"];
    assert_eq!(detail["data"]["status"], "succeeded", "{ended}");
    assert_eq!(
        detail["metadata"]["correlationId"], "DSAR-2026-0042",
        "{ended}"
    );
    for kind in ["Graph Operation Accepted", "Graph Operation Started"] {
        assert!(
            kinds.iter().any(|other| **other == kind),
            "{kind} of {kinds:?}"
        );
    }
    assert_eq!(cloud.simulator.calls("export.start").len(), 1);
    cloud.check();
}
