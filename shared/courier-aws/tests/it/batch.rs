//! A batch of ten in which one step panics and one hangs: the two stay, the others are done.

use std::collections::HashSet;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::proxy::{Call as AwsCall, Proxy};
use cloud_testkit::queues::Message as Received;
use courier_aws::batch::{self, Delivery};
use courier_aws::queue::SqsQueue;
use courier_aws::table::Table;
use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_core::engine::app::App;
use courier_core::engine::platform::Platform;
use courier_core::lifecycle::Timing;
use courier_core::operation::OperationId;
use courier_core::operation::random_ids;
use courier_core::outbound::{HttpTransport, Timeouts};
use courier_core::ports::Store;
use courier_testkit::intercepted::{Call, Intercepted, Leave};
use courier_testkit::receiver::Receiver;
use courier_testkit::tenants::{self, CONFIG, TICKETS_KEY};
use graph_simulator::{Options, Simulator};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::interval;

use crate::{contract_queue, contract_store};

/// Records whose first load panics or never ends.
#[derive(Default)]
struct Sabotage {
    panics: Mutex<HashSet<OperationId>>,
    hangs: Mutex<HashSet<OperationId>>,
}

impl Sabotage {
    fn before(&self, call: Call<'_>) -> Leave {
        let Call::Load(id) = call else {
            return Box::pin(ready(()));
        };
        if self.panics.lock().unwrap().remove(id) {
            panic!("sabotage");
        }
        if self.hangs.lock().unwrap().remove(id) {
            return Box::pin(pending());
        }
        Box::pin(ready(()))
    }
}

struct Stage {
    clock: ShiftedClock,
    ministack: MiniStack,
    proxy: Proxy,
    url: String,
    queue: Arc<SqsQueue>,
    store: Arc<Intercepted<Table>>,
    sabotage: Arc<Sabotage>,
    app: App,
    receiver: Receiver,
    _simulator: Simulator,
}

impl Stage {
    async fn new() -> Self {
        let clock = ShiftedClock::new();
        let setup = Setup {
            clock: Some(clock.clone()),
            ..Setup::default()
        };
        let ministack = MiniStack::start_with(setup).await;
        ministack.create_courier_table("courier").await;
        let (url, _) = ministack.create_courier_queue("courier").await;
        let proxy = Proxy::start(ministack.url(), clock.function()).await;
        let client = contract_queue::client(&proxy.url());
        let queue = Arc::new(SqsQueue::new(client, &url, clock.function()));
        let sabotage = Arc::new(Sabotage::default());
        let table = Table::new(contract_store::client(ministack.url()), "courier");
        let hook = Arc::clone(&sabotage);
        let store = Arc::new(Intercepted::new(table, move |call| hook.before(call)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, Options::new(clock.function()))
            .await
            .unwrap();
        let receiver = Receiver::start(clock.function()).await.unwrap();
        let text = CONFIG
            .replace("{graph}", &simulator.base_url())
            .replace("{receiver}", &receiver.origin());
        let config = Config::parse(&text, Catalogue::shipped(), &tenants::resolve).unwrap();
        let timeouts = Timeouts {
            // So that a step fits into the seconds the test gives it.
            graph: Duration::from_millis(500),
            token: Duration::from_millis(500),
            callback: Duration::from_millis(500),
            ..Timeouts::default()
        };
        let transport = HttpTransport::new(&timeouts, &None, &config.allowed).unwrap();
        let platform = Platform {
            store: Arc::<Intercepted<Table>>::clone(&store),
            queue: Arc::<SqsQueue>::clone(&queue),
            transport: Arc::new(transport),
            clock: clock.function(),
            ids: random_ids(),
            timing: Timing::default(),
            timeouts,
        };
        Self {
            app: App::new(config, platform),
            clock,
            ministack,
            proxy,
            url,
            queue,
            store,
            sabotage,
            receiver,
            _simulator: simulator,
        }
    }

    async fn start(&self, number: usize) {
        let team = format!("871dbd5c-3a6a-4392-bfe1-{number:012}");
        let body = tenants::schedule(&self.receiver, &team).to_string();
        let request = http::Request::post("/v1/operations")
            .header("x-api-key", TICKETS_KEY)
            .header("content-type", "application/json")
            .body(Bytes::from(body))
            .unwrap();
        let answer = courier_core::http::handle(&self.app, request, Timestamp::MAX).await;
        assert_eq!(answer.status(), 202);
    }

    /// The poll messages among everything in the queue.
    async fn poll_messages(&self) -> Vec<Received> {
        let mut messages = Vec::new();
        loop {
            let received = self.ministack.receive(&self.url).await;
            if received.is_empty() {
                return messages;
            }
            let polls = received
                .into_iter()
                .filter(|message| message.body.contains("PollV1"));
            messages.extend(polls);
        }
    }

    async fn handle(&self, deliveries: &[Delivery], time: SignedDuration) -> Vec<String> {
        let ends_at = self.clock.now() + time;
        batch::handle(&self.app, &self.queue, deliveries, ends_at).await
    }

    /// Waits until messages have been hidden so many times, and returns the receipts of each time.
    async fn hidden(&self, times: usize) -> Vec<HashSet<String>> {
        let mut ticks = interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let calls = self.proxy.calls("ChangeMessageVisibilityBatch");
            let answered = calls.iter().filter(|call| call.status == Some(200));
            let receipts: Vec<_> = answered.map(receipts).collect();
            if receipts.len() >= times {
                return receipts;
            }
        }
    }
}

