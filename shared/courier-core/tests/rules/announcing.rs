//! Tests the announcement of an end beside the callback: neither waits for the other, and each is settled once.

use std::time::Duration;

use courier_core::callback::CallbackReply;
use courier_core::events::Context;
use courier_core::lifecycle::schedule::CALLBACK_WINDOW;
use courier_core::lifecycle::{Channel, Decision, Event, Next, Policy, Timing, decide};
use courier_core::operation::message::Message;
use courier_core::operation::{DeliveryOutcome, Outcome, Record, State};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::{EXPORT, GRAPH, at, operation, poll, running};

fn announcing(record: &Record, event: &Event, now: Timestamp) -> Decision {
    let (graph, timing) = (Url::parse(GRAPH).unwrap(), Timing::default());
    let policy = Policy {
        operation: operation(&record.operation),
        token: operation(&record.operation).default_token(),
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: Some(Context {
            source: "https://courier.example",
            base: "",
        }),
    };
    decide(record, event, now, &policy)
}

/// Returns a record that was cancelled at `at(1000)` and has epoch 3.
fn ended(with_callback: bool) -> Record {
    let mut record = running(EXPORT);
    if !with_callback {
        record.callback = None;
    }
    record.reference = Some("RITM0012345".to_owned());
    let mut record = *announcing(&record, &Event::Cancelled, at(1000))
        .write
        .unwrap();
    record.epoch = 3;
    record
}

fn reply(status: Option<u16>) -> CallbackReply {
    CallbackReply {
        status,
        taken: status == Some(204),
        ..CallbackReply::default()
    }
}

fn called(record: &Record, status: Option<u16>, now: Timestamp) -> Decision {
    let (epoch, target, reply) = (3, 0, reply(status));
    let event = Event::Called {
        epoch,
        target,
        reply,
    };
    announcing(record, &event, now)
}

fn announced(record: &Record, status: Option<u16>, now: Timestamp) -> Decision {
    let (epoch, reply) = (3, reply(status));
    announcing(record, &Event::Announced { epoch, reply }, now)
}

fn after(decision: Decision) -> (Record, Next) {
    (*decision.write.unwrap(), decision.next)
}

fn settled(record: &Record) -> Option<DeliveryOutcome> {
    record.announcement.as_ref().unwrap().settled
}

fn closed(how: DeliveryOutcome) -> State {
    let outcome = Outcome::Cancelled;
    State::Closed { outcome, how }
}

#[test]
fn the_event_of_an_end_is_frozen_by_the_write_that_ends_the_operation() {
    let record = ended(true);
    let announcement = record.announcement.clone().unwrap();
    let event: Value = serde_json::from_str(&announcement.event.body).unwrap();
    assert_eq!(event["id"], announcement.event.id.as_str());
    assert_eq!(event["type"], "io.graph-courier.operation.ended");
    assert_eq!(event["source"], "https://courier.example");
    assert_eq!(event["correlationid"], "RITM0012345");
    assert_eq!(event["data"]["status"], "cancelled");
    assert_eq!(event["data"]["reason"], "cancelled_by_caller");
    assert_eq!(announcement.delivery.next_attempt_at, Some(at(1000)));
    // Without a configuration of events, and with a record of an earlier version, nothing is announced.
    assert_eq!(crate::ended(Outcome::Succeeded).announcement, None);
}

#[test]
fn the_callback_is_made_first_and_then_the_announcement_in_the_same_step() {
    let record = ended(true);
    let arrived = announcing(&record, &poll(&record, 3), at(1000));
    assert_eq!(arrived.next, Next::Deliver);
    let (called, next) = after(called(&record, Some(204), at(1001)));
    assert_eq!(next, Next::Announce);
    assert_eq!(called.callback_status(), "delivered");
    let outcome = Outcome::Cancelled;
    assert_eq!(called.state, State::Ended { outcome });
    assert_eq!(called.sealed_result, None);
    let (announced, next) = after(announced(&called, Some(204), at(1002)));
    assert_eq!(next, Next::Drop);
    assert_eq!(announced.state, closed(DeliveryOutcome::Delivered));
    assert_eq!(settled(&announced), Some(DeliveryOutcome::Delivered));
    assert_eq!(announced.due_at, None);
}

#[test]
fn an_end_without_a_callback_is_announced_and_then_closed_as_one() {
    let record = ended(false);
    assert_eq!(record.event, None);
    assert_eq!(record.callback_status(), "none");
    let arrived = announcing(&record, &poll(&record, 3), at(1000));
    assert_eq!(arrived.next, Next::Announce);
    let (record, _) = after(announced(&record, Some(204), at(1001)));
    assert_eq!(record.state, closed(DeliveryOutcome::NotRequested));
}

