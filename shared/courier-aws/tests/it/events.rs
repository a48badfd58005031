//! The sample events of `events/`: each goes through its function, each answer of Graph through the rules.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloud_testkit::function::Function;
use courier_core::catalogue::Catalogue;
use courier_core::graph::error;
use courier_core::graph::verdict::{self, Answer, GraphReply, PollVerdict, StartVerdict, Subject};
use courier_core::operation::OperationId;
use courier_core::operation::Outcome as Ending;
use courier_core::outbound::retry_after;
use courier_testkit::sample::{at, sample_record};
use http::HeaderValue;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use crate::binaries::root;
use crate::cloud::Cloud;
use crate::intake;

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("events").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn names(folder: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join(folder)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".json")).collect()
}

/// The event, with its callback at the receiver of this cloud.
fn event(cloud: &Cloud, name: &str) -> Value {
    let mut event = read(name);
    let Some(body) = event["body"].as_str() else {
        return event;
    };
    let encoded = event["isBase64Encoded"] == true;
    let text = if encoded {
        String::from_utf8(STANDARD.decode(body).unwrap()).unwrap()
    } else {
        body.to_owned()
    };
    let text = text.replace("http://127.0.0.1:9999", &cloud.receiver.origin());
    event["body"] = json!(if encoded { STANDARD.encode(text) } else { text });
    event
}

async fn invoke(function: &Function, event: &Value) -> Value {
    function.invoke(event).await.answer()
}

