//! Requests that come as events: from a bus through the intake queue to the function that accepts them.

use std::time::Duration;

use cloud_testkit::function::Function;
use cloud_testkit::mapping::{Batch, Mapping};
use cloud_testkit::proxy::{Action, Fault};
use serde_json::{Value, json};

use crate::binaries::root;
use crate::cloud::Cloud;
use crate::pipeline::{call, subscribe};

const MINUTE: Duration = Duration::from_secs(61);
const QUEUE: &str = "courier-intake";

/// Gives the queue to a client, and returns the function behind it.
pub(crate) async fn accept(cloud: &Cloud) -> Function {
    let client = "[clients.bus]\ntenant = \"contoso\"\nsource = \"sqs:courier-intake\"\n\
        operations = [\"team.schedule\"]\n[seal]";
    let config = cloud.config.replace("[seal]", client);
    cloud.replace_secret("courier/config", &config).await;
    cloud.function("accept-request", &[])
}

/// The body of the message in a sample event.
fn sample(name: &str) -> String {
    let text = std::fs::read_to_string(root().join("events").join(name)).unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    event["Records"][0]["body"].as_str().unwrap().to_owned()
}

/// Publishes the event of the sample on the default bus, whose rule delivers it to the queue.
async fn publish(cloud: &Cloud, queue: &str) {
    let pattern = json!({ "detail-type": ["Graph Operation Requested"] });
    subscribe(cloud, "requests", &pattern, queue).await;
    let event: Value = serde_json::from_str(&sample("intake-eventbridge.json")).unwrap();
    let entry = json!({
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": event["detail"].to_string(),
    });
    call(cloud, "PutEvents", &json!({ "Entries": [entry] })).await;
}

/// The numbers of messages that were deleted and kept.
fn counts(batches: &[Batch]) -> (usize, usize) {
    let sum = |ids: fn(&Batch) -> usize| batches.iter().map(ids).sum();
    (
        sum(|batch| batch.deleted.len()),
        sum(|batch| batch.kept.len()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_on_a_bus_begins_one_operation_however_often_it_is_delivered() {
    let cloud = Cloud::new().await;
    let (queue, _) = cloud.ministack.create_courier_queue(QUEUE).await;
    publish(&cloud, &queue).await;
    let mapping = Mapping::start(&cloud.ministack, &queue, &accept(&cloud).await).await;
    let [message] = &cloud.ministack.receive(&queue).await[..] else {
        panic!("no event in the queue");
    };
    // The table refuses the first time: the message comes again.
    let fault = Fault::on("PutItem", Action::internal())
        .containing("op_")
        .times(3);
    cloud.proxy.fault(fault);
    cloud.ministack.send(&queue, &message.body).await;
    assert_eq!(counts(&mapping.drain().await), (0, 1));
    cloud.clock.advance(MINUTE);
    for _ in 0..2 {
        cloud.ministack.send(&queue, &message.body).await;
    }
    assert_eq!(counts(&mapping.drain().await), (3, 0));
    assert_eq!(cloud.simulator.calls("schedule.start").len(), 1);
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_and_deleted_and_what_is_no_event_goes_to_the_dead_letters() {
    let cloud = Cloud::new().await;
    let (queue, dead) = cloud.ministack.create_courier_queue(QUEUE).await;
    let accept = accept(&cloud).await;
    let mapping = Mapping::start(&cloud.ministack, &queue, &accept).await;
    let other = sample("intake-eventbridge.json").replace("team.schedule", "goals.exportJob");
    let (foreign, good) = (
        sample("intake-foreign.json"),
        sample("intake-cloudevent.json"),
    );
    for body in [&other, &foreign, &good] {
        cloud.ministack.send(&queue, body).await;
    }
    assert_eq!(counts(&mapping.drain().await), (2, 1));
    let logs = accept.logs();
    assert!(
        logs.contains("urn:graph-courier:problem:operation-forbidden"),
        "{logs}"
    );
    assert!(logs.contains("\"EventsRefused\":1"), "{logs}");
    for _ in 0..4 {
        assert_eq!(cloud.ministack.receive(&dead).await, []);
        cloud.clock.advance(MINUTE);
        mapping.drain().await;
    }
    let [letter] = &cloud.ministack.receive(&dead).await[..] else {
        panic!("no dead letter: {}", accept.logs());
    };
    assert_eq!(letter.body, foreign);
    assert_eq!(cloud.ministack.depth(&queue).await.in_flight, 0);
    assert_eq!(cloud.simulator.calls("schedule.start").len(), 1);
    cloud.check();
}
