//! The committed samples, schemas and AsyncAPI document of events: what the vocabulary makes today, judged by `jsonschema`.

#![cfg(test)]

use std::path::{Path, PathBuf};

use courier_core::events::{
    Context, EventType, Refused, changes, document, ended, entry, inserted, refused, schema,
};
use courier_core::operation::{FrozenEvent, Record};
use jiff::Timestamp;
use jsonschema::Draft;
use serde_json::{Value, json};

const CONTEXT: Context<'_> = Context {
    source: "https://courier.contoso.com",
    base: "https://courier.contoso.com",
};
/// Stands for everything that no event may say.
const CANARY: &str = "adele.vance";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn now() -> Timestamp {
    "2026-11-24T09:31:07.420Z".parse().unwrap()
}

/// Returns an export that runs; whatever could say whom it is about, or is secret, holds the canary.
fn running() -> Record {
    let line = |event: &str| json!({ "at": "2026-11-24T09:12:01.000Z", "status": "running", "event": event, "detail": CANARY });
    let record = json!({
        "id": "op_0123456789abcdef0123456789abcdef", "revision": 7, "writer": "w",
        "client": "tickets", "tenant": "contoso", "operation": "user.exportPersonalData",
        "reference": "RITM0012345", "person": CANARY, "fingerprint": "f",
        "parameters": { "user": CANARY, "storageLocation": CANARY },
        "callback": { "url": CANARY, "origin": "https://adele.vance.example", "version": 0 },
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "created_at": "2026-11-24T09:12:00.000Z", "deadline": "2026-11-26T09:12:00.000Z",
        "due_at": now(), "state": { "name": "running", "monitor": CANARY },
        "attempt": 1, "maybe_started": false, "token_refused": false, "hop": 1, "adopted": false,
        "started_at": "2026-11-24T09:12:01.250Z", "reason": null,
        "graph": { "polls": 1, "seen": true, "missing": 0, "requestId": CANARY },
        "result": { "user": CANARY }, "error": { "code": CANARY, "message": CANARY },
        "delivery": { "attempts": 2, "lastStatus": 204, "scheduledAttempts": 2 },
        "history": [line("started")],
    });
    serde_json::from_value(record).unwrap()
}

fn with(change: impl FnOnce(&mut Record)) -> Record {
    let mut record = running();
    change(&mut record);
    record
}

fn state(record: &mut Record, state: Value) {
    record.state = serde_json::from_value(state).unwrap();
    record.ended_at = Some(now());
}

/// Returns the only event of a change.
fn change(old: &Record, new: &Record) -> (EventType, FrozenEvent) {
    let mut found = changes(old, new, now(), &CONTEXT);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn one_of_each() -> Vec<(EventType, FrozenEvent)> {
    let failed = json!({ "name": "ended", "outcome": "failed" });
    let ended_record = with(|record| {
        state(record, failed.clone());
        record.reason = serde_json::from_value(json!("operation_failed")).unwrap();
        record.revision = 9;
    });
    let closed = |how: &str, status: Option<u16>| {
        with(|record| {
            state(
                record,
                json!({ "name": "closed", "outcome": "failed", "how": how }),
            );
            record.delivery.last_status = status;
            record.revision = 11;
        })
    };
    let waiting = with(|record| {
        record.reason = serde_json::from_value(json!("authorization_lost")).unwrap();
    });
    let noted = |event: &str| {
        with(|record| {
            let line =
                json!({ "at": now(), "status": "running", "event": event, "detail": CANARY });
            record.history.push(serde_json::from_value(line).unwrap());
            let clock = json!({
                "regulation": "gdpr", "receivedAt": "2026-11-24T09:12:00Z", "timeZone": "Europe/Berlin",
                "dueOn": "2026-12-24", "dueAt": "2026-12-24T22:59:59.999Z", "firstDueOn": "2026-12-24",
            });
            record.legal = serde_json::from_value(clock).unwrap();
        })
    };
    let not_started = with(|record| record.started_at = None);
    let was_ended = with(|record| state(record, failed.clone()));
    vec![
        (
            EventType::Accepted,
            inserted(
                &with(|record| {
                    record.revision = 1;
                    record.started_at = None;
                    record.state =
                        serde_json::from_value(json!({ "name": "accepted", "notBefore": now() }))
                            .unwrap();
                }),
                &CONTEXT,
            ),
        ),
        change(&not_started, &running()),
        (EventType::Ended, ended(&ended_record, now(), &CONTEXT)),
        (
            EventType::Refused,
            refused(
                &Refused {
                    request: ("https://tickets.contoso.com", "RITM0012345-1"),
                    client: Some("tickets"),
                    tenant: Some("contoso"),
                    correlation_id: Some("RITM0012345"),
                    problem: "invalid-request",
                    detail: Some("/parameters/user must be a user principal name or an object id"),
                    at: now(),
                },
                &CONTEXT,
            ),
        ),
        change(&running(), &waiting),
        change(&waiting, &running()),
        change(&was_ended, &closed("delivered", Some(204))),
        change(&was_ended, &closed("undeliverable", Some(500))),
        change(&running(), &noted("deadlineAtRisk")),
        change(&running(), &noted("deadlinePassed")),
    ]
}

/// Compares a committed file with what it should be, and leaves that where it can be copied from.
fn committed(path: &str, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    let name = Path::new(path).file_name().unwrap();
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&new, &text).unwrap();
    let found = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(
        found == text,
        "{path} is old: copy {} over it",
        new.display()
    );
}

