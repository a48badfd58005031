//! Tests what a received message leads to, and which message must be queued for a record.

use courier_core::lifecycle::{Decision, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{DeliveryOutcome, Outcome, Reason, Record, State};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    DEADLINE, EXPORT, GOALS, MONITOR, SCHEDULE, accepted, at, changed, decided, ended, held, line,
    nothing, poll, record, running, starting, watchdog,
};

/// Returns the outcome and the reason that a decision writes.
fn outcome(decision: &Decision) -> (Outcome, Reason) {
    let record = decision.write.as_ref().unwrap();
    (record.state.outcome().unwrap(), record.reason.unwrap())
}

#[test]
fn start_is_prepared_once_it_is_due() {
    let record = accepted(EXPORT, at(30));
    let next = |now| decided(&record, &watchdog(&record), now);
    assert_eq!(next(at(29)), nothing(Next::Wait(at(30))));
    assert_eq!(next(at(30)), nothing(Next::Prepare));
    assert_eq!(next(at(31)), nothing(Next::Prepare));
    assert_eq!(next(at(DEADLINE - 1)), nothing(Next::Prepare));
}

#[test]
fn start_that_is_due_only_after_its_deadline_waits_until_then_and_expires() {
    let mut record = accepted(EXPORT, at(30));
    record.deadline = at(20);
    let next = |now| decided(&record, &watchdog(&record), now);
    assert_eq!(next(at(19)), nothing(Next::Wait(at(20))));
    let expired = (Outcome::Expired, Reason::DeadlinePassed);
    for now in [20, 25, 30, 40] {
        assert_eq!(outcome(&next(at(now))), expired, "{now}");
    }
}

#[test]
fn start_with_a_lost_answer_ends_unknown_instead_of_expired() {
    let next = |record: &Record| decided(record, &watchdog(record), at(DEADLINE));
    let expired = (Outcome::Expired, Reason::DeadlinePassed);
    let unknown = (Outcome::Unknown, Reason::StartOutcomeUnknown);
    let mut record = accepted(SCHEDULE, at(0));
    assert_eq!(outcome(&next(&record)), expired);
    record.maybe_started = true;
    assert_eq!(outcome(&next(&record)), unknown);
    // A claim whose process reported no answer may have led to a call.
    assert_eq!(outcome(&next(&starting(SCHEDULE, at(60)))), unknown);
}

#[test]
fn start_in_flight_is_left_alone_until_its_lease_expires() {
    for name in [EXPORT, GOALS, SCHEDULE] {
        let record = starting(name, at(60));
        let next = |now| decided(&record, &watchdog(&record), at(now));
        assert_eq!(next(59), nothing(Next::Wait(at(60))), "{name}");
        let again = next(60) == nothing(Next::Prepare);
        assert_eq!(again, name != EXPORT, "{name}");
    }
}

#[test]
fn lost_start_of_class_never_is_held_and_its_secrets_are_deleted() {
    let record = starting(EXPORT, at(60));
    let until = at(60 + 15 * 60);
    let expected = changed(&record, Next::Wait(until), |record| {
        record.maybe_started = true;
        record.reason = Some(Reason::NoUsableAnswer);
        record.sealed_parameters = None;
        record.state = State::StartUnknown { hold_until: until };
        record.due_at = Some(until);
        let lost = line(at(60), "starting", "startAnswerLost", Some("lease over"));
        record.history = vec![lost];
    });
    assert_eq!(decided(&record, &watchdog(&record), at(60)), expected);
    // It is held even past its deadline, because a late answer may still come.
    let late = decided(&record, &watchdog(&record), at(DEADLINE));
    assert_eq!(late.write.unwrap().state.outcome(), None);
}

#[test]
fn hold_ends_with_the_outcome_unknown() {
    let record = held(at(1000));
    let next = |now| decided(&record, &watchdog(&record), at(now));
    assert_eq!(next(999), nothing(Next::Wait(at(1000))));
    let unknown = (Outcome::Unknown, Reason::StartOutcomeUnknown);
    assert_eq!(outcome(&next(1000)), unknown);
    assert_eq!(outcome(&next(1001)), unknown);
}

#[test]
fn closed_operation_needs_no_message() {
    let how = DeliveryOutcome::Delivered;
    let outcome = Outcome::Succeeded;
    let record = record(EXPORT, State::Closed { outcome, how });
    for event in [watchdog(&record), poll(&record, 9)] {
        assert_eq!(decided(&record, &event, at(5)), nothing(Next::Drop));
    }
    assert_eq!(Message::owed(&record), None);
}

#[test]
fn only_the_newest_message_polls_and_only_once_it_is_due() {
    let record = running(EXPORT);
    let next = |epoch, now| decided(&record, &poll(&record, epoch), at(now)).next;
    assert_eq!(next(2, 100), Next::Drop);
    for epoch in [3, 4] {
        assert_eq!(next(epoch, 99), Next::Wait(at(100)), "{epoch}");
        assert_eq!(next(epoch, 100), Next::Poll, "{epoch}");
        assert_eq!(next(epoch, 101), Next::Poll, "{epoch}");
    }
    assert_eq!(
        decided(&record, &watchdog(&record), at(100)),
        nothing(Next::Drop)
    );
}

