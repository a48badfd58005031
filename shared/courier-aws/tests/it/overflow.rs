//! More operations wait than the queue may have messages in flight: long waits are shelved, and the sweep brings them back.

use std::time::Duration;

use cloud_testkit::function::{Function, Outcome};
use cloud_testkit::mapping::Mapping;
use courier_testkit::tenants;
use serde_json::{Value, json};

use crate::cloud::{Cloud, is_closed};

const MINUTE: Duration = Duration::from_secs(60);
const OPERATIONS: usize = 6;
/// Ten operations would be too many for it, and four tenths of it are shelved from.
const LIMIT: (&str, &str) = ("COURIER_IN_FLIGHT_LIMIT", "10");

struct Deployment {
    cloud: Cloud,
    sweep: Function,
    mapping: Mapping,
    ids: Vec<String>,
}

impl Deployment {
    /// Operations that have been running for eleven hours, so that each waits for more than an hour.
    async fn after_eleven_hours() -> Self {
        let cloud = Cloud::with(|graph| graph.durations.export_seconds = 24.0 * 3600.0).await;
        let mut ids = Vec::new();
        for index in 0..OPERATIONS {
            let user = format!("6e7b768e-07e2-4810-8459-{index:012}");
            let body = tenants::export(&cloud.receiver, &user, &format!("dsar-{index}"));
            let answer = cloud.post(&format!("k-{index}"), &body).await.json();
            ids.push(answer["id"].as_str().unwrap().to_owned());
        }
        let this = Self {
            sweep: cloud.function_with("sweep-operations", LIMIT),
            mapping: cloud.mapping().await,
            cloud,
            ids,
        };
        for _ in 0..11 * 2 {
            this.cloud.clock.advance(30 * MINUTE);
            this.mapping.drain().await;
        }
        this
    }

    async fn in_flight(&self) -> u64 {
        let depth = self.cloud.ministack.depth(&self.cloud.queue_url).await;
        depth.visible + depth.in_flight + depth.delayed
    }

    /// Five minutes, at the end of which the sweep runs.
    async fn five_minutes(&self) {
        self.cloud.clock.advance(5 * MINUTE);
        self.mapping.drain().await;
        let swept = self.sweep.invoke(&json!({})).await;
        assert_eq!(swept, Outcome::Answer(json!({ "overdue": 0 })));
    }

    async fn all_closed(&self) -> bool {
        for id in &self.ids {
            if !is_closed(&self.cloud.operation(id).await) {
                return false;
            }
        }
        true
    }

    fn document(&self) -> Option<Value> {
        let puts = self.cloud.proxy.calls("PutItem").into_iter();
        let items = puts.filter_map(|call| {
            let request: Value = serde_json::from_slice(&call.request).ok()?;
            let item = &request["Item"];
            (item["pk"]["S"] == "document/overflow").then(|| item["body"]["S"].clone())
        });
        items
            .last()
            .map(|body| serde_json::from_str(body.as_str().unwrap()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_waits_leave_the_queue_and_come_back_in_time() {
    let this = Deployment::after_eleven_hours().await;
    assert_eq!(
        this.in_flight().await,
        OPERATIONS as u64,
        "a message for each"
    );
    let (mut fewest, mut rounds) = (u64::MAX, 0);
    while !this.all_closed().await {
        this.five_minutes().await;
        fewest = fewest.min(this.in_flight().await);
        rounds += 1;
        assert!(rounds < 24 * 12, "they never ended");
    }
    assert_eq!(fewest, 0, "no message waits for any of them");
    assert!(this.document().is_some());
    assert!(!this.cloud.proxy.calls("SendMessageBatch").is_empty());
    for id in &this.ids {
        let operation = this.cloud.operation(id).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
        let late = lag(&operation);
        // A tenth of 24 hours, which is what the schedule gives with messages too.
        assert!(late <= 2.6 * 3600.0, "noticed {late} s after its end");
    }
    assert_eq!(this.cloud.receiver.journal().len(), OPERATIONS);
    this.cloud.check();
}

/// The seconds from the end of a job to the end of its operation.
fn lag(operation: &Value) -> f64 {
    let time =
        |name: &str| -> jiff::Timestamp { operation[name].as_str().unwrap().parse().unwrap() };
    let length = time("endedAt").duration_since(time("startedAt"));
    length.as_secs_f64() - 24.0 * 3600.0
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_limit_nothing_is_shelved_and_nothing_is_written_about_it() {
    let mut this = Deployment::after_eleven_hours().await;
    let roomy = ("COURIER_IN_FLIGHT_LIMIT", "1000");
    this.sweep = this.cloud.function_with("sweep-operations", roomy);
    for _ in 0..18 {
        this.five_minutes().await;
    }
    assert_eq!(this.in_flight().await, OPERATIONS as u64);
    assert_eq!(this.document(), None);
    assert_eq!(this.cloud.proxy.calls("SendMessageBatch").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_stands_still_ends_the_shelving_and_what_is_shelved_is_found_overdue() {
    let this = Deployment::after_eleven_hours().await;
    this.five_minutes().await;
    assert!(this.document().is_some());
    // The sweep stands still. What is shelved within twenty minutes of its last run waits for it.
    for _ in 0..60 {
        this.cloud.clock.advance(5 * MINUTE);
        this.mapping.drain().await;
    }
    let left = this.in_flight().await;
    assert!(
        left >= OPERATIONS as u64 - 3,
        "{left} of {OPERATIONS} messages"
    );
    let swept = this.sweep.invoke(&json!({})).await;
    let expected = json!({ "overdue": OPERATIONS as u64 - left });
    assert_eq!(swept, Outcome::Answer(expected));
    for id in &this.ids {
        let operation = this.cloud.closed(id, 5 * MINUTE).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
    }
    this.cloud.check();
}
