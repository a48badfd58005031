//! Judges the documented answers of Graph in `tests/catalogue-data/samples.json` by the shipped catalogue.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

use crate::catalogue::places::Places;
use crate::catalogue::{Catalogue, Operation, Success};
use crate::graph::verdict::{
    Answer, FindVerdict, GraphReply, PollVerdict, Subject, classify_find, classify_poll,
};
use crate::graph::{error, results};
use crate::operation::{Outcome, Record};

const GRAPH: &str = "https://graph.microsoft.com";
/// The samples call the tag of the operation so.
const TAG: &str = "TAG";

fn record(operation: &str, parameters: &Value) -> Record {
    // Jobs of the samples count from 2026-03-01T10:00:00Z on, two minutes before the request.
    let created_at: Timestamp = "2026-03-01T10:02:00Z".parse().unwrap();
    let record = json!({
        "id": "op_0123456789abcdef0123456789abcdef", "revision": 1, "writer": "w", "client": "c",
        "tenant": "t", "operation": operation, "fingerprint": "f", "parameters": parameters,
        "reference": "RITM1", "created_at": created_at, "deadline": created_at, "attempt": 1,
        "state": { "name": "accepted", "notBefore": created_at },
        "maybe_started": false, "token_refused": false, "hop": 1, "adopted": false,
        "graph": { "polls": 1, "seen": true, "missing": 0 }, "delivery": { "attempts": 0, "scheduledAttempts": 0 },
        "history": [],
    });
    serde_json::from_value(record).unwrap()
}

fn reply(status: u16, document: &Value) -> GraphReply {
    let body = Some(document.clone()).filter(|document| !document.is_null());
    let error = error::parse(document.to_string().as_bytes()).filter(|_| status >= 400);
    GraphReply::Answer(Box::new(Answer {
        status,
        body,
        error,
        ..Answer::default()
    }))
}

fn word(outcome: Outcome) -> &'static str {
    if outcome == Outcome::PartiallySucceeded {
        "partially_succeeded"
    } else {
        outcome.as_str()
    }
}

/// Returns the outcome and the status, as the samples write them.
fn judged(case: &Value, subject: Subject<'_>) -> Value {
    let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    match classify_poll(&reply(status, &case["doc"]), subject) {
        PollVerdict::Seen(seen) => json!([seen.outcome.map_or("waits", word), seen.word]),
        PollVerdict::Missing(_) => match subject.operation.poll.absent {
            Some(Success::Succeeded) => json!(["missing→succeeded", null]),
            None => json!(["missing→unknown", null]),
        },
        PollVerdict::NotListed | PollVerdict::Nothing(_) | PollVerdict::Unauthorized => {
            json!([null, null])
        }
    }
}

fn found(case: &Value, operation: &Operation, subject: Subject<'_>) -> Value {
    let find = operation.find.as_ref().unwrap();
    match classify_find(&reply(200, &case["find"]), find, subject) {
        FindVerdict::Found(url) => {
            json!(url.split_once("/v1.0").unwrap().1)
        }
        FindVerdict::Absent => Value::Null,
        FindVerdict::Refused | FindVerdict::Nothing => json!("no verdict"),
    }
}