#[test]
fn message_with_another_location_is_dropped() {
    let record = running(EXPORT);
    let mut other = record.clone();
    for monitor in [format!("{MONITOR}0"), "https://evil.example/".to_owned()] {
        other.state = State::Running { monitor };
        for now in [at(50), at(100), at(DEADLINE)] {
            let decision = decided(&record, &poll(&other, 3), now);
            assert_eq!(decision, nothing(Next::Drop));
        }
    }
}

#[test]
fn message_without_a_location_polls_where_the_record_says() {
    let record = running(EXPORT);
    let without = |epoch| poll(&accepted(EXPORT, at(0)), epoch);
    let decision = decided(&record, &without(3), at(100));
    assert_eq!(decision, nothing(Next::Poll));
    assert_eq!(decided(&record, &without(2), at(100)), nothing(Next::Drop));
}

#[test]
fn operation_past_its_deadline_is_polled_once_more_when_its_poll_is_due() {
    let mut record = running(EXPORT);
    record.deadline = at(90);
    let next = |now| decided(&record, &poll(&record, 3), at(now));
    for now in [89, 90, 99] {
        assert_eq!(next(now), nothing(Next::Wait(at(100))), "{now}");
    }
    assert_eq!(next(100), nothing(Next::Poll));
    record.graph.next_poll_at = None;
    assert_eq!(decided(&record, &poll(&record, 3), at(89)).next, Next::Poll);
}

#[test]
fn completion_is_delivered_once_it_is_due() {
    let mut record = ended(Outcome::Succeeded);
    record.delivery.next_attempt_at = Some(at(2000));
    let next = |record: &Record, epoch, now| decided(record, &poll(record, epoch), at(now));
    assert_eq!(next(&record, 2, 2000), nothing(Next::Drop));
    for epoch in [3, 4] {
        assert_eq!(next(&record, epoch, 1999), nothing(Next::Wait(at(2000))));
        assert_eq!(next(&record, epoch, 2000), nothing(Next::Deliver));
        assert_eq!(next(&record, epoch, 2001), nothing(Next::Deliver));
    }
    record.delivery.next_attempt_at = None;
    assert_eq!(next(&record, 3, 1000), nothing(Next::Deliver));
}

/// Returns the decision by which the watchdog replaces the first poll message with `message`.
///
/// Its epoch is one beyond that of the first poll message, which is dropped if it was sent after all.
fn replaced(message: Message, now: Timestamp) -> Decision {
    Decision {
        send: Some((message, now)),
        ..nothing(Next::Drop)
    }
}

#[test]
fn watchdog_replaces_the_first_poll_message_when_the_poll_is_a_minute_late() {
    let mut record = running(EXPORT);
    record.epoch = 0;
    let next = |record: &Record, now| decided(record, &watchdog(record), at(now));
    assert_eq!(next(&record, 100), nothing(Next::Wait(at(160))));
    assert_eq!(next(&record, 159), nothing(Next::Wait(at(160))));
    for now in [160, 161] {
        let message = Message::poll(&record, 2);
        assert_eq!(next(&record, now), replaced(message, at(now)));
    }
    record.deadline = at(120);
    assert_eq!(next(&record, 100), nothing(Next::Wait(at(120))));
    assert_eq!(next(&record, 130), nothing(Next::Wait(at(130))));
}

#[test]
fn watchdog_replaces_the_poll_message_at_once_when_the_operation_ended_before_a_poll() {
    let mut record = ended(Outcome::Failed);
    record.epoch = 0;
    let message = Message::poll(&record, 2);
    let decision = decided(&record, &watchdog(&record), at(1000));
    assert_eq!(decision, replaced(message, at(1000)));
}

#[test]
fn each_open_record_needs_the_message_that_carries_it() {
    let watchdog_of = |record: &Record| Message::WatchdogV1 {
        operation_id: record.id.clone(),
    };
    for record in [
        accepted(EXPORT, at(0)),
        starting(EXPORT, at(60)),
        held(at(900)),
    ] {
        assert_eq!(Message::owed(&record), Some((watchdog_of(&record), at(75))));
    }
    for record in [running(EXPORT), ended(Outcome::Failed)] {
        let due = record.due_at.unwrap();
        let next_poll = Message::poll(&record, 4);
        assert_eq!(Message::owed(&record), Some((next_poll, due)));
    }
    let mut never_due = running(EXPORT);
    never_due.due_at = None;
    assert_eq!(Message::owed(&never_due), None);
}

#[test]
fn message_contains_operation_epoch_and_location_and_omits_a_zero_count() {
    let record = running(EXPORT);
    let message = Message::poll(&record, 3);
    assert_eq!(message.operation_id(), &record.id);
    let first = json!({
        "type": "PollV1", "operationId": record.id, "hop": 3, "location": MONITOR,
    });
    assert_eq!(serde_json::to_value(&message).unwrap(), first);
    let second = json!({
        "type": "PollV1", "operationId": record.id, "hop": 4, "location": MONITOR, "looks": 2,
    });
    assert_eq!(serde_json::to_value(message.renewed(2)).unwrap(), second);
    let Event::Arrived(watchdog) = watchdog(&record) else {
        unreachable!()
    };
    assert_eq!(watchdog.renewed(2), watchdog);
    assert_eq!(watchdog.operation_id(), &record.id);
}
