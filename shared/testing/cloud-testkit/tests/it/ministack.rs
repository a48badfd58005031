//! MiniStack by raw HTTP: queues by the shifted clock, our table, secrets.

use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::queues::Depth;
use serde_json::json;

const SIX_MINUTES: Duration = Duration::from_secs(361);

async fn with_clock() -> (MiniStack, ShiftedClock) {
    let clock = ShiftedClock::new();
    let setup = Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    (MiniStack::start_with(setup).await, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_visible_again_when_the_shifted_clock_says_so() {
    let (stack, clock) = with_clock().await;
    let (queue, _) = stack.create_courier_queue("work").await;
    let id = stack.send(&queue, "hello").await;
    let first = stack.receive(&queue).await;
    assert_eq!((first.len(), first[0].receive_count()), (1, 1));
    assert_eq!((&first[0].id, first[0].body.as_str()), (&id, "hello"));
    assert_eq!(stack.receive(&queue).await, []);
    let waiting = Depth {
        visible: 0,
        in_flight: 1,
        delayed: 0,
    };
    assert_eq!(stack.depth(&queue).await, waiting);

    clock.advance(SIX_MINUTES);
    let second = stack.receive(&queue).await;
    assert_eq!((second.len(), second[0].receive_count()), (1, 2));
    assert!(
        !stack.delete(&queue, &first[0].receipt_handle).await,
        "an old handle deletes nothing"
    );
    stack
        .change_visibility(&queue, &second[0].receipt_handle, 0)
        .await;
    let third = stack.receive(&queue).await;
    assert_eq!(third[0].receive_count(), 3);
    assert!(stack.delete(&queue, &third[0].receipt_handle).await);
    clock.advance(SIX_MINUTES);
    assert_eq!(stack.receive(&queue).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_the_dead_letter_queue_after_its_last_receive() {
    let (stack, clock) = with_clock().await;
    let (queue, dead) = stack.create_courier_queue_with("work", 360, 2).await;
    stack.send(&queue, "poison").await;
    for _ in 0..2 {
        assert_eq!(stack.receive(&queue).await.len(), 1);
        clock.advance(SIX_MINUTES);
    }
    assert_eq!(stack.receive(&queue).await, []);
    assert_eq!(stack.receive(&dead).await[0].body, "poison");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_found_by_due_time_and_by_client() {
    let stack = MiniStack::start().await;
    stack.create_courier_table("courier").await;
    let item = json!({
        "pk": { "S": "op_1" }, "shard": { "S": "0" }, "due": { "S": "2026-11-21T20:00:00Z" },
        "client": { "S": "tickets" }, "listed": { "S": "2026-11-21#op_1" },
        "status": { "S": "running" }, "record": { "S": "{}" },
    });
    let put = json!({ "TableName": "courier", "Item": item });
    stack.call("DynamoDB_20120810.PutItem", &put).await.unwrap();
    assert_eq!(stack.items("courier").await, [item]);
    for (index, key, value, shown) in [
        ("by-due", "shard", "0", json!(null)),
        ("by-client", "client", "tickets", json!({ "S": "running" })),
    ] {
        let query = json!({
            "TableName": "courier",
            "IndexName": index,
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": { "#key": key },
            "ExpressionAttributeValues": { ":value": { "S": value } },
        });
        let found = stack.call("DynamoDB_20120810.Query", &query).await.unwrap();
        assert_eq!(found["Items"][0]["pk"]["S"], "op_1", "{index}");
        assert_eq!(found["Items"][0]["status"], shown, "{index}");
        assert!(
            found["Items"][0]["record"].is_null(),
            "{index} holds what it should not"
        );
    }
    let mut again = put.clone();
    again["ConditionExpression"] = json!("attribute_not_exists(pk)");
    let refused = stack
        .call("DynamoDB_20120810.PutItem", &again)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, "ConditionalCheckFailedException");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_parameters_can_be_read_back() {
    let stack = MiniStack::start().await;
    let arn = stack.put_secret("graph", "hunter2").await;
    let secret = json!({ "SecretId": arn });
    let secret = stack
        .call("secretsmanager.GetSecretValue", &secret)
        .await
        .unwrap();
    assert_eq!(secret["SecretString"], "hunter2");
    stack.put_parameter("/courier/config", "[graph]").await;
    let parameter = json!({ "Name": "/courier/config", "WithDecryption": true });
    let parameter = stack
        .call("AmazonSSM.GetParameter", &parameter)
        .await
        .unwrap();
    assert_eq!(parameter["Parameter"]["Value"], "[graph]");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_authentication_an_unknown_key_is_refused_and_ours_is_not() {
    let setup = Setup {
        variables: vec![("AUTH".to_owned(), "true".to_owned())],
        ..Setup::default()
    };
    let stack = MiniStack::start_with(setup).await;
    stack.create_courier_queue("work").await;
    let now = ShiftedClock::new().now();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{}/us-east-1/sqs/aws4_request, \
         SignedHeaders=host, Signature=x",
        now.strftime("%Y%m%d")
    );
    let request = reqwest::Client::new()
        .post(stack.url())
        .header("x-amz-target", "AmazonSQS.ListQueues")
        .header("content-type", "application/x-amz-json-1.0")
        .header("authorization", authorization)
        .header("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ").to_string())
        .body("{}");
    let answer = request.send().await.unwrap().text().await.unwrap();
    let refusals = ["UnrecognizedClientException", "InvalidClientTokenId"];
    assert!(
        refusals.iter().any(|kind| answer.contains(kind)),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_emulators_are_isolated_and_end_with_their_owner() {
    let (one, other) = tokio::join!(MiniStack::start(), MiniStack::start());
    let queue = one.create_queue("mine", &json!({})).await;
    let missing = json!({ "QueueName": "mine" });
    let error = other
        .call("AmazonSQS.GetQueueUrl", &missing)
        .await
        .unwrap_err();
    assert_eq!(error.kind, "QueueDoesNotExist");
    let url = one.url().to_owned();
    assert!(queue.starts_with(&url));
    drop(one);
    crate::support::until("its port is closed", async || {
        reqwest::Client::new().get(&url).send().await.is_err()
    })
    .await;
}
