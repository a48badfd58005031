//! Tests deliveries that are deferred, and completions whose callback target changes.

use std::time::Duration;

use courier_core::callback::CallbackReply;
use courier_core::lifecycle::schedule::CALLBACK_WINDOW;
use courier_core::lifecycle::{Channel, Decision, Event, Next};
use courier_core::operation::{CallbackTarget, Delivery, DeliveryOutcome, Outcome, Record, State};
use courier_core::profile::Template;
use jiff::Timestamp;
use serde_json::json;

use crate::ending::carried_anew;
use crate::{EXPORT, accepted, at, changed, decided, ended, held, line, nothing, running};

const NOW: u64 = 1010;

fn deferred(record: &Record, epoch: u32, until: u64) -> Decision {
    let until = at(until);
    let detail = None;
    let event = Event::Deferred {
        channel: Channel::Callback,
        epoch,
        until,
        detail,
    };
    decided(record, &event, at(NOW))
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
    for until in [1011, 1300] {
        let expected = nothing(Next::Wait(at(until)));
        assert_eq!(deferred(&record, 3, until), expected);
    }
}

#[test]
fn deferral_beyond_the_grace_or_with_a_newer_epoch_is_written() {
    let record = ended(Outcome::Succeeded);
    for (epoch, until) in [(3, 1301), (3, 5000), (4, 1011)] {
        let expected = changed(&record, Next::Wait(at(until)), |record| {
            record.epoch = epoch;
            record.due_at = Some(at(until));
            record.delivery.next_attempt_at = Some(at(until));
        });
        assert_eq!(deferred(&record, epoch, until), expected);
    }
}

/// The receiver of a completion has the whole window for it, however long another answer of its keeps it waiting.
#[test]
fn time_for_which_an_attempt_is_deferred_is_no_part_of_the_delivery_window() {
    let window = i64::try_from(CALLBACK_WINDOW.as_secs()).unwrap();
    let refused = CallbackReply {
        status: Some(500),
        ..CallbackReply::default()
    };
    let called = |record: &Record, now: Timestamp| {
        let event = Event::Called {
            epoch: 3,
            target: 0,
            reply: refused.clone(),
        };
        *decided(record, &event, now).write.unwrap()
    };
    let first = called(&ended(Outcome::Succeeded), at(1010));
    assert_eq!(first.delivery.postponed_ms, 0);
    let planned = first.delivery.next_attempt_at.unwrap();
    let opens = planned + Duration::from_secs(70 * 3600);
    let event = Event::Deferred {
        channel: Channel::Callback,
        epoch: 3,
        until: opens,
        detail: None,
    };
    let waiting = *decided(&first, &event, at(1012)).write.unwrap();
    assert_eq!(waiting.delivery.next_attempt_at, Some(opens));
    // The worker is a minute late, which is no part of the window either.
    let second = called(&waiting, opens + Duration::from_secs(60));
    assert_eq!(second.delivery.postponed_ms, (70 * 3600 + 60) * 1000);
    let mut record = second;
    while let Some(next) = record.delivery.next_attempt_at {
        record = called(&record, next);
    }
    let last = record.history.last().unwrap().at;
    let whole = last.duration_since(at(1010)).as_secs();
    assert_eq!(whole, window + 70 * 3600 + 60);
    assert_eq!(record.callback_status(), "undeliverable");
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
            postponed_ms: 60_000,
            unknown: serde_json::Map::new(),
        };
        let expected = changed(&record, Next::Drop, |record| {
            changes(record);
            record.state = State::Ended { outcome };
            record.due_at = Some(at(NOW));
            record.delivery.scheduled_since = None;
            record.delivery.scheduled_attempts = 0;
            record.delivery.next_attempt_at = Some(at(NOW));
            record.delivery.postponed_ms = 0;
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
        (204, false, "retrying"),
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

#[test]
fn what_keeps_a_completion_from_being_sent_is_noted_once() {
    let record = ended(Outcome::Succeeded);
    let postponed = |record: &Record, detail: &str| {
        let event = Event::Deferred {
            channel: Channel::Callback,
            epoch: record.epoch,
            until: at(NOW + 5),
            detail: Some(detail.to_owned()),
        };
        decided(record, &event, at(NOW))
    };
    let first = *postponed(&record, "no token").write.unwrap();
    let line = first.history.last().unwrap();
    assert_eq!(line.event, "callbackPostponed");
    assert_eq!(line.detail.as_deref(), Some("no token"));
    assert_eq!(postponed(&first, "no token").write, None);
    let second = *postponed(&first, "no client").write.unwrap();
    assert_eq!(second.history.len(), first.history.len() + 1);
    assert_eq!(second.delivery.attempts, record.delivery.attempts);
}