fn delivery(message: &Received) -> Delivery {
    Delivery {
        id: message.id.clone(),
        receipt: message.receipt_handle.clone(),
        body: message.body.clone(),
        receives: u32::try_from(message.receive_count()).unwrap(),
        sent_at: courier_aws::at_millisecond(message.attribute("SentTimestamp").parse().unwrap()),
    }
}

fn receipts(call: &AwsCall) -> HashSet<String> {
    let request: Value = serde_json::from_slice(&call.request).unwrap();
    let entries = request["Entries"].as_array().unwrap().iter();
    let receipts = entries.map(|entry| entry["ReceiptHandle"].as_str().unwrap().to_owned());
    receipts.collect()
}

fn operation(message: &Received) -> OperationId {
    let body: Value = serde_json::from_str(&message.body).unwrap();
    OperationId::parse(body["operationId"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_hang_leave_exactly_their_own_messages() {
    let stage = Stage::new().await;
    for number in 0..10 {
        stage.start(number).await;
    }
    stage.clock.advance(Duration::from_secs(3000));
    let messages = stage.poll_messages().await;
    assert_eq!(messages.len(), 10);
    let (panics, hangs) = (operation(&messages[3]), operation(&messages[7]));
    stage.sabotage.panics.lock().unwrap().insert(panics.clone());
    stage.sabotage.hangs.lock().unwrap().insert(hangs.clone());

    let deliveries: Vec<Delivery> = messages.iter().map(delivery).collect();
    let staying = stage
        .handle(&deliveries, SignedDuration::from_secs(9))
        .await;
    assert_eq!(staying, [&*messages[3].id, &*messages[7].id]);
    assert_eq!(stage.receiver.journal().len(), 8, "the others are done");
    for id in [&panics, &hangs] {
        let record = stage.store.inner.load(id).await.unwrap().unwrap();
        assert_eq!(record.step_crashes, 1);
        assert_eq!(record.history.last().unwrap().event, "stumbled");
    }
    assert_eq!(stage.app.metrics.take().step_crashes, 2);

    // They come back after a minute and are done then.
    assert!(stage.poll_messages().await.is_empty());
    stage.clock.advance(Duration::from_secs(61));
    let again: Vec<Delivery> = stage.poll_messages().await.iter().map(delivery).collect();
    assert_eq!(again.len(), 2);
    let staying = stage.handle(&again, SignedDuration::from_secs(9)).await;
    assert_eq!(staying, Vec::<String>::new());
    assert_eq!(stage.receiver.journal().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_without_time_left_begins_nothing() {
    let stage = Stage::new().await;
    stage.start(0).await;
    stage.clock.advance(Duration::from_secs(3000));
    let messages = stage.poll_messages().await;
    let deliveries: Vec<Delivery> = messages.iter().map(delivery).collect();
    let staying = stage
        .handle(&deliveries, SignedDuration::from_secs(6))
        .await;
    assert_eq!(staying.len(), 1);
    assert_eq!(stage.receiver.journal().len(), 0);
    let again = stage.poll_messages().await;
    assert_eq!(
        again.len(),
        1,
        "it is there for the next invocation at once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_ended_steps_are_hidden_while_a_slow_one_runs_and_the_answer_keeps_the_order() {
    let stage = Stage::new().await;
    for number in 0..4 {
        stage.start(number).await;
    }
    stage.clock.advance(Duration::from_secs(3000));
    let messages = stage.poll_messages().await;
    let deliveries: Vec<Delivery> = messages.iter().map(delivery).collect();
    // The first ends last, two wait for a minute after a panic, one is done.
    let sabotage = &stage.sabotage;
    let (mut hangs, mut panics) = (sabotage.hangs.lock(), sabotage.panics.lock());
    hangs.as_mut().unwrap().insert(operation(&messages[0]));
    panics.as_mut().unwrap().insert(operation(&messages[1]));
    panics.as_mut().unwrap().insert(operation(&messages[3]));
    drop((hangs, panics));

    let handled = stage.handle(&deliveries, SignedDuration::from_secs(10));
    tokio::pin!(handled);
    let early = tokio::select! {
        staying = &mut handled => panic!("nothing was hidden before the end: {staying:?}"),
        early = stage.hidden(1) => early,
    };
    let receipt = |index: usize| deliveries[index].receipt.clone();
    let waiting = HashSet::from([receipt(1), receipt(3)]);
    assert_eq!(early, std::slice::from_ref(&waiting));

    let staying = handled.await;
    let ids = [0, 1, 3].map(|index: usize| &*messages[index].id);
    assert_eq!(staying, ids, "in the order of the batch");
    let hidden = stage.hidden(2).await;
    assert_eq!(hidden, [waiting, HashSet::from([receipt(0)])], "each once");
}
