//! Tests deliveries that are deferred, and completions whose callback target changes.

use courier_core::callback::CallbackReply;
use courier_core::lifecycle::{Decision, Event, Next};
use courier_core::operation::{
    CallbackTarget, Delivery, DeliveryOutcome, OperationId, Outcome, Record, State,
};
use courier_core::profile::Template;
use jiff::Timestamp;
use serde_json::json;

use crate::ending::carried_anew;
use crate::{EXPORT, accepted, at, changed, decided, ended, held, line, nothing, running};

const NOW: u64 = 1010;

fn deferred(record: &Record, epoch: u32, until: u64) -> Decision {
    let until = at(until);
    decided(record, &Event::Deferred { epoch, until }, at(NOW))
}

/// Returns the time of the deferred delivery.
///
/// It is at most ten seconds after `until`, so that deliveries that wait for the same time are not made all at once.
fn spread_from(decision: &Decision, until: u64) -> Timestamp {
    let Next::Wait(resumes_at) = decision.next else {
        panic!("{decision:?}");
    };
    assert!(
        at(until) <= resumes_at && resumes_at < at(until + 10),
        "{until}: {resumes_at}"
    );
    resumes_at
}

fn target(origin: &str) -> CallbackTarget {
    CallbackTarget::new(serde_json::from_value(json!("v1.other")).unwrap(), origin)
}

fn retargeted(record: &Record) -> Decision {
    let target = Box::new(target("https://elsewhere.example"));
    decided(record, &Event::Retargeted(target), at(NOW))
}

/// Applies what every change of the target writes.
fn changes(record: &mut Record) {
    record.callback = Some(CallbackTarget {
        version: 1,
        ..target("https://elsewhere.example")
    });
    let detail = Some("now at https://elsewhere.example");
    record.history.push(line(
        at(NOW),
        record.state.status(),
        "callbackChanged",
        detail,
    ));
}

#[test]
fn deferred_delivery_waits_without_a_write_or_an_attempt() {
    let record = ended(Outcome::Succeeded);
    assert_eq!(record.due_at, Some(at(1000)));
    for until in [1011, 1290] {
        let decision = deferred(&record, 3, until);
        let resumes_at = spread_from(&decision, until);
        assert_eq!(decision, nothing(Next::Wait(resumes_at)));
    }
}

#[test]
fn deferral_beyond_the_grace_or_with_a_newer_epoch_is_written() {
    let record = ended(Outcome::Succeeded);
    for (epoch, until) in [(3, 1301), (3, 5000), (4, 1011)] {
        let decision = deferred(&record, epoch, until);
        let resumes_at = spread_from(&decision, until);
        let expected = changed(&record, Next::Wait(resumes_at), |record| {
            record.epoch = epoch;
            record.due_at = Some(resumes_at);
            record.delivery.next_attempt_at = Some(resumes_at);
        });
        assert_eq!(decision, expected);
    }
}

#[test]
fn deliveries_deferred_until_the_same_time_are_made_at_different_times() {
    let resumes_at = |id: &str| {
        let record = Record {
            id: OperationId::parse(id).unwrap(),
            ..ended(Outcome::Succeeded)
        };
        spread_from(&deferred(&record, 3, 1100), 1100)
    };
    let first = resumes_at("op_00000000000000000000000000000001");
    assert_ne!(first, resumes_at("op_00000000000000000000000000000002"));
}

#[test]
fn outdated_deferral_changes_nothing() {
    let record = ended(Outcome::Succeeded);
    assert_eq!(deferred(&record, 2, 2000), nothing(Next::Redecide));
    assert_eq!(deferred(&running(EXPORT), 3, 2000), nothing(Next::Redecide));
}

#[test]
fn open_operation_takes_a_new_target_and_goes_on() {
    for record in [accepted(EXPORT, at(0)), held(at(2000)), running(EXPORT)] {
        assert_eq!(retargeted(&record), changed(&record, Next::Drop, changes));
    }
    let mut silent = running(EXPORT);
    silent.callback = None;
    assert_eq!(retargeted(&silent), changed(&silent, Next::Drop, changes));
}

#[test]
fn pending_or_undeliverable_completion_is_sent_to_a_new_target_at_once() {
    let outcome = Outcome::Succeeded;
    let how = DeliveryOutcome::Undeliverable;
    for state in [State::Ended { outcome }, State::Closed { outcome, how }] {
        let mut record = ended(outcome);
        record.state = state;
        record.delivery = Delivery {
            attempts: 9,
            last_status: Some(500),
            scheduled_since: Some(at(900)),
            scheduled_attempts: 5,
            next_attempt_at: None,
            unknown: serde_json::Map::new(),
        };
        let expected = changed(&record, Next::Drop, |record| {
            changes(record);
            record.state = State::Ended { outcome };
            record.due_at = Some(at(NOW));
            record.delivery.scheduled_since = None;
            record.delivery.scheduled_attempts = 0;
            record.delivery.next_attempt_at = Some(at(NOW));
        });
        assert_eq!(retargeted(&record), carried_anew(expected));
    }
}

#[test]
fn new_target_neither_reopens_a_delivered_operation_nor_creates_a_completion() {
    let outcome = Outcome::Succeeded;
    let mut record = ended(outcome);
    record.due_at = None;
    let how = DeliveryOutcome::Delivered;
    record.state = State::Closed { outcome, how };
    assert_eq!(retargeted(&record), changed(&record, Next::Drop, changes));
    record.event = None;
    assert_eq!(retargeted(&record), nothing(Next::Drop));
}

#[test]
fn answer_of_an_earlier_target_changes_nothing() {
    let mut record = ended(Outcome::Succeeded);
    record.callback.as_mut().unwrap().version = 2;
    let called = |target| {
        let reply = CallbackReply {
            status: Some(200),
            taken: true,
            ..CallbackReply::default()
        };
        let epoch = 3;
        decided(
            &record,
            &Event::Called {
                epoch,
                target,
                reply,
            },
            at(NOW),
        )
    };
    for earlier in [0, 1] {
        assert_eq!(called(earlier), nothing(Next::Redecide));
    }
    let delivered = called(2).write.unwrap();
    assert_eq!(delivered.callback_status(), "delivered");
}

/// The cases have statuses that the profile counts as success, and a 2xx that it does not.
#[test]
fn profile_decides_which_status_counts_as_delivered() {
    let record = ended(Outcome::Succeeded);
    for (status, taken, callback_status) in [
        (409, true, "delivered"),
        (204, false, "pending"),
        (410, true, "delivered"),
    ] {
        let reply = CallbackReply {
            status: Some(status),
            taken,
            ..CallbackReply::default()
        };
        let (epoch, target) = (3, 0);
        let decision = decided(
            &record,
            &Event::Called {
                epoch,
                target,
                reply,
            },
            at(NOW),
        );
        assert_eq!(
            decision.write.unwrap().callback_status(),
            callback_status,
            "{status}"
        );
    }
}

#[test]
fn completion_body_is_frozen_in_the_form_of_the_target() {
    let mut record = running(EXPORT);
    let template = r#"{ "issues": ["{{/data/reference}}"], "how": "as {{/data/status}}" }"#;
    record.reference = Some("DSAR-17".to_owned());
    let template = Template::try_from(template.to_owned()).unwrap();
    record.callback.as_mut().unwrap().template = Some(template);
    let after = decided(&record, &Event::Cancelled, at(NOW)).write.unwrap();
    let event = after.event.unwrap();
    assert_eq!(event.body, r#"{"issues":["DSAR-17"],"how":"as cancelled"}"#);
    assert_eq!(event.kind, "operation.cancelled");
}
