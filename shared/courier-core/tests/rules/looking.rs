//! Tests the looks for a job whose URL is not known, and those after a job's success: which answers count, and for what.

use courier_core::graph::unavailable::{Cause, NotReady};
use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::{Asked, Decision, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{FollowUp, Outcome, Reason, Record, State};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{GRAPH, MONITOR, answer, at, decided, nothing, poll, record, replied, watchdog};

const EDISCOVERY: &str = "ediscovery.exportResult";
const TEAM: &str = "team.fromGroup";
const ID: &str = "6b29fc40-ca47-1067-b31d-00dd010662da";
const SETTLED: u64 = 400;

/// Returns an export whose answer was lost; its job must have appeared at `at(SETTLED)`.
fn locating() -> Record {
    let state = State::Locating {
        next_look_at: at(100),
        settle_until: Some(at(SETTLED)),
    };
    let mut record = record(EDISCOVERY, state);
    for name in ["caseId", "searchId"] {
        record.parameters.insert(name.to_owned(), ID.into());
    }
    record.maybe_started = true;
    record.reason = Some(Reason::NoUsableAnswer);
    record
}

/// Returns a team whose making has succeeded, and which is looked at until `at(900)` by a message of epoch 3.
fn followed() -> Record {
    let monitor = format!("{GRAPH}/v1.0/teams/{ID}?$select=id,webUrl,displayName");
    let mut record = record(TEAM, State::Running { monitor });
    record.parameters.insert("groupId".to_owned(), ID.into());
    record.epoch = 3;
    record.started_at = Some(at(10));
    record.graph.next_poll_at = Some(at(100));
    record.follow_up = Some(FollowUp {
        stage: 1,
        outcome: Outcome::Succeeded,
        until: at(900),
    });
    record
}

fn asked(record: &Record, asked: Asked, reply: GraphReply, now: Timestamp) -> Decision {
    let event = Event::Polled {
        epoch: record.epoch,
        receives: 1,
        asked,
        client_request_id: "p".to_owned(),
        reply: Ok(reply),
    };
    decided(record, &event, now)
}

fn empty_list() -> GraphReply {
    replied(answer(200, json!({ "value": [] })))
}

fn job(seconds: u64) -> Asked {
    Asked::Job { at: at(seconds) }
}

#[test]
fn job_that_has_not_appeared_when_it_must_have_is_started_again() {
    let record = locating();
    let decision = asked(&record, job(SETTLED), empty_list(), at(SETTLED + 1));
    let after = decision.write.unwrap();
    assert!(matches!(after.state, State::Accepted { .. }), "{after:?}");
    assert_eq!(decision.next, Next::Redecide);
}

#[test]
fn look_that_was_made_before_the_job_must_have_appeared_proves_nothing_however_late_its_answer_is()
{
    let record = locating();
    let decision = asked(&record, job(SETTLED - 1), empty_list(), at(SETTLED + 60));
    let after = decision.write.unwrap();
    assert!(matches!(after.state, State::Locating { .. }), "{after:?}");
}

#[test]
fn answer_to_a_look_is_none_to_a_poll_of_the_job_that_was_found_meanwhile() {
    let record = crate::running(EDISCOVERY);
    let decision = asked(&record, job(90), empty_list(), at(100));
    assert_eq!(decision, nothing(Next::Redecide));
}

#[test]
fn poll_of_a_job_is_no_answer_to_a_look_for_one() {
    let record = locating();
    let monitor = Asked::Monitor(MONITOR.to_owned());
    let decision = asked(&record, monitor, empty_list(), at(SETTLED));
    assert_eq!(decision, nothing(Next::Redecide));
}

#[test]
fn status_of_the_job_does_not_show_that_what_it_made_is_there() {
    let record = followed();
    let monitor = Asked::Monitor(MONITOR.to_owned());
    let status = replied(answer(200, json!({ "status": "inProgress" })));
    let decision = asked(&record, monitor, status, at(100));
    assert_eq!(decision, nothing(Next::Redecide));
    let team = replied(answer(200, json!({ "webUrl": "https://teams.example" })));
    let decision = asked(&record, Asked::of(&record, at(100)), team, at(100));
    let after = decision.write.unwrap();
    assert_eq!(after.state.outcome(), Some(Outcome::Succeeded));
    assert!(!after.result.unwrap().contains_key("verified"));
}

#[test]
fn poll_that_could_not_be_made_of_another_monitor_changes_nothing() {
    let event = |asked| Event::Polled {
        epoch: 3,
        receives: 1,
        asked,
        client_request_id: String::new(),
        reply: Err(NotReady {
            reason: None,
            detail: None,
            retry_after: None,
            cause: Cause::Trouble,
        }),
    };
    let other = event(Asked::Monitor(MONITOR.to_owned()));
    let decision = decided(&followed(), &other, at(1000));
    assert_eq!(decision, nothing(Next::Redecide));
    let other = event(job(100));
    let decision = decided(&followed(), &other, at(1000));
    assert_eq!(decision, nothing(Next::Redecide));
}

#[test]
fn looks_that_did_not_find_the_job_are_no_polls_that_miss_its_monitor() {
    let mut record = locating();
    record.graph.missing = 2;
    let late = Event::Started {
        attempt: 1,
        client_request_id: "c".to_owned(),
        start_url: format!("{GRAPH}/v1.0/security"),
        reply: GraphReply::Answer(Box::new(Answer {
            status: 202,
            locations: vec![format!("{GRAPH}/v1.0/security/operations/1")],
            body: Some(Value::Null),
            ..Answer::default()
        })),
        forecast: None,
    };
    let after = decided(&record, &late, at(200)).write.unwrap();
    assert!(matches!(after.state, State::Running { .. }), "{after:?}");
    assert_eq!(after.graph.missing, 0);
    assert!(!after.is_silent());
}

#[test]
fn message_of_an_earlier_stage_carries_on_until_the_one_of_this_stage_is_used() {
    let record = followed();
    let earlier = |epoch| {
        Event::Arrived(Message::PollV1 {
            operation_id: record.id.clone(),
            epoch,
            location: Some(MONITOR.to_owned()),
            receives_before: 0,
        })
    };
    assert_eq!(
        decided(&record, &earlier(3), at(100)),
        nothing(Next::Poll),
        "the message of this stage may never have been sent"
    );
    let outdated = decided(&record, &earlier(2), at(100));
    assert_eq!(outdated, nothing(Next::Drop));
    assert_eq!(
        decided(&record, &poll(&record, 9), at(100)),
        nothing(Next::Poll)
    );
    assert_eq!(
        decided(&record, &watchdog(&record), at(100)),
        nothing(Next::Drop)
    );
}

#[test]
fn message_of_a_new_stage_outdates_one_that_was_renewed_often() {
    let mut record = followed();
    record.epoch = 50;
    let cancelled = decided(&record, &Event::Cancelled, at(100));
    let Some((Message::PollV1 { epoch, .. }, _)) = cancelled.send else {
        panic!("{cancelled:?}");
    };
    assert!(epoch > 50, "{epoch}");
}
