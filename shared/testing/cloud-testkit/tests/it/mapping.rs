//! The event source mapping: what a function gets, what is deleted, and how loops end.

use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::function::{Options, Outcome};
use cloud_testkit::mapping::{Counts, Mapping};
use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::proxy::{Action, Fault, Proxy};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::{lambda, until};

/// What the function does with a batch of two, and whether each of them is deleted.
fn rows() -> Vec<(&'static str, Value, [bool; 2])> {
    let items = |items: Value| json!(["answer", { "batchItemFailures": items }]);
    let one = |id: Value| items(json!([{ "itemIdentifier": id }]));
    let (both, none) = ([true, true], [false, false]);
    vec![
        ("an empty answer", json!(["answer", {}]), both),
        ("a null answer", json!(["answer", null]), both),
        ("no answer body", json!(["raw", ""]), both),
        ("a null list", items(json!(null)), both),
        ("an empty list", items(json!([])), both),
        ("the first failed", one(json!("$0")), [false, true]),
        ("the second failed", one(json!("$1")), [true, false]),
        (
            "both failed",
            items(json!([{ "itemIdentifier": "$1" }, { "itemIdentifier": "$0" }])),
            none,
        ),
        ("an empty identifier", one(json!("")), none),
        ("a null identifier", one(json!(null)), none),
        ("an unknown identifier", one(json!("nobody")), none),
        ("another key", items(json!([{ "messageId": "$0" }])), none),
        ("a list of strings", items(json!(["$0"])), none),
        ("a string", json!(["answer", "done"]), none),
        ("no JSON", json!(["raw", "{"]), none),
        ("an error", json!(["fail", "Broken", "it is"]), none),
        ("a crash", json!(["exit", 1]), none),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_deleted_exactly_when_the_answer_says_that_they_are_done() {
    let (stack, function) = tokio::join!(MiniStack::start(), lambda(&[], Options::default()));
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function).await;
    let mut expected = Counts::default();
    for (name, command, deleted) in rows() {
        let first = stack
            .send(&queue, &json!({ "do": command }).to_string())
            .await;
        let second = stack.send(&queue, "{}").await;
        let before = stack.depth(&queue).await;
        let batch = mapping.poll_once().await;
        assert_eq!(batch.received, 2, "{name}");
        for (id, deleted) in [(&first, deleted[0]), (&second, deleted[1])] {
            assert_eq!(batch.deleted.contains(id), deleted, "{name}: {batch:?}");
            assert_eq!(batch.kept.contains(id), !deleted, "{name}: {batch:?}");
        }
        let after = stack.depth(&queue).await;
        let kept = deleted.iter().filter(|deleted| !**deleted).count();
        assert_eq!(after.in_flight, before.in_flight + kept as u64, "{name}");
        assert_eq!(after.visible, 0, "{name}");
        expected.batches += 1;
        expected.kept += kept;
        expected.deleted += 2 - kept;
    }
    expected.failed_batches = 9;
    assert_eq!(mapping.counts(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_when_the_function_takes_too_long() {
    let options = Options {
        timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let (stack, function) = tokio::join!(MiniStack::start(), lambda(&[], options));
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function).await;
    stack.send(&queue, r#"{ "do": ["hang"] }"#).await;
    let batch = mapping.poll_once().await;
    assert_eq!(batch.outcome, Some(Outcome::TimedOut));
    assert_eq!((batch.kept.len(), batch.failed), (1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_message_comes_back_after_its_visibility_with_a_higher_receive_count() {
    let clock = ShiftedClock::new();
    let setup = Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    let (stack, function) = tokio::join!(
        MiniStack::start_with(setup),
        lambda(&[], Options::default())
    );
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function).await;
    let id = stack.send(&queue, r#"{ "fail": true }"#).await;
    assert_eq!(mapping.poll_once().await.kept, [id.as_str()]);
    assert_eq!(mapping.poll_once().await.received, 0);
    clock.advance(Duration::from_secs(359));
    assert_eq!(mapping.poll_once().await.received, 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!(mapping.drain().await.len(), 1);
    clock.advance(Duration::from_secs(361));
    let message = &stack.receive(&queue).await[0];
    assert_eq!((&message.id, message.receive_count()), (&id, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_looks_as_lambda_makes_it() {
    let (stack, function) = tokio::join!(MiniStack::start(), lambda(&[], Options::default()));
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function).await;
    let body = r#"{ "show": true }"#;
    let id = stack.send(&queue, body).await;
    let outcome = mapping.poll_once().await.outcome;
    let Some(Outcome::Error { kind, message }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(kind, "Shown");
    let mut event: Value = serde_json::from_str(&message).unwrap();
    let record = &mut event["Records"][0];
    for name in ["SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
        let time = record["attributes"][name].take();
        assert_eq!(time.as_str().map(str::len), Some(13), "{name}: {time}");
    }
    let handle = record["receiptHandle"].take();
    assert!(handle.as_str().is_some_and(|handle| !handle.is_empty()));
    assert_eq!(
        *record,
        json!({
            "messageId": id,
            "receiptHandle": null,
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": null,
                "SenderId": "000000000000",
                "ApproximateFirstReceiveTimestamp": null,
            },
            "messageAttributes": {},
            "md5OfBody": "1a2754abcd7f59edf49a18e468b10c89",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:work",
            "awsRegion": "us-east-1",
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_at_most_ten_messages_and_without_partial_answers_any_answer_is_success() {
    let (stack, function) = tokio::join!(MiniStack::start(), lambda(&[], Options::default()));
    let (queue, _) = stack.create_courier_queue("work").await;
    for _ in 0..12 {
        stack.send(&queue, r#"{ "fail": true }"#).await;
    }
    let mapping = Mapping::start(&stack, &queue, &function)
        .await
        .with_ordinary_batches();
    let sizes: Vec<_> = mapping
        .drain()
        .await
        .iter()
        .map(|batch| batch.received)
        .collect();
    assert_eq!(sizes, [10, 2]);
    assert_eq!(mapping.counts().deleted, 12);
    for _ in 0..3 {
        stack.send(&queue, "{}").await;
    }
    let mapping = mapping.with_batch_size(1);
    assert_eq!(mapping.drain().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mapping_finishes_its_batch_after_a_stop() {
    let (stack, function) = tokio::join!(MiniStack::start(), lambda(&[], Options::default()));
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = mapping.run(async { drop(stopped.await) });
    let test = async {
        for sent in 1..=3 {
            stack.send(&queue, "{}").await;
            until("it is handled", async || mapping.counts().deleted == sent).await;
        }
        stack
            .send(&queue, &json!({ "do": ["work", 200, 1] }).to_string())
            .await;
        until("it is busy", async || function.busy() == 1).await;
        drop(stop);
    };
    tokio::join!(running, test);
    assert_eq!(mapping.counts().kept, 1, "the answer was a number");
    assert_eq!(function.busy(), 0);
}

/// A message that makes the function send the same message again.
fn echo(queue: &str) -> String {
    json!({ "do": ["echo", queue] }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_resends_itself_is_dropped_after_seventeen_deliveries() {
    let stack = MiniStack::start().await;
    let proxy = Proxy::start(stack.url(), ShiftedClock::new().function()).await;
    let function = lambda(&[("AWS_ENDPOINT_URL", &proxy.url())], Options::default()).await;
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function)
        .await
        .with_lineage(&proxy);
    stack.send(&queue, &echo(&queue)).await;
    let batches = mapping.drain().await;
    assert_eq!(batches.len(), 18);
    assert_eq!(mapping.counts().deleted, 17, "lineage 0 to 16");
    assert_eq!(
        (mapping.deepest_lineage(), mapping.dropped_loops()),
        (16, 1)
    );
    assert_eq!(batches[17].refused.len(), 1);
    assert_eq!(batches[17].outcome, None);
    let depth = stack.depth(&queue).await;
    assert_eq!(
        (depth.visible, depth.in_flight),
        (0, 1),
        "it waits for the dead-letter queue"
    );
    let trace = proxy.calls("SendMessage")[16].trace.clone().unwrap();
    assert!(
        trace.ends_with(":16") && trace.contains(";Lineage=1:"),
        "{trace}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_a_message_from_outside_begins_has_a_lineage_of_its_own() {
    let stack = MiniStack::start().await;
    let proxy = Proxy::start(stack.url(), ShiftedClock::new().function()).await;
    let function = lambda(&[("AWS_ENDPOINT_URL", &proxy.url())], Options::default()).await;
    let (queue, _) = stack.create_courier_queue("work").await;
    let mapping = Mapping::start(&stack, &queue, &function)
        .await
        .with_lineage(&proxy);
    // As start-operation sends it: through the proxy, in an invocation without lineage.
    let request = json!({ "QueueUrl": queue, "MessageBody": echo(&queue) });
    for _ in 0..2 {
        let send = json!(["call", "AmazonSQS.SendMessage", request]);
        assert_eq!(function.invoke(&send).await.answer()["status"], 200);
        // The first echo is lost, so the chain ends after one.
        proxy.fault(Fault::on("SendMessage", Action::Close).after(0));
        mapping.drain().await;
    }
    assert_eq!((mapping.deepest_lineage(), mapping.dropped_loops()), (0, 0));
    assert_eq!(proxy.unused_faults(), [""; 0]);
}
