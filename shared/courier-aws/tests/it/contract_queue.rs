//! The promises of `Queue` and of its way of receiving, on SQS's protocol with a clock that stands still; and the limits
//! of SQS that MiniStack does not hold us to.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName};
use aws_sdk_sqs::{Client, Config};
use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::proxy::{Action, Fault, Proxy};
use courier_aws::http_client::SharedClient;
use courier_aws::queue::{SqsQueue, Waiting};
use courier_core::operation::OperationId;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use courier_testkit::contract_queue::{Consumer, Taken, queue_contract};
use courier_testkit::sample::at;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

struct Sqs {
    ministack: MiniStack,
    clock: ShiftedClock,
    client: Client,
    queue: SqsQueue,
    url: String,
}

/// A client of what answers at `url`.
pub(crate) fn client(url: &str) -> Client {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(SharedClient(http));
    Client::from_conf(config.build())
}

impl Sqs {
    async fn new() -> Self {
        let clock = ShiftedClock::new();
        clock.stand_at(at(0));
        let setup = Setup {
            clock: Some(clock.clone()),
            ..Setup::default()
        };
        let ministack = MiniStack::start_with(setup).await;
        let (url, _) = ministack.create_courier_queue("courier").await;
        let client = client(ministack.url());
        Self {
            queue: SqsQueue::new(client.clone(), &url, clock.function()),
            ministack,
            clock,
            client,
            url,
        }
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E>) -> QueueError {
    QueueError(error.into())
}

#[async_trait]
impl Queue for Sqs {
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        self.queue.send(message, due).await
    }
}

impl Consumer for Sqs {
    type Receipt = String;

    async fn receive(
        &self,
        now: Timestamp,
        limit: usize,
        visible_again: Timestamp,
    ) -> Result<Vec<Taken<String>>, QueueError> {
        self.clock.stand_at(now);
        let hidden = visible_again.duration_since(now).as_secs();
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(limit).unwrap())
            .visibility_timeout(i32::try_from(hidden).unwrap())
            .message_system_attribute_names(MessageSystemAttributeName::All);
        let received = received.send().await.map_err(failed)?.messages;
        Ok(received
            .unwrap_or_default()
            .into_iter()
            .map(taken)
            .collect())
    }

    async fn delete(&self, receipt: &String) -> Result<(), QueueError> {
        // SQS says nothing to an old receipt; MiniStack does.
        self.ministack.delete(&self.url, receipt).await;
        Ok(())
    }

    async fn postpone(&self, receipt: &String, until: Timestamp) -> Result<(), QueueError> {
        let waiting = Waiting {
            receipt: receipt.clone(),
            until,
        };
        self.queue.hide(&[waiting]).await;
        Ok(())
    }
}

fn taken(received: Received) -> Taken<String> {
    let attributes = received.attributes.unwrap_or_default();
    let receives = &attributes[&MessageSystemAttributeName::ApproximateReceiveCount];
    Taken {
        message: serde_json::from_str(&received.body.unwrap_or_default()).unwrap(),
        receipt: received.receipt_handle.unwrap_or_default(),
        receives: receives.parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_keeps_the_promises_of_a_queue() {
    queue_contract(async || Sqs::new().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_asks_for_more_than_sqs_allows() {
    let sqs = Sqs::new().await;
    let proxy = Proxy::start(sqs.ministack.url(), sqs.clock.function()).await;
    let queue = SqsQueue::new(client(&proxy.url()), &sqs.url, sqs.clock.function());
    let message = |letter: char| Message::PollV1 {
        operation_id: OperationId::random(),
        epoch: 1,
        location: Some(format!("https://graph.example/v1.0/x('{letter}')")),
        receives_before: 0,
    };
    for due in [-5, 0, 899, 900, 901, 400_000] {
        queue.send(&message('é'), at(due)).await.unwrap();
    }
    // SQS refuses what XML 1.0 cannot hold.
    queue.send(&message('\u{1}'), at(0)).await.unwrap();
    let received = sqs.receive(at(1000), 10, at(1120)).await.unwrap();
    let waiting = received
        .iter()
        .zip([0, 1, 42_700, 42_701, 43_200, 400_000, 1]);
    let waiting: Vec<Waiting> = waiting
        .map(|(taken, seconds)| Waiting {
            receipt: taken.receipt.clone(),
            until: at(1000 + seconds),
        })
        .collect();
    queue.hide(&waiting).await;

    let bodies = |operation: &str| -> Vec<Value> {
        let calls = proxy.calls(operation).into_iter();
        calls
            .map(|call| serde_json::from_slice(&call.request).unwrap())
            .collect()
    };
    let sent = bodies("SendMessage");
    let delays: Vec<_> = sent
        .iter()
        .map(|body| body["DelaySeconds"].as_i64().unwrap())
        .collect();
    assert_eq!(delays, [0, 0, 899, 900, 900, 900, 0]);
    for body in &sent {
        let text = body["MessageBody"].as_str().unwrap();
        assert!(text.chars().all(|letter| letter >= ' '), "{text:?}");
        assert!(text.len() < 1024 * 1024);
    }
    let hidden = bodies("ChangeMessageVisibilityBatch");
    let entries = hidden
        .iter()
        .flat_map(|body| body["Entries"].as_array().unwrap());
    let seconds: Vec<_> = entries
        .map(|entry| entry["VisibilityTimeout"].as_i64().unwrap())
        .collect();
    assert_eq!(seconds, [0, 1, 42_700, 42_700, 42_700, 42_700, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_messages_are_sent_in_tens_and_counted_in_flight_while_they_are_hidden() {
    let clock = ShiftedClock::new();
    let setup = Setup {
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    let ministack = MiniStack::start_with(setup).await;
    let (url, _) = ministack.create_courier_queue("many").await;
    let proxy = Proxy::start(ministack.url(), clock.function()).await;
    let queue = SqsQueue::new(client(&proxy.url()), &url, clock.function());
    let due = clock.now() + SignedDuration::from_secs(300);
    let messages: Vec<(Message, Timestamp)> = (0..205)
        .map(|number| {
            let id = OperationId::from_key("many", &number.to_string());
            (Message::wake(id, number), due)
        })
        .collect();
    queue.send_all(&messages).await.unwrap();
    assert_eq!(proxy.calls("SendMessageBatch").len(), 21);
    assert_eq!(queue.in_flight().await.unwrap(), Some(0));
    assert_eq!(ministack.receive(&url).await, [], "not before they are due");
    clock.advance(Duration::from_secs(301));
    let mut received = Vec::new();
    loop {
        let some = ministack.receive(&url).await;
        if some.is_empty() {
            break;
        }
        received.extend(some);
    }
    assert_eq!(queue.in_flight().await.unwrap(), Some(205));
    let mut bodies: Vec<Message> = received
        .iter()
        .map(|message| serde_json::from_str(&message.body).unwrap())
        .collect();
    let mut sent: Vec<Message> = messages.into_iter().map(|(message, _)| message).collect();
    for list in [&mut bodies, &mut sent] {
        list.sort_by_key(|message| message.operation_id().clone());
    }
    assert_eq!(bodies, sent);

    proxy.fault(Fault::on("SendMessageBatch", Action::throttled()).times(9));
    let again = [(Message::wake(OperationId::from_key("many", "0"), 1), due)];
    assert!(
        queue.send_all(&again).await.is_err(),
        "nothing is lost silently"
    );
}
