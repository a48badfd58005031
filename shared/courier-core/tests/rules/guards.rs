//! Tests the guard of a write, and that events which no longer fit the record change nothing.

use courier_core::callback::CallbackReply;
use courier_core::graph::unavailable::{Cause, NotReady};
use courier_core::graph::verdict::GraphReply;
use courier_core::lifecycle::{Asked, Event, Next};
use courier_core::operation::{DeliveryOutcome, Outcome, Record, State};
use courier_core::ports::Write;
use serde_json::json;

use crate::{
    EXPORT, MONITOR, SCHEDULE, accepted, answer, at, decided, ended, held, nothing, record,
    replied, running, starting,
};

#[test]
fn refused_write_counts_as_applied_only_if_revision_and_writer_match() {
    let mine = accepted(EXPORT, at(0));
    let stored = |revision, writer: &str| Record {
        revision,
        writer: writer.to_owned(),
        ..mine.clone()
    };
    assert_eq!(Write::settle(&mine, stored(7, "w")), Write::Applied);
    for other in [
        stored(7, "x"),
        stored(8, "w"),
        stored(6, "w"),
        stored(8, "x"),
    ] {
        let refused = Write::Refused(Box::new(other.clone()));
        assert_eq!(Write::settle(&mine, other), refused);
    }
}

/// Returns a record in each state, at attempt 1 and epoch 3.
fn every_state() -> Vec<Record> {
    let closed = State::Closed {
        outcome: Outcome::Failed,
        how: DeliveryOutcome::Undeliverable,
    };
    let mut records = vec![
        accepted(SCHEDULE, at(0)),
        starting(SCHEDULE, at(0)),
        held(at(0)),
        running(EXPORT),
        ended(Outcome::Succeeded),
        record(EXPORT, closed),
    ];
    for record in &mut records {
        (record.attempt, record.epoch) = (1, 3);
    }
    records
}

/// Asserts that the event is ignored except in these states, given by their index in `every_state`.
fn assert_ignored_except_in(event: &Event, states: &[usize]) {
    for (index, record) in every_state().iter().enumerate() {
        let decision = decided(record, event, at(500));
        let ignored = decision == nothing(Next::Redecide);
        assert_eq!(ignored, !states.contains(&index), "{event:?}: {record:?}");
    }
}

fn started(attempt: u32, reply: GraphReply) -> Event {
    Event::Started {
        attempt,
        client_request_id: "c".to_owned(),
        start_url: "https://graph.microsoft.com/v1.0/teams/1/schedule".to_owned(),
        reply,
        forecast: None,
    }
}

fn polled(epoch: u32, reply: Result<GraphReply, NotReady>) -> Event {
    Event::Polled {
        epoch,
        receives: 1,
        asked: Asked::Monitor(MONITOR.to_owned()),
        client_request_id: "p".to_owned(),
        reply,
    }
}

#[test]
fn event_that_no_longer_fits_changes_nothing() {
    let not_ready = NotReady {
        reason: Some(courier_core::operation::Reason::AuthorizationLost),
        detail: None,
        retry_after: None,
        cause: Cause::Trouble,
    };
    let called = |epoch| Event::Called {
        epoch,
        target: 0,
        reply: CallbackReply {
            status: Some(204),
            taken: true,
            ..CallbackReply::default()
        },
    };
    let complete = || replied(answer(200, json!({ "status": "complete" })));
    assert_ignored_except_in(&Event::Prepared { container: None }, &[0, 1]);
    assert_ignored_except_in(&Event::NotReady(not_ready.clone()), &[0, 1]);
    for attempt in [0, 2] {
        assert_ignored_except_in(
            &started(attempt, GraphReply::NotSent("no connection".to_owned())),
            &[],
        );
        assert_ignored_except_in(&started(attempt, complete()), &[]);
    }
    // During the hold only a success counts.
    assert_ignored_except_in(
        &started(1, GraphReply::NotSent("no connection".to_owned())),
        &[1],
    );
    assert_ignored_except_in(&started(1, GraphReply::Lost("no answer in time")), &[1]);
    for epoch in [3, 4] {
        assert_ignored_except_in(&polled(epoch, Ok(complete())), &[3]);
        assert_ignored_except_in(&polled(epoch, Err(not_ready.clone())), &[3]);
        assert_ignored_except_in(&called(epoch), &[4]);
    }
    assert_ignored_except_in(&polled(2, Ok(complete())), &[]);
    assert_ignored_except_in(&polled(2, Err(not_ready)), &[]);
    assert_ignored_except_in(&called(2), &[]);
}

#[test]
fn ended_operation_is_not_cancelled_and_one_without_completion_is_not_redelivered() {
    for record in every_state() {
        let open = record.state.outcome().is_none();
        let cancelled = decided(&record, &Event::Cancelled, at(500));
        assert_eq!(cancelled == nothing(Next::Drop), !open, "{record:?}");
        let redelivered = decided(&record, &Event::RedeliveryRequested, at(500));
        let nothing_to_deliver = open || record.event.is_none();
        assert_eq!(redelivered == nothing(Next::Drop), nothing_to_deliver);
    }
}
