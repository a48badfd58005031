//! From an HTTP event to a signed callback, through the binaries that are deployed; and the sample events of `events/`.

use std::collections::BTreeSet;
use std::time::Duration;

use cloud_testkit::function::Outcome;
use courier_testkit::tenants;
use serde_json::{Value, json};

use crate::binaries::root;
use crate::cloud::Cloud;

const MINUTE: Duration = Duration::from_secs(60);

/// A sample event; its callback goes to the receiver of this cloud.
fn event(cloud: &Cloud, name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("events").join(name)).unwrap();
    let mut event: Value = serde_json::from_str(&text).unwrap();
    let Some(body) = event["body"].as_str() else {
        return event;
    };
    let placeholder = "http://127.0.0.1:9999";
    assert!(body.contains(placeholder), "{name}");
    event["body"] = json!(body.replace(placeholder, &cloud.receiver.origin()));
    event
}

/// What the start function answers to a sample event: status, headers and the body's JSON.
async fn answer(cloud: &Cloud, event: &Value) -> (u64, Value, Value) {
    let Outcome::Answer(answer) = cloud.start.invoke(event).await else {
        panic!("no answer: {}", cloud.start.logs());
    };
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (
        answer["statusCode"].as_u64().unwrap(),
        answer["headers"].clone(),
        body,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sample_request_ends_in_a_signed_callback() {
    let cloud = Cloud::new().await;
    let mut ids = BTreeSet::new();
    for name in ["http-export.json", "http-goals.json", "http-schedule.json"] {
        let (status, headers, operation) = answer(&cloud, &event(&cloud, name)).await;
        assert_eq!(status, 202, "{name}: {operation}");
        let id = operation["id"].as_str().unwrap().to_owned();
        assert_eq!(headers["location"], format!("/v1/operations/{id}"));
        ids.insert(id);
    }
    for id in &ids {
        let operation = cloud.closed(id, MINUTE).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
        assert_eq!(operation["callback"]["status"], "delivered", "{operation}");
    }
    let callbacks = cloud.receiver.journal();
    let notified: BTreeSet<String> = callbacks
        .iter()
        .map(|callback| {
            let body: Value = serde_json::from_slice(&callback.body).unwrap();
            body["data"]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((notified, callbacks.len()), (ids, 3));
    // The watchdogs have outlived their operations.
    cloud.clock.advance(2 * MINUTE);
    cloud.mapping().await.drain().await;
    let depth = cloud.ministack.depth(&cloud.queue_url).await;
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 0));
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_of_a_day_uses_one_message() {
    let cloud = Cloud::with(|graph| {
        graph.durations.schedule_seconds = 24.0 * 3600.0;
        graph.behaviour.schedule.retry_after_poll = Some("300".to_owned());
    })
    .await;
    let mut body = tenants::schedule(&cloud.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50");
    body["deadline"] = json!(cloud.clock.now() + jiff::SignedDuration::from_hours(48));
    let answer = cloud.post("a-day", &body).await.json();
    let id = answer["id"].as_str().unwrap();
    let operation = cloud.closed(id, MINUTE).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    let polls = operation["graph"]["polls"].as_u64().unwrap();
    assert!((200..500).contains(&polls), "{polls} polls");
    // The watchdog and the poll message; nothing was sent again.
    assert_eq!(cloud.proxy.calls("SendMessage").len(), 2);
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_schedules_of_one_team_start_in_the_order_in_which_they_were_asked_for() {
    let cloud = Cloud::new().await;
    let mut asked = Vec::new();
    for number in 0..20 {
        let mut body = tenants::schedule(&cloud.receiver, "871dbd5c-3a6a-4392-bfe1-042452793a50");
        let zone = format!("Etc/GMT+{number}");
        body["parameters"]["schedule"]["timeZone"] = json!(zone);
        let key = format!("schedule-{number}");
        let id = cloud.post_later(&key, &body).await.json()["id"].clone();
        asked.push((zone, id.as_str().unwrap().to_owned()));
    }
    for (_, id) in &asked {
        let operation = cloud.closed(id, MINUTE).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
    }
    let starts = cloud.simulator.calls("schedule.start");
    let zones: Vec<_> = starts
        .iter()
        .map(|call| call.body.as_ref().unwrap()["timeZone"].as_str().unwrap())
        .collect();
    let expected: Vec<_> = asked.iter().map(|(zone, _)| zone.as_str()).collect();
    assert_eq!(zones, expected);
}