/// Returns an entry as a rule of the bus sees it.
fn on_a_bus(event: &FrozenEvent) -> Value {
    let entry = entry(
        event,
        "arn:aws:events:eu-central-1:123456789012:event-bus/courier",
    )
    .unwrap();
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": "123456789012",
        "time": "2026-11-24T09:31:07Z",
        "region": "eu-central-1",
        "resources": entry["Resources"],
        "detail": detail,
    })
}

#[test]
fn the_committed_samples_are_what_is_sent_and_keep_to_the_schemas_and_say_nothing_of_a_person() {
    let events = one_of_each();
    let types: Vec<EventType> = events.iter().map(|(event_type, _)| *event_type).collect();
    assert_eq!(types, EventType::ALL);
    let bus = document()["components"]["schemas"]["eventBridgeEntry"].clone();
    let bus = jsonschema::validator_for(&bus).unwrap();
    let mut wrong = Vec::new();
    for (event_type, event) in &events {
        let body: Value = serde_json::from_str(&event.body).unwrap();
        assert!(!event.body.contains(CANARY), "{}", event.body);
        assert_eq!(body["id"], event.id.as_str());
        assert_eq!(body["type"], event_type.cloud_event_type());
        let judge = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema(*event_type))
            .unwrap();
        let faults: Vec<String> = judge
            .iter_errors(&body)
            .map(|one| one.to_string())
            .collect();
        assert!(faults.is_empty(), "{}: {faults:?}", event_type.name());
        // The schema knows every field that is sent.
        for (place, fields) in [
            ("/properties", &body),
            ("/properties/data/properties", &body["data"]),
        ] {
            for name in fields.as_object().unwrap().keys() {
                let schema = schema(*event_type);
                assert!(schema.pointer(place).unwrap().get(name).is_some(), "{name}");
            }
        }
        let on_a_bus = on_a_bus(event);
        assert!(bus.is_valid(&on_a_bus), "{on_a_bus}");
        for (folder, value) in [("", &body), ("bus.", &on_a_bus)] {
            let path = format!("events/out/{folder}{}.json", event_type.name());
            if let Err(fault) = std::panic::catch_unwind(|| committed(&path, value)) {
                wrong.push(fault.downcast_ref::<String>().cloned().unwrap_or_default());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The document is committed, so that a change of the interface shows in a review.
#[test]
fn the_committed_asyncapi_document_is_the_one_that_the_vocabulary_makes() {
    committed("docs/reference/asyncapi.json", &document());
}

#[test]
fn an_unknown_outcome_asks_for_attention_until_a_person_has_looked() {
    let unknown = with(|record| {
        state(record, json!({ "name": "ended", "outcome": "unknown" }));
        record.reason = serde_json::from_value(json!("start_outcome_unknown")).unwrap();
    });
    let (event_type, event) = change(&running(), &unknown);
    assert_eq!(event_type, EventType::Attention);
    let body: Value = serde_json::from_str(&event.body).unwrap();
    assert_eq!(body["data"]["attention"], "start_outcome_unknown");
    let mut looked = unknown.clone();
    let acknowledged = json!({ "at": now(), "by": "operator night", "note": CANARY });
    looked.acknowledged = serde_json::from_value(acknowledged).unwrap();
    assert_eq!(change(&unknown, &looked).0, EventType::Resolved);
    // Another trouble replaces the first one: one is over, and one begins.
    let first =
        with(|record| record.reason = serde_json::from_value(json!("authorization_lost")).unwrap());
    let second = with(|record| {
        record.reason = serde_json::from_value(json!("sealed_data_unreadable")).unwrap()
    });
    assert_eq!(changes(&first, &second, now(), &CONTEXT).len(), 2);
    assert_eq!(changes(&first, &first, now(), &CONTEXT), []);
}

/// Two events of one change differ in their ids, and one event has the same id however often it is made.
#[test]
fn an_event_has_one_id() {
    let ids: Vec<String> = one_of_each()
        .into_iter()
        .map(|(_, event)| event.id)
        .collect();
    let again: Vec<String> = one_of_each()
        .into_iter()
        .map(|(_, event)| event.id)
        .collect();
    assert_eq!(ids, again);
    let mut sorted = ids;
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), EventType::ALL.len());
}