/// True if it is marked as a replay, in each field that the door of this event may read.
fn marked(answer: &Value, name: &str) -> bool {
    let single = answer["headers"]["idempotency-replayed"] == "true";
    let lists = answer["multiValueHeaders"]["idempotency-replayed"] == json!(["true"]);
    match name.split_once('-') {
        Some(("rest", _)) => lists,
        Some(("alb", _)) => single && lists && answer["statusDescription"] == "202 Accepted",
        _ => single,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_event_gets_the_answer_in_its_readme() {
    let cloud = Cloud::new().await;
    let mut seen = BTreeSet::new();
    for (name, status, replayed) in [
        ("http-export.json", 202, false),
        ("http-replay.json", 202, true),
        ("function-url-export.json", 202, true),
        ("rest-export.json", 202, true),
        ("alb-export.json", 202, true),
        ("alb-single-export.json", 202, true),
        ("http-goals.json", 202, false),
        ("http-schedule.json", 202, false),
        ("http-bad-body.json", 400, false),
    ] {
        let answer = invoke(&cloud.start, &event(&cloud, name)).await;
        assert_eq!(answer["statusCode"], status, "{name}: {answer}");
        assert_eq!(marked(&answer, name), replayed, "{name}: {answer}");
        if status == 400 {
            let problem: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            let errors = problem["errors"].as_array().unwrap().iter();
            let pointers: BTreeSet<_> =
                errors.map(|one| one["pointer"].as_str().unwrap()).collect();
            let wrong = ["/callback/url", "/parameters/format", "/parameters/userId"];
            assert!(
                wrong.iter().all(|pointer| pointers.contains(pointer)),
                "{problem}"
            );
        }
        seen.insert(name.to_owned());
    }
    assert_eq!(cloud.simulator.calls("export.start").len(), 1);
    for name in [
        "sqs-one.json",
        "sqs-mixed.json",
        "sqs-malformed.json",
        "sqs-foreign.json",
    ] {
        let event = read(name);
        let answer = invoke(&cloud.poll, &event).await;
        let records = event["Records"].as_array().unwrap().iter();
        let ids: Vec<_> = records
            .map(|one| json!({ "itemIdentifier": one["messageId"] }))
            .collect();
        // There is no record behind them, or they cannot be read: they stay.
        assert_eq!(answer["batchItemFailures"], json!(ids), "{name}");
        seen.insert(name.to_owned());
    }
    let accept = intake::accept(&cloud).await;
    for (name, failures) in [
        ("intake-cloudevent.json", 0),
        ("intake-eventbridge.json", 0),
        ("intake-sns.json", 0),
        ("intake-foreign.json", 1),
    ] {
        let answer = invoke(&accept, &read(name)).await;
        let failed = answer["batchItemFailures"].as_array().unwrap();
        assert_eq!(failed.len(), failures, "{name}: {answer}");
        seen.insert(name.to_owned());
    }
    // Its event is that of a message in a queue.
    let event = read("cloudevent-schedule.json").to_string();
    let queued = read("intake-cloudevent.json")["Records"][0]["body"].take();
    assert_eq!(queued, event);
    seen.insert("cloudevent-schedule.json".to_owned());
    cloud.clock.advance(Duration::from_secs(1));
    assert_eq!(
        invoke(&cloud.sweep, &read("schedule.json")).await,
        json!({ "overdue": 0 })
    );
    seen.insert("schedule.json".to_owned());
    assert_eq!(seen, names("events"), "every file is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_served_only_where_it_is_switched_on() {
    let cloud = Cloud::new().await;
    let mut event = read("http-goals.json");
    event["rawPath"] = "/console".into();
    event["requestContext"]["http"]["path"] = "/console".into();
    event["requestContext"]["http"]["method"] = "GET".into();
    event["body"] = Value::Null;
    assert_eq!(invoke(&cloud.start, &event).await["statusCode"], 404);
    let function = cloud.function_with("start-operation", ("COURIER_CONSOLE", "on"));
    let answer = invoke(&function, &event).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let headers = &answer["headers"];
    let kind = headers["content-type"].as_str().unwrap();
    assert!(kind.starts_with("text/html"), "{kind}");
    let policy = headers["content-security-policy"].as_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(
        answer["body"]
            .as_str()
            .unwrap()
            .contains("type=\"password\"")
    );
}

/// An answer of Graph as the rules get it.
fn reply(name: &str) -> GraphReply {
    let file = read(&format!("graph/{name}"));
    let header = |name: &str| file["headers"][name].as_str();
    let value = header("retry-after").map(|text| HeaderValue::from_str(text).unwrap());
    let body = Some(file["body"].clone()).filter(|body| !body.is_null());
    let error = body
        .as_ref()
        .and_then(|body| error::parse(body.to_string().as_bytes()));
    GraphReply::Answer(Box::new(Answer {
        status: u16::try_from(file["status"].as_u64().unwrap()).unwrap(),
        locations: header("location").map(str::to_owned).into_iter().collect(),
        retry_after: retry_after::parse(value.as_ref(), None, Timestamp::UNIX_EPOCH),
        body,
        error,
        request_id: header("request-id").map(str::to_owned),
        ..Answer::default()
    }))
}

#[test]
fn every_sample_answer_of_graph_means_what_its_readme_says() {
    let catalogue = Catalogue::shipped();
    let graph = Url::parse("https://graph.microsoft.com/").unwrap();
    let record = sample_record(&OperationId::unique(uuid::Uuid::from_u128(1)));
    let subject = |name: &str| Subject {
        operation: catalogue.find(name).unwrap(),
        record: &record,
        graph: &graph,
    };
    let export = subject("user.exportPersonalData");
    let goals = subject("goals.exportJob");
    let started = verdict::classify_start(
        &reply("export-started.json"),
        export,
        "https://x.example/",
        at(0),
    );
    assert!(
        matches!(&started, StartVerdict::Started(started)
            if !started.adopted && started.retry_after == Some(Duration::from_secs(60))),
        "{started:?}"
    );
    let conflict = verdict::classify_start(
        &reply("goals-conflict.json"),
        goals,
        "https://x.example/",
        at(0),
    );
    assert!(
        matches!(&conflict, StartVerdict::Started(started)
            if started.adopted && !started.monitor.contains('"')),
        "{conflict:?}"
    );
    for (name, outcome) in [
        ("export-running.json", None),
        ("export-complete.json", Some(Ending::Succeeded)),
    ] {
        let verdict = verdict::classify_poll(&reply(name), export);
        assert!(
            matches!(&verdict, PollVerdict::Seen(look) if look.outcome == outcome),
            "{name}: {verdict:?}"
        );
    }
    let throttled = verdict::classify_start(
        &reply("throttled.json"),
        export,
        "https://x.example/",
        at(0),
    );
    assert!(
        matches!(throttled, StartVerdict::Throttled(Some(pause)) if pause >= Duration::from_millis(2128)),
        "{throttled:?}"
    );
    assert_eq!(names("events/graph").len(), 5, "every file is used");
}
