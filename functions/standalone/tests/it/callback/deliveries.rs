//! Delivery attempts: which answers count as delivered, when the next attempt is due, when delivery is given up, and
//! what every attempt carries.

use std::collections::BTreeSet;
use std::time::Duration;

use courier_testkit::receiver::{Answer, Callback};
use courier_testkit::world::{World, delivery};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// Pauses between attempts, in seconds.
const PAUSES: [f64; 9] = [
    5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0,
];
/// Seconds from the first to the last attempt, the sum of [`PAUSES`]: 75 h 35 min 5 s.
const WINDOW_SECONDS: f64 = 272_105.0;

async fn world() -> World {
    World::with(|setup| setup.timeouts.callback = Duration::from_millis(150)).await
}

/// Returns the id of an operation that has ended, so that its first callback is due now.
async fn ended(world: &World) -> String {
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let answer = world.post(&world.schedule()).await;
    assert_eq!(answer.body["status"], "succeeded");
    answer.id()
}

fn seconds(from: &Callback, to: &Callback) -> f64 {
    to.at.duration_since(from.at).as_secs_f64()
}

fn http_date(time: Timestamp) -> String {
    let utc = time.to_zoned(TimeZone::UTC);
    utc.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn every_2xx_is_a_delivery() {
    for status in [200, 201, 202, 204, 206, 299] {
        let world = world().await;
        world.receiver.answer_next(Answer::status(status));
        let id = ended(&world).await;
        let closed = world.closed(&id).await;
        let callback = json!({ "status": "delivered", "attempts": 1, "lastStatus": status });
        assert_eq!(delivery(&closed), callback);
        assert!(!world.jump().await, "nothing waits any more");
    }
}

#[tokio::test]
async fn a_2xx_with_a_huge_or_slow_body_is_a_delivery() {
    let pause = Duration::from_millis(40);
    for answer in [
        Answer::Huge { bytes: 50_000_000 },
        Answer::Drip { bytes: 900, pause },
    ] {
        let world = world().await;
        world.receiver.answer_next(answer);
        let id = ended(&world).await;
        assert_eq!(world.closed(&id).await["callback"]["status"], "delivered");
        assert_eq!(world.receiver.journal().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_no_2xx_is_retried_for_75_hours_and_then_undeliverable() {
    let refusals = [300, 304, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504].map(Answer::status);
    let silent = [Answer::Hang, Answer::Close];
    for answer in refusals.into_iter().chain(silent) {
        let world = world().await;
        world.receiver.answer_otherwise(answer.clone());
        let id = ended(&world).await;
        let closed = world.closed(&id).await;
        let tries = world.receiver.journal();
        for (index, pause) in PAUSES[..8].iter().enumerate() {
            let waited = seconds(&tries[index], &tries[index + 1]);
            let range = pause * 0.8..pause * 1.2 + 0.01;
            assert!(range.contains(&waited), "{answer:?} {index}: {waited}");
        }
        let last = tries.last().unwrap();
        assert!((10..=11).contains(&tries.len()), "{}", tries.len());
        assert!((seconds(&tries[0], last) - WINDOW_SECONDS).abs() < 0.01);
        let status = match answer {
            Answer::Status { status, .. } => json!(status),
            Answer::Hang | Answer::Close | Answer::Drip { .. } | Answer::Huge { .. } => Value::Null,
        };
        let callback =
            json!({ "status": "undeliverable", "attempts": tries.len(), "lastStatus": status });
        assert_eq!(delivery(&closed), callback, "{answer:?}");
        let list = world.get("/v1/operations").await.body;
        assert_eq!(delivery(&list["operations"][0]), callback);
        assert_eq!(world.history(&id).await.last().unwrap(), "undeliverable");
        assert!(!world.jump().await, "nothing waits any more");
        world.advance(Duration::from_secs(900_000)).await;
        courier_core::engine::sweep::sweep(&world.app, Timestamp::MAX)
            .await
            .unwrap();
        world.work().await;
        assert_eq!(world.receiver.journal().len(), tries.len(), "{answer:?}");
    }
}

#[tokio::test]
async fn pauses_of_different_operations_differ() {
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let world = world().await;
        world.receiver.answer_next(Answer::status(500));
        world.receiver.answer_next(Answer::status(500));
        let id = ended(&world).await;
        world.closed(&id).await;
        let tries = world.receiver.journal();
        pauses.push(seconds(&tries[1], &tries[2]));
    }
    pauses.sort_by(f64::total_cmp);
    assert!(pauses[7] - pauses[0] > 5.0, "{pauses:?}");
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let world = world().await;
        let elsewhere = world.receiver.url("/elsewhere");
        let answer = Answer::status(status).header("location", &elsewhere);
        world.receiver.answer_next(answer);
        let id = ended(&world).await;
        let closed = world.closed(&id).await;
        assert_eq!(closed["callback"]["attempts"], 2, "{status}");
        for callback in world.receiver.journal() {
            assert!(callback.path.starts_with("/hooks/graph?token="));
            assert_eq!(callback.method, "POST", "{status}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_full() {
    for status in [400, 429, 503] {
        for (retry_after, least) in [("7200", 7200.0), ("90.5", 90.5), ("date", 10_800.0)] {
            let world = world().await;
            let now = world.clock.now();
            let text = match retry_after {
                "date" => http_date(now + Duration::from_secs(10_800)),
                text => text.to_owned(),
            };
            let answer = Answer::retry_after(status, &text).header("date", &http_date(now));
            world.receiver.answer_next(answer);
            let id = ended(&world).await;
            world.closed(&id).await;
            let tries = world.receiver.journal();
            let waited = seconds(&tries[0], &tries[1]);
            let range = least..least + 0.01;
            assert!(range.contains(&waited), "{status} {retry_after}: {waited}");
        }
    }
}

#[tokio::test]
async fn retry_after_that_is_invalid_or_shorter_than_the_schedule_does_not_shorten_it() {
    for retry_after in ["0", "1", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""] {
        let world = world().await;
        world.receiver.answer_next(Answer::status(500));
        world
            .receiver
            .answer_next(Answer::retry_after(503, retry_after));
        let id = ended(&world).await;
        world.closed(&id).await;
        let tries = world.receiver.journal();
        let waited = seconds(&tries[1], &tries[2]);
        assert!((240.0..360.1).contains(&waited), "{retry_after}: {waited}");
    }
}

#[tokio::test]
async fn retry_after_beyond_the_window_leaves_one_last_attempt_at_its_end() {
    let world = world().await;
    let answer = Answer::retry_after(503, "99999999999");
    world.receiver.answer_otherwise(answer);
    let id = ended(&world).await;
    let closed = world.closed(&id).await;
    assert_eq!(closed["callback"]["status"], "undeliverable");
    let tries = world.receiver.journal();
    assert_eq!(tries.len(), 2);
    assert!((seconds(&tries[0], &tries[1]) - WINDOW_SECONDS).abs() < 0.01);
}

#[tokio::test]
async fn a_410_is_undeliverable_at_once() {
    let world = world().await;
    world.receiver.answer_next(Answer::retry_after(410, "60"));
    let id = ended(&world).await;
    let closed = world.closed(&id).await;
    let callback = json!({ "status": "undeliverable", "attempts": 1, "lastStatus": 410 });
    assert_eq!(delivery(&closed), callback);
    assert!(!world.jump().await, "nothing waits any more");
}

#[tokio::test]
async fn every_attempt_carries_the_same_event_with_a_new_timestamp_and_signature() {
    let world = world().await;
    for _ in 0..3 {
        world.receiver.answer_next(Answer::status(500));
    }
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let answer = world.post(&world.schedule()).await;
    let closed = world.closed(&answer.id()).await;
    let tries = world.receiver.journal();
    assert_eq!(tries.len(), 4);
    let stable = [
        "webhook-id",
        "content-type",
        "ce-specversion",
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-subject",
        "ce-time",
    ];
    for callback in &tries {
        assert_eq!(callback.body, tries[0].body);
        for name in stable {
            assert!(callback.header(name).is_some(), "{name}");
            assert_eq!(callback.header(name), tries[0].header(name), "{name}");
        }
        assert_eq!(callback.header("ce-specversion"), Some("1.0"));
        assert_eq!(callback.header("ce-time"), closed["endedAt"].as_str());
        let length = callback.body.len().to_string();
        assert_eq!(callback.header("content-length"), Some(length.as_str()));
        assert_eq!(callback.header("accept-encoding"), Some("identity"));
        for name in ["authorization", "x-api-key", "cookie"] {
            assert_eq!(callback.header(name), None);
        }
    }
    for (one, next) in tries.iter().zip(&tries[1..]) {
        for name in ["webhook-timestamp", "webhook-signature"] {
            assert_ne!(one.header(name), next.header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn every_attempt_is_a_call_of_its_own_in_the_trace_of_the_request() {
    let world = world().await;
    for _ in 0..2 {
        world.receiver.answer_next(Answer::status(500));
    }
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("{trace}-00f067aa0ba902b7-01");
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let headers = [
        ("traceparent", parent.as_str()),
        ("tracestate", "rojo=00f067aa0ba902b7, "),
        ("tracestate", "congo=t61rcWkgMzE"),
    ];
    let answer = world.post_with(&headers, &world.schedule()).await;
    world.closed(&answer.id()).await;
    let tries = world.receiver.journal();
    let spans: BTreeSet<&str> = tries
        .iter()
        .map(|callback| callback.header("traceparent").unwrap())
        .collect();
    assert_eq!((tries.len(), spans.len()), (3, 3), "{spans:?}");
    for span in spans {
        assert_ne!(span, parent);
        let id = span.strip_prefix(&format!("{trace}-")).unwrap();
        let id = id.strip_suffix("-01").unwrap();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    for callback in &tries {
        assert_eq!(callback.header("tracestate"), Some(state));
    }
}

#[tokio::test]
async fn an_invalid_traceparent_is_not_passed_on() {
    for parent in [
        "",
        "canary",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ] {
        let world = world().await;
        world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
        let headers = [("traceparent", parent), ("tracestate", "congo=t61rcWkgMzE")];
        let answer = world.post_with(&headers, &world.schedule()).await;
        world.closed(&answer.id()).await;
        for header in ["traceparent", "tracestate"] {
            assert_eq!(world.receiver.journal()[0].header(header), None);
        }
    }
}

#[tokio::test]
async fn the_outcome_is_durable_before_the_callback_is_sent() {
    let world = world().await;
    world.receiver.answer_next(Answer::Hang);
    let id = ended(&world).await;
    let arrives = async {
        let callback = world.receiver.arrived(1).await.remove(0);
        // The attempt still hangs, so a new process would find the record as it is now on disk.
        let operation_id = courier_core::operation::OperationId::parse(&id).unwrap();
        let record = world.app.store.load(&operation_id).await.unwrap().unwrap();
        assert_eq!(record.delivery.attempts, 0);
        assert!(record.ended_at.is_some());
        let event = record.event.unwrap();
        assert_eq!(callback.header("webhook-id"), Some(event.id.as_str()));
        assert_eq!(callback.body, event.body);
    };
    tokio::join!(world.work(), arrives);
    world.closed(&id).await;
}

#[tokio::test]
async fn the_operation_tells_of_its_callback_where_it_goes_and_when_the_next_attempt_is_due() {
    let world = world().await;
    world.receiver.answer_next(Answer::status(503));
    let id = ended(&world).await;
    let accepted = world.operation(&id).await;
    let told = |operation: &Value| {
        let names = ["status", "nextAttemptAt", "origin", "profile", "eventId"];
        json!(names.map(|name| operation["callback"][name].clone()))
    };
    let (origin, profile) = (world.receiver.origin(), "standard-webhooks");
    let event = format!("msg_{}_succeeded", id.trim_start_matches("op_"));
    let pending = json!(["pending", null, origin, profile, event]);
    assert_eq!(told(&accepted), pending);
    world.work().await;
    let retrying = world.operation(&id).await;
    let next: Timestamp = retrying["callback"]["nextAttemptAt"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let pause = next.duration_since(world.clock.now()).as_secs_f64();
    assert!((4.0..6.1).contains(&pause), "{pause}");
    assert_eq!(retrying["callback"]["status"], "retrying");
    for (filter, found) in [("pending", 1), ("retrying", 1), ("delivered", 0)] {
        let list = world
            .get(&format!("/v1/operations?callback={filter}"))
            .await;
        let operations = list.body["operations"].as_array().unwrap();
        assert_eq!(operations.len(), found, "{filter}");
    }
    let closed = world.closed(&id).await;
    let delivered = json!(["delivered", null, origin, profile, event]);
    assert_eq!(told(&closed), delivered);
    for callback in world.receiver.journal() {
        assert_eq!(callback.header("webhook-id"), Some(event.as_str()));
        let body: Value = serde_json::from_slice(&callback.body).unwrap();
        assert_eq!(body["data"]["callback"], Value::Null, "{body}");
    }
}
