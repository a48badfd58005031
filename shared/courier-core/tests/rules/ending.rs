//! Tests the one write into Ended, the delivery attempts after it, cancelling and redelivery.

use std::time::Duration;

use courier_core::callback::CallbackReply;
use courier_core::lifecycle::schedule;
use courier_core::lifecycle::{Decision, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{
    Delivery, DeliveryOutcome, HistoryEntry, Outcome, Reason, Record, State,
};
use courier_core::time::milliseconds;
use serde_json::{Value, json};

use crate::{
    EXPORT, accepted, at, changed, decided, ended, held, line, nothing, running, seconds, starting,
};

const NOW: u64 = 1010;

fn called_at(
    now: u64,
    record: &Record,
    epoch: u32,
    status: Option<u16>,
    retry_after: u64,
) -> Decision {
    let reply = CallbackReply {
        status,
        taken: status.is_some_and(|status| status / 100 == 2),
        gives_up: false,
        is_busy: false,
        retry_after: (retry_after > 0).then(|| seconds(retry_after)),
        detail: Some("HTTP".to_owned()),
        answer_type: Some("text/plain".to_owned()),
        answer_length: Some(4),
        answer: Some("said".to_owned()),
        latency: Some(Duration::from_millis(7)),
    };
    let target = 0;
    decided(
        record,
        &Event::Called {
            epoch,
            target,
            reply,
        },
        at(now),
    )
}

fn called(record: &Record, status: Option<u16>) -> Decision {
    called_at(NOW, record, 3, status, 0)
}

/// Applies one more delivery attempt, made at `NOW` and answered with `status`.
fn attempted(record: &mut Record, status: Option<u16>) {
    record.step_crashes = 0;
    record.delivery.attempts += 1;
    record.delivery.scheduled_attempts += 1;
    record.delivery.last_status = status;
    record
        .delivery
        .scheduled_since
        .get_or_insert_with(|| at(NOW));
    let entry = HistoryEntry {
        http_status: status,
        latency_ms: Some(7),
        answer_type: Some("text/plain".to_owned()),
        answer_length: Some(4),
        answer: Some("said".to_owned()),
        client_request_id: None,
        request_id: None,
        ..line(at(NOW), "succeeded", "callbackAttempt", Some("HTTP"))
    };
    record.history.push(entry);
}

/// Returns the decision that closes the operation after an attempt answered with `status`.
fn closed(record: &Record, status: Option<u16>, how: DeliveryOutcome) -> Decision {
    let outcome = Outcome::Succeeded;
    changed(record, Next::Drop, |record| {
        attempted(record, status);
        record.state = State::Closed { outcome, how };
        record.delivery.next_attempt_at = None;
        record.due_at = None;
        if how == DeliveryOutcome::Undeliverable {
            let entry = line(at(NOW), "succeeded", "undeliverable", None);
            record.history.push(entry);
        }
    })
}

#[test]
fn every_2xx_counts_as_delivered() {
    let mut record = ended(Outcome::Succeeded);
    record.step_crashes = 2;
    for status in [200, 202, 204, 299] {
        let expected = closed(&record, Some(status), DeliveryOutcome::Delivered);
        assert_eq!(called(&record, Some(status)), expected);
    }
}

#[test]
fn receiver_that_answers_410_is_not_called_again() {
    let record = ended(Outcome::Succeeded);
    let expected = closed(&record, Some(410), DeliveryOutcome::Undeliverable);
    assert_eq!(called(&record, Some(410)), expected);
}

#[test]
fn any_other_answer_is_retried_on_the_schedule() {
    let mut record = ended(Outcome::Succeeded);
    for (since, attempts) in [(None, 0), (Some(at(900)), 1), (Some(at(900)), 7)] {
        record.delivery = Delivery {
            attempts: attempts + 20,
            scheduled_since: since,
            scheduled_attempts: attempts,
            next_attempt_at: Some(at(NOW)),
            ..record.delivery
        };
        for status in [
            None,
            Some(199),
            Some(300),
            Some(302),
            Some(409),
            Some(411),
            Some(500),
        ] {
            let began = since.unwrap_or_else(|| at(NOW));
            let next = crate::next_callback(&record, began, attempts + 1, None, at(NOW)).unwrap();
            let expected = changed(&record, Next::Wait(next), |record| {
                attempted(record, status);
                record.delivery.next_attempt_at = Some(next);
                record.due_at = Some(next);
            });
            assert_eq!(called(&record, status), expected, "{status:?}");
        }
    }
}

#[test]
fn retry_after_of_a_receiver_is_honoured_and_a_newer_epoch_is_written() {
    let record = ended(Outcome::Succeeded);
    let decision = called_at(NOW, &record, 4, Some(503), 86_400);
    assert_eq!(decision.next, Next::Wait(at(NOW + 86_400)));
    let after = decision.write.unwrap();
    assert_eq!((after.epoch, after.due_at), (4, Some(at(NOW + 86_400))));
}

#[test]
fn completion_is_undeliverable_once_the_window_is_over() {
    let window = schedule::CALLBACK_WINDOW.as_secs();
    let mut record = ended(Outcome::Succeeded);
    record.delivery.scheduled_since = Some(at(NOW));
    record.delivery.next_attempt_at = Some(at(NOW + window - 1));
    let last = called_at(NOW + window - 1, &record, 3, Some(500), 0);
    assert_eq!(last.next, Next::Wait(at(NOW + window)));
    record.delivery.scheduled_since = Some(at(NOW) - schedule::CALLBACK_WINDOW);
    record.delivery.next_attempt_at = Some(at(NOW));
    let expected = closed(&record, Some(500), DeliveryOutcome::Undeliverable);
    assert_eq!(called(&record, Some(500)), expected);
    let expected = closed(&record, Some(204), DeliveryOutcome::Delivered);
    assert_eq!(called(&record, Some(204)), expected);
}

/// Adds to `decision` a poll message with an epoch beyond every other.
///
/// The record takes that epoch over when the message is first used.
pub(crate) fn carried_anew(mut decision: Decision) -> Decision {
    let record = decision.write.as_mut().unwrap();
    let epoch = u32::try_from(record.revision).unwrap() + 2;
    decision.send = Some((Message::poll(record, epoch), at(NOW)));
    decision.next = Next::Drop;
    decision
}

#[test]
fn cancelling_ends_an_open_operation_and_queues_its_completion() {
    let lease = at(2000);
    for (mut record, epoch) in [
        (accepted(EXPORT, lease), 0),
        (starting(EXPORT, lease), 0),
        (held(lease), 1),
        (running(EXPORT), 2),
        (running(EXPORT), 8),
    ] {
        record.epoch = epoch;
        let decision = decided(&record, &Event::Cancelled, at(NOW));
        let event = decision.write.as_ref().unwrap().event.clone();
        let outcome = Outcome::Cancelled;
        let expected = changed(&record, Next::Drop, |record| {
            record.maybe_started |= matches!(record.state, State::Starting { .. });
            record.reason = Some(Reason::CancelledByCaller);
            record.ended_at = Some(at(NOW));
            record.sealed_parameters = None;
            record.graph.next_poll_at = None;
            record.state = State::Ended { outcome };
            record.due_at = Some(at(NOW));
            record.delivery.next_attempt_at = Some(at(NOW));
            record.event = event;
            let entry = line(at(NOW), "cancelled", "ended", Some("cancelled_by_caller"));
            record.history = vec![HistoryEntry {
                client_request_id: None,
                ..entry
            }];
        });
        assert_eq!(decision, carried_anew(expected));
    }
}

#[test]
fn completion_contains_the_operation_as_it_is_when_it_ends() {
    let record = running(EXPORT);
    let decision = decided(&record, &Event::Cancelled, at(NOW));
    let written = decision.write.unwrap();
    let event = written.event.unwrap();
    let bare = record.id.as_str().strip_prefix("op_").unwrap();
    assert_eq!(event.id, format!("msg_{bare}_cancelled"));
    assert_eq!(event.kind, "operation.cancelled");
    let body: Value = serde_json::from_str(&event.body).unwrap();
    let expected = json!({
        "type": "operation.cancelled",
        "timestamp": milliseconds(at(NOW)),
        "data": {
            "id": record.id, "operation": EXPORT, "status": "cancelled",
            "reason": "cancelled_by_caller", "reference": null,
            "createdAt": milliseconds(at(0)), "startedAt": milliseconds(at(10)),
            "endedAt": milliseconds(at(NOW)), "deadline": milliseconds(record.deadline),
            "adopted": false,
            "graph": {
                "status": null, "progress": null, "clientRequestId": "last-call",
                "requestId": "last-answer", "polls": 0, "nextPollAt": null,
            },
            "result": null, "error": null,
            "evidence": { "head": written.chain.unwrap().head },
        },
    });
    assert_eq!(body, expected);
    let fields: Vec<&String> = body["data"].as_object().unwrap().keys().collect();
    let first = ["id", "operation", "status", "reason", "reference"];
    assert_eq!(fields[..5], first, "in reading order");
}

#[test]
fn operation_without_a_callback_is_closed_when_it_ends() {
    let mut record = running(EXPORT);
    record.callback = None;
    let decision = decided(&record, &Event::Cancelled, at(NOW));
    assert_eq!((decision.send, decision.next), (None, Next::Drop));
    let after = decision.write.unwrap();
    let (outcome, how) = (Outcome::Cancelled, DeliveryOutcome::NotRequested);
    assert_eq!(after.state, State::Closed { outcome, how });
    assert_eq!((after.due_at, after.event, after.epoch), (None, None, 3));
    assert_eq!(after.delivery, Delivery::default());
}

#[test]
fn redelivery_begins_a_new_schedule_for_the_same_completion() {
    let outcome = Outcome::Failed;
    let mut record = ended(outcome);
    record.delivery = Delivery {
        attempts: 9,
        last_status: Some(500),
        scheduled_since: Some(at(900)),
        scheduled_attempts: 5,
        next_attempt_at: Some(at(5000)),
        postponed_ms: 7000,
        unknown: serde_json::Map::new(),
    };
    let how = DeliveryOutcome::Undeliverable;
    for state in [State::Ended { outcome }, State::Closed { outcome, how }] {
        record.state = state;
        let expected = changed(&record, Next::Drop, |record| {
            record.state = State::Ended { outcome };
            record.due_at = Some(at(NOW));
            record.delivery.scheduled_since = None;
            record.delivery.scheduled_attempts = 0;
            record.delivery.next_attempt_at = Some(at(NOW));
            record.delivery.postponed_ms = 0;
            let entry = line(at(NOW), "failed", "redeliveryAsked", None);
            record.history.push(entry);
        });
        let decision = decided(&record, &Event::RedeliveryRequested, at(NOW));
        assert_eq!(decision, carried_anew(expected));
    }
    record.event = None;
    let decision = decided(&record, &Event::RedeliveryRequested, at(NOW));
    assert_eq!(decision, nothing(Next::Drop));
}
