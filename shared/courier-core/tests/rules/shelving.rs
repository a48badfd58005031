//! Tests what is shelved: a long wait that no message carries, because the sweep sends one when it ends.

use std::time::Duration;

use courier_core::catalogue::TokenKind;
use courier_core::lifecycle::{Asked, Decision, Event, Next, Policy, Timing, decide};
use courier_core::operation::Record;
use courier_core::operation::message::Message;
use url::Url;

use crate::polls::{NOW, known, polled, says};
use crate::{EXPORT, GRAPH, MONITOR, at, decided, nothing, operation, poll};

/// Returns the decision on an answer of Graph at `NOW` that brings nothing new, where so long waits are shelved.
fn looked(record: &Record, shelve_from: u64) -> Decision {
    let (graph, timing) = (Url::parse(GRAPH).unwrap(), Timing::default());
    let policy = Policy {
        operation: operation(EXPORT),
        token: TokenKind::Application,
        graph: &graph,
        timing: &timing,
        shelve_from: Some(Duration::from_secs(shelve_from)),
        announce: None,
    };
    let event = Event::Polled {
        epoch: record.epoch,
        receives: 1,
        asked: Asked::of(record, at(NOW)),
        client_request_id: "p".to_owned(),
        reply: Ok(says("running", 20.0)),
    };
    decide(record, &event, at(NOW), &policy)
}

/// Returns a record that is shelved, and when its wait ends.
fn shelved() -> (Record, jiff::Timestamp) {
    let record = *looked(&known(), 60).write.unwrap();
    let until = record.due_at.unwrap();
    (record, until)
}

fn wake(record: &Record) -> Event {
    Event::Arrived(Message::wake(record.id.clone(), record.epoch))
}

#[test]
fn wait_as_long_as_the_policy_says_is_written_down_and_its_message_deleted() {
    let before = known();
    let decision = looked(&before, 60);
    let Next::Wait(until) = polled(&before, says("running", 20.0)).next else {
        panic!("the same poll with nothing shelved waits");
    };
    let mut after = before.clone();
    after.revision += 1;
    after.epoch = before.epoch + 1;
    after.graph.polls += 1;
    after.graph.next_poll_at = Some(until);
    after.due_at = Some(until);
    after.shelved_until = Some(until);
    assert_eq!(*decision.write.unwrap(), after);
    assert!(after.is_shelved());
    assert_eq!((decision.send, decision.next), (None, Next::Drop));
}

#[test]
fn shorter_wait_is_no_write() {
    let decision = looked(&known(), 3600);
    assert!(matches!(decision.next, Next::Wait(_)), "{decision:?}");
    assert_eq!(decision.write, None);
}

#[test]
fn message_from_before_is_outdated_and_the_one_of_the_sweep_polls_when_it_is_due() {
    let (record, until) = shelved();
    let old = poll(&record, record.epoch - 1);
    assert_eq!(decided(&record, &old, until), nothing(Next::Drop));
    let early = decided(&record, &wake(&record), at(NOW + 1));
    assert_eq!(early, nothing(Next::Wait(until)));
    assert_eq!(decided(&record, &wake(&record), until), nothing(Next::Poll));
}

#[test]
fn operation_that_is_shelved_no_longer_gets_a_message_of_a_higher_epoch() {
    let (record, _) = shelved();
    let decision = polled(&record, says("running", 20.0));
    let after = decision.write.unwrap();
    let next = after.graph.next_poll_at.unwrap();
    assert_eq!((after.shelved_until, after.is_shelved()), (None, false));
    assert_eq!(
        after.epoch, record.epoch,
        "the message in hand stays good until then"
    );
    let epoch = u32::try_from(after.revision).unwrap() + 2;
    assert!(epoch > after.epoch);
    assert_eq!(decision.send, Some((Message::poll(&after, epoch), next)));
    assert_eq!(decision.next, Next::Drop);
}

#[test]
fn operation_that_stays_shelved_outdates_the_message_that_the_sweep_may_have_sent_twice() {
    let (record, _) = shelved();
    let again = *looked(&record, 60).write.unwrap();
    assert!(again.is_shelved());
    assert_eq!(again.epoch, record.epoch + 1);
    let twin = wake(&record);
    assert_eq!(decided(&again, &twin, at(NOW + 1)), nothing(Next::Drop));
}

#[test]
fn cancelling_and_the_sweep_of_an_overdue_record_take_it_off_the_shelf() {
    let (record, until) = shelved();
    let cancelled = decided(&record, &Event::Cancelled, at(NOW + 1));
    assert!(!cancelled.write.unwrap().is_shelved());
    let overdue = decided(&record, &Event::Overdue, until);
    assert!(!overdue.write.as_ref().unwrap().is_shelved());
    let Some((
        Message::PollV1 {
            epoch, location, ..
        },
        _,
    )) = overdue.send
    else {
        panic!("{overdue:?}");
    };
    assert_eq!(location.as_deref(), Some(MONITOR));
    assert!(epoch > record.epoch);
}
