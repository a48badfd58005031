//! The proxy: it changes nothing, writes everything down, and strikes by script.

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::function::{Function, Options, Outcome};
use cloud_testkit::ministack::MiniStack;
use cloud_testkit::proxy::{Action, Fault, Proxy};
use serde_json::{Value, json};

use crate::support::{lambda, until};

struct Wire {
    stack: MiniStack,
    proxy: Proxy,
    clock: ShiftedClock,
    function: Function,
    queue: String,
}

impl Wire {
    async fn new() -> Self {
        let (stack, clock) = (MiniStack::start().await, ShiftedClock::new());
        let proxy = Proxy::start(stack.url(), clock.function()).await;
        let function = lambda(&[("AWS_ENDPOINT_URL", &proxy.url())], Options::default()).await;
        let (queue, _) = stack.create_courier_queue("work").await;
        Self {
            stack,
            proxy,
            clock,
            function,
            queue,
        }
    }

    async fn send(&self, body: &str) -> Value {
        let request = json!({ "QueueUrl": self.queue, "MessageBody": body });
        let call = json!(["call", "AmazonSQS.SendMessage", request]);
        self.function.invoke(&call).await.answer()
    }

    async fn visible(&self) -> u64 {
        self.stack.depth(&self.queue).await.visible
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_passed_on_and_written_down() {
    let wire = Wire::new().await;
    let before = wire.clock.now();
    let answer = wire.send("canary").await;
    assert_eq!(answer["status"], 200);
    assert_eq!(wire.visible().await, 1);
    let calls = wire.proxy.journal();
    assert_eq!(calls.len(), 1, "what the test does itself passes by");
    let call = &calls[0];
    assert_eq!(
        (call.service.as_str(), call.operation.as_str()),
        ("SQS", "SendMessage")
    );
    assert_eq!(
        (call.seq, call.status, call.fault.as_deref()),
        (1, Some(200), None)
    );
    assert!(before <= call.at && call.at <= wire.clock.now());
    assert!(
        call.trace
            .as_deref()
            .is_some_and(|trace| trace.starts_with("Root=1-"))
    );
    let response: Value = serde_json::from_slice(&call.response).unwrap();
    assert_eq!(response, answer["body"]);
    assert_eq!(wire.proxy.find("canary").len(), 1);
    assert_eq!(
        wire.proxy.find("SignedHeaders").len(),
        1,
        "headers are searched too"
    );
    assert_eq!(wire.proxy.find("albatross").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_urls_come_back_as_the_proxys_own_and_both_are_understood() {
    let wire = Wire::new().await;
    let url = json!(["call", "AmazonSQS.GetQueueUrl", { "QueueName": "work" }]);
    let url = wire.function.invoke(&url).await.answer()["body"]["QueueUrl"].take();
    assert_eq!(url, wire.proxy.through(&wire.queue));
    let request = json!({ "QueueUrl": url, "MessageBody": "x" });
    let send = json!(["call", "AmazonSQS.SendMessage", request]);
    assert_eq!(wire.function.invoke(&send).await.answer()["status"], 200);
    assert_eq!(wire.visible().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_strikes_as_often_and_as_late_as_the_script_says() {
    let wire = Wire::new().await;
    let refusal = Action::refuse(503, "ServiceUnavailable", "not now");
    wire.proxy
        .fault(Fault::on("SendMessage", refusal).after(1).times(2));
    wire.proxy
        .fault(Fault::on("SendMessage", Action::kms_throttled()).containing("sealed"));
    let mut statuses = Vec::new();
    for body in ["a", "b", "c", "d", "sealed", "e"] {
        statuses.push(wire.send(body).await["status"].as_u64().unwrap());
    }
    assert_eq!(statuses, [200, 503, 503, 200, 400, 200]);
    assert_eq!(wire.visible().await, 3);
    assert_eq!(wire.proxy.unused_faults(), [""; 0]);
    let call = &wire.proxy.journal()[1];
    let response: Value = serde_json::from_slice(&call.response).unwrap();
    assert_eq!(
        response,
        json!({ "__type": "ServiceUnavailable", "message": "not now" })
    );
    assert!(call.fault.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_never_struck_is_reported() {
    let wire = Wire::new().await;
    wire.proxy
        .fault(Fault::on("PutItem", Action::throttled()).times(2));
    wire.send("a").await;
    let unused = wire.proxy.unused_faults();
    assert_eq!(unused.len(), 1);
    assert!(unused[0].contains("PutItem"), "{unused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_can_be_lost_after_the_call_or_instead_of_it() {
    let wire = Wire::new().await;
    wire.proxy
        .fault(Fault::on("SendMessage", Action::AppliedButLost));
    wire.proxy.fault(Fault::on("SendMessage", Action::Close));
    assert!(wire.send("applied").await["lost"].is_string());
    assert_eq!(wire.visible().await, 1);
    assert!(wire.send("never sent").await["lost"].is_string());
    assert_eq!(wire.visible().await, 1);
    let calls = wire.proxy.calls("SendMessage");
    let journal: Vec<_> = calls
        .iter()
        .map(|call| (call.status, call.response.is_empty()))
        .collect();
    assert_eq!(journal, [(None, false), (None, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_ends_with_its_caller() {
    let wire = Wire::new().await;
    wire.proxy.fault(Fault::on("SendMessage", Action::Hang));
    wire.proxy
        .fault(Fault::on("SendMessage", Action::AppliedThenHangs));
    for (body, visible) in [("unsent", 0), ("sent", 1)] {
        let request = json!({ "QueueUrl": wire.queue, "MessageBody": body });
        let call = json!(["call", "AmazonSQS.SendMessage", request]);
        let (outcome, ()) = tokio::join!(wire.function.invoke(&call), async {
            until("the call has come", async || {
                !wire.proxy.find(body).is_empty()
            })
            .await;
            until("it is applied", async || wire.visible().await == visible).await;
            wire.function.kill_running().await;
        });
        assert_eq!(outcome, Outcome::Crashed);
    }
    assert_eq!(wire.send("alive").await["status"], 200);
}