/// Writes statuses of several elements once each, as the operation shows them.
fn shown(want: &Value) -> Value {
    let Some(words) = want.get(1).and_then(Value::as_str) else {
        return want.clone();
    };
    let mut seen: Vec<&str> = Vec::new();
    for word in words.split(',') {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    json!([want[0], seen.join(", ")])
}

#[test]
fn every_sample_is_judged_as_expected() {
    let text = include_str!("../../tests/catalogue-data/samples.json");
    let graph = Url::parse(GRAPH).unwrap();
    let name = |case: &Value| case["op"].as_str().unwrap().to_owned();
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let operation = Catalogue::shipped().find(&name(case)).unwrap();
        let parameters = case.get("parameters").cloned().unwrap_or(json!({}));
        let record = record(&operation.name, &parameters);
        let subject = Subject {
            operation,
            record: &record,
            graph: &graph,
        };
        let tag = subject.places().tag();
        let case: Value = serde_json::from_str(&case.to_string().replace(TAG, &tag)).unwrap();
        let got = if case.get("find").is_some() {
            found(&case, operation, subject)
        } else if case.get("render").is_some() {
            subject
                .places()
                .value(operation.start.body.as_ref().unwrap())
                .unwrap()
        } else {
            judged(&case, subject)
        };
        if got != shown(&case["want"]) {
            wrong.push(format!(
                "{}: {} instead of {}: {}",
                case["op"], got, case["want"], case["why"]
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(cases.len(), 114);
}

/// Returns the body that Microsoft's page shows, which the simulator's files have; an empty one is none.
fn documented_body(name: &str) -> Option<Value> {
    let file = format!("{}/catalogue/{name}.sim.toml", env!("CARGO_MANIFEST_DIR"));
    let simulation: toml::Table = std::fs::read_to_string(file).ok()?.parse().unwrap();
    let body = simulation.get("example")?.get("body")?.as_str()?;
    let body: Value = serde_json::from_str(body).unwrap();
    body.as_object()
        .is_none_or(|fields| !fields.is_empty())
        .then_some(body)
}

#[test]
fn the_request_that_microsoft_documents_is_sent_for_the_parameters_that_say_the_same() {
    let text = include_str!("../../tests/catalogue-data/documented-requests.json");
    let mut requests: Map<String, Value> = serde_json::from_str(text).unwrap();
    let graph = Url::parse(GRAPH).unwrap();
    for operation in Catalogue::shipped().iter() {
        let Some(documented) = documented_body(&operation.name) else {
            continue;
        };
        let request = requests
            .remove(&operation.name)
            .unwrap_or_else(|| panic!("nothing says how {} is asked for", operation.name));
        let parameters = &request["parameters"];
        let violations = operation.schema().validate(parameters, "");
        assert!(violations.is_empty(), "{}: {violations:?}", operation.name);
        let mut record = record(&operation.name, parameters);
        if let Some(reference) = request["reference"].as_str() {
            record.reference = Some(reference.to_owned());
        }
        let subject = Subject {
            operation,
            record: &record,
            graph: &graph,
        };
        let places = subject.places();
        let documented = documented
            .to_string()
            .replace("courier4b1d", &places.tag())
            .replace("4b1d", &places.tag());
        let mut expected: Value = serde_json::from_str(&documented).unwrap();
        let mut sent = places
            .value(operation.start.body.as_ref().unwrap())
            .unwrap();
        // Text of our own, by which a lost job is found again.
        for field in request["ours"].as_array().into_iter().flatten() {
            let ours = sent[field.as_str().unwrap()].take();
            assert_ne!(ours, Value::Null, "{}: {field}", operation.name);
            expected[field.as_str().unwrap()].take();
        }
        assert_eq!(sent, expected, "{}", operation.name);
    }
    let left: Vec<_> = requests.keys().collect();
    assert!(left.is_empty(), "{left:?} have no documented body");
}

#[test]
fn results_are_read_by_pointer_cut_to_size_and_without_queries_and_times_that_mean_none() {
    let operation = Catalogue::shipped()
        .find("ediscovery.exportResult")
        .unwrap();
    let record = record(&operation.name, &json!({}));
    let graph = Url::parse(GRAPH).unwrap();
    let places = Places::of(&record, &graph, "v1.0");
    let file = |number: usize| json!({ "fileName": format!("{number}.zip"), "size": 7, "downloadUrl": format!("https://x.example/{number}?id=1"), "other": 1 });
    let document = |files: usize| json!({ "id": "o1", "completedDateTime": "0001-01-01T00:00:00Z", "exportFileMetadata": (0..files).map(file).collect::<Vec<_>>() });
    let few = results::result(operation, &document(1), &[], &places);
    let row = json!({ "fileName": "0.zip", "size": 7, "downloadUrl": "https://x.example/0?id=1" });
    assert_eq!(
        Value::Object(few),
        json!({ "operationId": "o1", "files": [row] })
    );
    let many = results::result(operation, &document(2000), &[], &places);
    assert_eq!(many["truncated"], true);
    assert!(many["files"].to_string().len() <= 16 * 1024);
    assert!(many["files"].as_array().unwrap().len() > 100);
    let none: Map<String, Value> = results::result(operation, &json!({}), &[], &places);
    assert_eq!(none, Map::new());
}
