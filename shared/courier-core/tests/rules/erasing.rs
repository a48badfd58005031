//! Erasure: only a closed record is erased, once, and its tombstone stays.

use courier_core::lifecycle::{Event, Next};
use courier_core::operation::{CallbackTarget, DeliveryOutcome, Outcome, State};
use serde_json::json;

use crate::{EXPORT, accepted, at, decided, ended, line, nothing, running, starting};

const NOW: u64 = 5000;

#[test]
fn a_record_that_is_not_closed_or_is_erased_already_is_left_alone() {
    let outcome = Outcome::Succeeded;
    let mut erased = ended(outcome);
    erased.state = State::Closed {
        outcome,
        how: DeliveryOutcome::Delivered,
    };
    erased.erased_at = Some(at(NOW - 1));
    for record in [
        accepted(EXPORT, at(0)),
        starting(EXPORT, at(60)),
        running(EXPORT),
        ended(outcome),
        erased,
    ] {
        assert_eq!(
            decided(&record, &Event::Erased, at(NOW)),
            nothing(Next::Drop)
        );
    }
}

#[test]
fn erasing_leaves_id_client_fingerprint_status_and_times() {
    let mut record = ended(Outcome::Failed);
    record.state = State::Closed {
        outcome: Outcome::Failed,
        how: DeliveryOutcome::Undeliverable,
    };
    record.due_at = None;
    let personal = || json!("Erika Mustermann");
    record.reference = Some("Erika Mustermann".to_owned());
    record.traceparent = Some("00-Erika Mustermann".to_owned());
    record.tracestate = Some("erika=Mustermann".to_owned());
    record.parameters.insert("user".to_owned(), personal());
    record.result = Some(record.parameters.clone());
    record.error =
        Some(serde_json::from_value(json!({ "code": "c", "message": personal() })).unwrap());
    record.event = Some(
        serde_json::from_value(json!({ "id": "m", "type": "t", "body": personal() })).unwrap(),
    );
    let sealed = serde_json::from_value(json!("v1.sealed")).unwrap();
    record.callback = Some(CallbackTarget::new(
        sealed,
        "https://Erika Mustermann.example",
    ));
    for unknown in [
        &mut record.unknown,
        &mut record.graph.unknown,
        &mut record.delivery.unknown,
    ] {
        unknown.insert("newer".to_owned(), personal());
    }
    let mut entry = line(at(5), "failed", "ended", Some("Erika Mustermann"));
    entry.answer = Some("Dear Erika Mustermann".to_owned());
    entry.unknown.insert("newer".to_owned(), personal());
    record.history = vec![entry];

    let decision = decided(&record, &Event::Erased, at(NOW));
    let erased = *decision.write.clone().unwrap();
    assert_eq!((decision.next, decision.send), (Next::Drop, None));
    let stored = serde_json::to_string(&erased).unwrap();
    for gone in ["Mustermann", "v1.sealed", "last-call", "last-answer"] {
        assert!(!stored.contains(gone), "{gone} in {stored}");
    }
    assert_eq!(erased.erased_at, Some(at(NOW)));
    assert_eq!(erased.revision, record.revision + 1);
    assert_eq!(
        (
            &erased.id,
            &erased.client,
            &erased.operation,
            &erased.fingerprint,
            &erased.state
        ),
        (
            &record.id,
            &record.client,
            &record.operation,
            &record.fingerprint,
            &record.state
        )
    );
    assert_eq!(
        (
            erased.created_at,
            erased.started_at,
            erased.ended_at,
            erased.deadline
        ),
        (
            record.created_at,
            record.started_at,
            record.ended_at,
            record.deadline
        )
    );
    let events: Vec<&str> = erased
        .history
        .iter()
        .map(|line| line.event.as_str())
        .collect();
    assert_eq!(events, ["ended", "erased"]);
}