#[test]
fn a_receiver_that_is_down_delays_no_announcement_and_a_target_that_is_down_no_callback() {
    let record = ended(true);
    let (waiting, next) = after(called(&record, None, at(1001)));
    assert_eq!(next, Next::Announce);
    let (waiting, next) = after(announced(&waiting, Some(204), at(1002)));
    let callback = waiting.delivery.next_attempt_at.unwrap();
    assert_eq!(next, Next::Wait(callback));
    assert_eq!(waiting.due_at, Some(callback));
    assert_eq!(settled(&waiting), Some(DeliveryOutcome::Delivered));
    // The other way round: the announcement fails, and the callback closes nothing.
    let (waiting, _) = after(announced(&record, Some(503), at(1001)));
    let later = announcing(&waiting, &poll(&waiting, 3), at(1001));
    assert_eq!(later.next, Next::Deliver);
    let (waiting, next) = after(called(&waiting, Some(204), at(1002)));
    let announcement = waiting.announcement.as_ref().unwrap();
    let again = announcement.delivery.next_attempt_at.unwrap();
    assert_eq!((next, waiting.due_at), (Next::Wait(again), Some(again)));
    assert_eq!(waiting.callback_status(), "delivered");
    let resumed = Message::resuming(&waiting).unwrap().1;
    assert_eq!(resumed, again);
}

#[test]
fn a_pause_of_one_delivery_is_written_while_the_other_is_pending_and_leads_to_it() {
    let record = ended(true);
    let deferred = |record: &Record, channel, until| {
        let (epoch, detail) = (3, None);
        let event = Event::Deferred {
            channel,
            epoch,
            until: at(until),
            detail,
        };
        announcing(record, &event, at(1001))
    };
    let (paused, next) = after(deferred(&record, Channel::Callback, 1100));
    assert_eq!(next, Next::Announce);
    let (both, next) = after(deferred(&paused, Channel::Announcement, 1050));
    assert_eq!((next, both.due_at), (Next::Wait(at(1050)), Some(at(1050))));
    // Alone, a pause is not written.
    let (alone, _) = after(announced(&paused, Some(204), at(1002)));
    let waits = deferred(&alone, Channel::Callback, 1110);
    assert_eq!((waits.write, waits.next), (None, Next::Wait(at(1110))));
    // One that is over at once is not tried again in the same step.
    let alone = ended(false);
    let over = deferred(&alone, Channel::Announcement, 1000);
    assert_eq!(over.next, Next::Wait(at(1000)));
}

#[test]
fn an_announcement_is_tried_for_as_long_as_a_callback_and_then_given_up() {
    let mut record = ended(false);
    let mut now = at(1000);
    let mut attempts = 0;
    let body = record.announcement.clone().unwrap().event;
    while let Some(due) = record.due_at {
        now = due;
        record = after(announced(&record, Some(500), now)).0;
        assert_eq!(record.announcement.clone().unwrap().event, body);
        attempts += 1;
    }
    assert!((10..=11).contains(&attempts), "{attempts}");
    assert_eq!(now, at(1000) + CALLBACK_WINDOW);
    assert_eq!(settled(&record), Some(DeliveryOutcome::Undeliverable));
    assert_eq!(record.state, closed(DeliveryOutcome::NotRequested));
    assert_eq!(record.history.last().unwrap().event, "unannounced");
    // A redelivery begins anew with what was given up, and with nothing else.
    let (again, _) = after(announcing(&record, &Event::RedeliveryRequested, now));
    let arrived = announcing(&again, &poll(&again, 9000), now);
    assert_eq!(arrived.next, Next::Announce);
}

#[test]
fn what_was_announced_is_not_announced_again_by_a_redelivery_or_another_receiver() {
    let (record, _) = after(called(&ended(true), Some(410), at(1001)));
    let (record, _) = after(announced(&record, Some(204), at(1002)));
    assert_eq!(record.state, closed(DeliveryOutcome::Undeliverable));
    let target = Box::new(record.callback.clone().unwrap());
    for event in [Event::RedeliveryRequested, Event::Retargeted(target)] {
        let (again, _) = after(announcing(&record, &event, at(2000)));
        assert_eq!(
            settled(&again),
            Some(DeliveryOutcome::Delivered),
            "{event:?}"
        );
        let arrived = announcing(&again, &poll(&again, 9000), at(2000));
        assert_eq!(arrived.next, Next::Deliver);
        let epoch = 9000;
        let reply = reply(Some(204));
        let late = announcing(&again, &Event::Announced { epoch, reply }, at(2000));
        assert_eq!((late.write, late.next), (None, Next::Redecide));
    }
}

#[test]
fn a_redelivery_while_the_announcement_is_pending_makes_the_callback_again() {
    let (record, _) = after(called(&ended(true), Some(204), at(1001)));
    let (again, _) = after(announcing(&record, &Event::RedeliveryRequested, at(1002)));
    assert_eq!(again.callback_status(), "pending");
    assert_eq!(settled(&again), None);
    // A receiver that has the completion does not get it again because the caller has named another.
    let target = Box::new(record.callback.clone().unwrap());
    let (moved, _) = after(announcing(&record, &Event::Retargeted(target), at(1002)));
    assert_eq!(moved.callback_status(), "delivered");
    let late = at(1000) + Duration::from_secs(60);
    let result = called(&moved, Some(204), late);
    assert_eq!((result.write, result.next), (None, Next::Redecide));
}

#[test]
fn erasure_waits_for_the_announcement_and_takes_its_event_too() {
    let record = ended(false);
    let waits = announcing(&record, &Event::Erased, at(1001));
    assert_eq!(waits.write, None);
    let (record, _) = after(announced(&record, Some(204), at(1001)));
    let (erased, _) = after(announcing(&record, &Event::Erased, at(1002)));
    assert_eq!(erased.announcement, None);
}
