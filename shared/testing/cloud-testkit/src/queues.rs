//! SQS, as a test sees it: directly at MiniStack, past the proxy.

use serde_json::{Map, Value, json};

use crate::ministack::MiniStack;

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub receipt_handle: String,
    pub body: String,
    pub md5: String,
    /// The system attributes; all values are strings.
    pub attributes: Map<String, Value>,
}

/// The number of messages that a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    pub in_flight: u64,
    pub delayed: u64,
}

impl Message {
    /// Empty when there is no such attribute.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn receive_count(&self) -> u64 {
        number(self.attribute("ApproximateReceiveCount"))
    }
}

impl MiniStack {
    /// Creates a queue with attributes as SQS names them; its URL.
    pub async fn create_queue(&self, name: &str, attributes: &Value) -> String {
        let body = json!({ "QueueName": name, "Attributes": attributes });
        text(
            &self.must("AmazonSQS.CreateQueue", &body).await,
            "/QueueUrl",
        )
    }

    /// Our queue and its dead-letter queue, as deployed; their URLs.
    pub async fn create_courier_queue(&self, name: &str) -> (String, String) {
        self.create_courier_queue_with(name, 360, 1000).await
    }

    pub async fn create_courier_queue_with(
        &self,
        name: &str,
        visibility_seconds: u32,
        max_receive_count: u32,
    ) -> (String, String) {
        let (ten_days, fourteen_days) = ("864000", "1209600");
        let dead = json!({ "MessageRetentionPeriod": fourteen_days });
        let dead = self.create_queue(&format!("{name}-dead"), &dead).await;
        let redrive = json!({
            "deadLetterTargetArn": self.queue_arn(&dead).await,
            "maxReceiveCount": max_receive_count,
        });
        let attributes = json!({
            "VisibilityTimeout": visibility_seconds.to_string(),
            "MessageRetentionPeriod": ten_days,
            "RedrivePolicy": redrive.to_string(),
        });
        (self.create_queue(name, &attributes).await, dead)
    }

    /// Sends a message that is visible at once; its id.
    pub async fn send(&self, url: &str, body: &str) -> String {
        let body = json!({ "QueueUrl": url, "MessageBody": body, "DelaySeconds": 0 });
        text(
            &self.must("AmazonSQS.SendMessage", &body).await,
            "/MessageId",
        )
    }

    /// Receives up to ten messages, without waiting for one.
    pub async fn receive(&self, url: &str) -> Vec<Message> {
        self.receive_up_to(url, 10).await
    }

    pub async fn receive_up_to(&self, url: &str, most: usize) -> Vec<Message> {
        let body = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": 0,
            "MessageSystemAttributeNames": ["All"],
        });
        let answer = self.must("AmazonSQS.ReceiveMessage", &body).await;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        messages
            .iter()
            .map(|message| Message {
                id: text(message, "/MessageId"),
                receipt_handle: text(message, "/ReceiptHandle"),
                body: text(message, "/Body"),
                md5: text(message, "/MD5OfBody"),
                attributes: message["Attributes"]
                    .as_object()
                    .cloned()
                    .unwrap_or_default(),
            })
            .collect()
    }

    /// Deletes by receipt handle. `false` when the handle is an old one or the message is gone: AWS would say nothing.
    pub async fn delete(&self, url: &str, receipt_handle: &str) -> bool {
        let body = json!({ "QueueUrl": url, "ReceiptHandle": receipt_handle });
        match self.call("AmazonSQS.DeleteMessage", &body).await {
            Ok(_) => true,
            Err(error) if error.kind == "ReceiptHandleIsInvalid" => false,
            Err(error) => panic!("DeleteMessage: {error:?}"),
        }
    }

    pub async fn change_visibility(&self, url: &str, receipt_handle: &str, seconds: u32) {
        let body = json!({
            "QueueUrl": url,
            "ReceiptHandle": receipt_handle,
            "VisibilityTimeout": seconds,
        });
        self.must("AmazonSQS.ChangeMessageVisibility", &body).await;
    }

    /// All attributes, as SQS names them.
    pub async fn queue_attributes(&self, url: &str) -> Value {
        let body = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
        let mut answer = self.must("AmazonSQS.GetQueueAttributes", &body).await;
        answer["Attributes"].take()
    }

    pub async fn queue_arn(&self, url: &str) -> String {
        text(&self.queue_attributes(url).await, "/QueueArn")
    }

    pub async fn depth(&self, url: &str) -> Depth {
        let attributes = self.queue_attributes(url).await;
        let count = |name: &str| number(&text(&attributes, &format!("/{name}")));
        Depth {
            visible: count("ApproximateNumberOfMessages"),
            in_flight: count("ApproximateNumberOfMessagesNotVisible"),
            delayed: count("ApproximateNumberOfMessagesDelayed"),
        }
    }
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
        .to_owned()
}

fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is no number: {error}"))
}
