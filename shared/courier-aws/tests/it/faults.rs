//! What goes wrong around the functions: refused writes, a queue that takes nothing, messages that are not ours, twice
//! or late, lost messages, a function killed at its timeout.

use std::time::Duration;

use cloud_testkit::function::Outcome;
use cloud_testkit::proxy::{Action, Fault};
use courier_testkit::tenants;
use graph_simulator::{Action as GraphAction, Fault as GraphFault};
use serde_json::{Value, json};

use crate::binaries::root;
use crate::cloud::Cloud;

const MINUTE: Duration = Duration::from_secs(60);
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("events").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The bodies of all messages that the functions have sent, in order.
fn sent(cloud: &Cloud) -> Vec<Value> {
    let calls = cloud.proxy.calls("SendMessage").into_iter();
    let bodies = calls.map(|call| {
        let request: Value = serde_json::from_slice(&call.request).unwrap();
        serde_json::from_str(request["MessageBody"].as_str().unwrap()).unwrap()
    });
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_is_503_and_nothing_starts() {
    let cloud = Cloud::new().await;
    let body = tenants::schedule(&cloud.receiver, TEAM);
    for action in [Action::throttled(), Action::internal()] {
        // The record; the deployment's key may be written before it.
        let fault = Fault::on("PutItem", action).containing("op_").times(3);
        cloud.proxy.fault(fault);
        let answer = cloud.post("k", &body).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(cloud.simulator.journal(), []);
    let items = cloud.ministack.items("courier").await;
    let deployment = |item: &Value| item.to_string().contains("deployment");
    assert!(items.iter().all(deployment), "{items:?}");
    assert_eq!(sent(&cloud), Vec::<Value>::new());
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_refuses_is_503_and_graph_is_not_called_until_the_request_is_repeated() {
    let cloud = Cloud::new().await;
    let body = tenants::export(
        &cloud.receiver,
        "6e7b768e-07e2-4810-8459-485f84f8f204",
        "dsar",
    );
    cloud
        .proxy
        .fault(Fault::on("SendMessage", Action::kms_throttled()).times(3));
    let answer = cloud.post("k", &body).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(
        cloud.simulator.journal(),
        [],
        "Graph was called without a message"
    );
    cloud.proxy.clear_faults();
    let answer = cloud.post("k", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let operation = answer.json();
    let operation = cloud
        .closed(operation["id"].as_str().unwrap(), MINUTE)
        .await;
    assert_eq!(operation["status"], "succeeded");
    assert_eq!(cloud.simulator.calls("export.start").len(), 1);
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_messages_are_dead_lettered_and_their_batch_is_done() {
    let cloud = Cloud::new().await;
    let id = cloud
        .post("k", &tenants::schedule(&cloud.receiver, TEAM))
        .await
        .json()["id"]
        .clone();
    let mut strange = Vec::new();
    for name in ["sqs-malformed.json", "sqs-foreign.json"] {
        let body = sample(name)["Records"][0]["body"]
            .as_str()
            .unwrap()
            .to_owned();
        cloud.ministack.send(&cloud.queue_url, &body).await;
        strange.push(body);
    }
    // A message gets five tries, a minute apart.
    let mapping = cloud.mapping().await;
    for _ in 0..4 {
        mapping.drain().await;
        let dead = cloud.ministack.depth(&cloud.dead_letter_url).await;
        assert_eq!(dead.visible, 0, "too early");
        cloud.clock.advance(Duration::from_secs(61));
    }
    mapping.drain().await;
    let operation = cloud.closed(id.as_str().unwrap(), MINUTE).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    let mut dead_letters: Vec<String> = cloud
        .ministack
        .receive(&cloud.dead_letter_url)
        .await
        .into_iter()
        .map(|message| message.body)
        .collect();
    dead_letters.sort();
    strange.sort();
    assert_eq!(dead_letters, strange);
    cloud.clock.advance(2 * MINUTE);
    mapping.drain().await;
    let depth = cloud.ministack.depth(&cloud.queue_url).await;
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 0));
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_reordered_and_resurrected_messages_change_nothing() {
    let cloud = Cloud::with(|graph| graph.durations.schedule_seconds = 600.0).await;
    let id = cloud
        .post("k", &tenants::schedule(&cloud.receiver, TEAM))
        .await
        .json()["id"]
        .clone();
    let id = id.as_str().unwrap();
    let messages = sent(&cloud);
    assert_eq!(
        messages.len(),
        2,
        "a watchdog and a poll message: {messages:?}"
    );
    let mut foreign = messages[1].clone();
    foreign["location"] = json!(cloud.receiver.url("/steal"));
    let strange = [&messages[1], &messages[0], &foreign, &messages[1]].map(ToString::to_string);
    for message in &strange {
        cloud.ministack.send(&cloud.queue_url, message).await;
    }
    let operation = cloud.closed(id, MINUTE).await;
    assert_eq!(operation["status"], "succeeded");
    // One event; whoever carries a copy of the message may deliver it.
    let callbacks = cloud.receiver.journal().len();
    assert!((1..=3).contains(&callbacks), "{callbacks} callbacks");
    let polls = cloud.simulator.calls("schedule.poll").len();
    for message in &strange {
        cloud.ministack.send(&cloud.queue_url, message).await;
    }
    let batches = cloud.mapping().await.drain().await;
    let deleted: usize = batches.iter().map(|batch| batch.deleted.len()).sum();
    assert_eq!(deleted, 4, "resurrected after the end");
    assert_eq!(cloud.simulator.calls("schedule.poll").len(), polls);
    assert_eq!(cloud.receiver.journal().len(), callbacks);
    let places = cloud.receiver.journal();
    assert!(places.iter().all(|call| call.path.starts_with("/hooks/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_without_a_message_are_found_by_the_sweeper() {
    let cloud = Cloud::new().await;
    let id = cloud
        .post(
            "k",
            &tenants::goals(
                &cloud.receiver,
                "94a356ab-53d5-40e7-8a85-053d6d3b9eb3",
                "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e",
            ),
        )
        .await
        .json()["id"]
        .clone();
    // Visible now, and deleted: as a queue that was purged.
    cloud.clock.advance(Duration::from_secs(3600));
    for message in cloud.ministack.receive(&cloud.queue_url).await {
        cloud
            .ministack
            .delete(&cloud.queue_url, &message.receipt_handle)
            .await;
    }
    let event = sample("schedule.json");
    let swept = async || cloud.sweep.invoke(&event).await;
    assert_eq!(swept().await, Outcome::Answer(json!({ "overdue": 1 })));
    assert_eq!(
        swept().await,
        Outcome::Answer(json!({ "overdue": 0 })),
        "it has a message again"
    );
    let operation = cloud.closed(id.as_str().unwrap(), MINUTE).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_killed_at_the_functions_timeout_is_finished_by_the_watchdog() {
    let cloud = Cloud::new().await;
    // The deployment's key, the record, its place in the team's line and the claim are written; what Graph answered is not.
    let unwritten = Fault::on("PutItem", Action::Hang).after(4).times(100);
    cloud.proxy.fault(unwritten);
    let answer = cloud
        .post("k", &tenants::schedule(&cloud.receiver, TEAM))
        .await;
    assert_eq!(
        answer.status, 500,
        "what API Gateway says of a timeout: {answer:?}"
    );
    cloud.proxy.clear_faults();
    assert_eq!(cloud.simulator.calls("schedule.start").len(), 1);
    cloud.clock.advance(Duration::from_secs(80));
    let answer = cloud
        .post("k", &tenants::schedule(&cloud.receiver, TEAM))
        .await;
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    let operation = cloud
        .closed(answer.json()["id"].as_str().unwrap(), MINUTE)
        .await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    assert_eq!(
        cloud.simulator.calls("schedule.start").len(),
        2,
        "it repeats harmlessly"
    );
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_twenty_days_is_carried_by_renewed_messages() {
    let cloud = Cloud::with(|graph| graph.durations.export_seconds = 20.0 * 24.0 * 3600.0).await;
    let body = tenants::export(
        &cloud.receiver,
        "6e7b768e-07e2-4810-8459-485f84f8f204",
        "dsar",
    );
    let id = cloud.post("k", &body).await.json()["id"].clone();
    // The first look of its own message; a watchdog that came with it would take over.
    cloud.clock.advance(Duration::from_secs(70));
    cloud.mapping().await.drain().await;
    let operation = cloud
        .closed(id.as_str().unwrap(), Duration::from_secs(1800))
        .await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    let messages = sent(&cloud);
    let epochs: Vec<_> = messages[1..]
        .iter()
        .map(|message| message["hop"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [1, 2, 3], "a fresh message every seven days");
    let polls = cloud.simulator.calls("export.poll").len() as u64;
    let reported = operation["graph"]["polls"].as_u64().unwrap();
    // A fresh message comes once too early: SQS delays for 15 minutes at most.
    assert!(
        (polls..=polls + 2).contains(&reported),
        "{reported} reported, {polls} made"
    );
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_graph_is_waited_for_as_long_as_it_asks() {
    let cloud = Cloud::new().await;
    let storm = GraphAction::throttled(429, Some("600"));
    cloud
        .simulator
        .script(GraphFault::new("schedule.poll", storm).times(3));
    let id = cloud
        .post("k", &tenants::schedule(&cloud.receiver, TEAM))
        .await
        .json()["id"]
        .clone();
    let operation = cloud.closed(id.as_str().unwrap(), MINUTE).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    assert!(
        cloud.poll.logs().contains("\"Throttled\":1"),
        "{}",
        cloud.poll.logs()
    );
    cloud.check();
}
