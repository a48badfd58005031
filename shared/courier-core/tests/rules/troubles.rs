//! Tests what follows from a poll that could not be made, got no status, was refused, or found no monitor.

use std::time::Duration;

use courier_core::graph::error::GraphError;
use courier_core::graph::unavailable::{Cause, NotReady};
use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::{Asked, Decision, Event, Next};
use courier_core::operation::{OperationError, Outcome, Reason, Record, State};
use courier_core::outbound::answer_body::Unreadable;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::polls::{NOW, call, known, polled, polled_at, says};
use crate::{DEADLINE, GOALS, SCHEDULE, answer, at, decided, replied, running, seconds};

const DAY: u64 = 86_400;

fn not_asked(now: u64, record: &Record, not_ready: NotReady) -> Decision {
    let event = Event::Polled {
        epoch: record.epoch,
        receives: 1,
        asked: Asked::of(record, at(now)),
        client_request_id: String::new(),
        reply: Err(not_ready),
    };
    decided(record, &event, at(now))
}

fn not_ready(reason: Option<Reason>, retry_after: Option<u64>) -> NotReady {
    NotReady {
        reason,
        detail: None,
        retry_after: retry_after.map(seconds),
        cause: Cause::Trouble,
    }
}

/// Returns the pause that follows from a decision at `now`, in seconds, which may have grown by a tenth.
fn pause(now: u64, decision: &Decision) -> f64 {
    let Next::Wait(until) = decision.next else {
        panic!("it does not wait: {decision:?}");
    };
    until.duration_since(at(now)).as_secs_f64()
}

fn assert_pause(now: u64, decision: &Decision, shortest: u64) {
    assert_spread(now, decision, shortest, shortest / 10);
}

fn assert_spread(now: u64, decision: &Decision, shortest: u64, spread: u64) {
    let pause = pause(now, decision);
    let longest = (shortest + spread) as f64 + 1.0;
    assert!(
        (shortest as f64..=longest).contains(&pause),
        "{pause} s, not {shortest} s and up to {spread} s more"
    );
}

/// Returns a record of an export that has run for ten days and ends in ten more.
fn old() -> Record {
    let mut record = known();
    record.deadline = at(20 * DAY);
    record
}

#[test]
fn poll_without_a_status_is_repeated_after_30_seconds_then_four_times_as_long_up_to_the_interval() {
    let replies = [
        GraphReply::NotSent("no connection".to_owned()),
        GraphReply::Lost("no answer in time"),
        replied(answer(200, json!({ "no": "status" }))),
        replied(answer(503, Value::Null)),
    ];
    for reply in replies {
        let mut record = old();
        for (unanswered, shortest) in [(1, 30), (2, 120), (3, 480), (4, 1920), (5, 7680)] {
            let decision = polled_at(10 * DAY, &record, 3, 1, reply.clone());
            assert_pause(10 * DAY, &decision, shortest);
            record = *decision.write.unwrap();
            assert_eq!(record.graph.unanswered, unanswered, "{reply:?}");
        }
        for _ in 0..5 {
            let decision = polled_at(10 * DAY, &record, 3, 1, reply.clone());
            assert_pause(10 * DAY, &decision, 6 * 3600);
            record = decision.write.map_or(record, |record| *record);
        }
        // The job still runs, so the next poll is a whole interval away, and the count begins anew.
        let decision = polled_at(10 * DAY, &record, 3, 1, says("running", 20.0));
        assert_pause(10 * DAY, &decision, 6 * 3600);
        assert_eq!(decision.write.unwrap().graph.unanswered, 0);
    }
}

#[test]
fn young_operation_is_polled_again_after_its_own_interval() {
    let decision = polled(
        &running(SCHEDULE),
        GraphReply::NotSent("no connection".to_owned()),
    );
    let own = pause(NOW, &decision);
    assert!(own < 30.0, "{own}");
}

#[test]
fn throttled_poll_without_a_retry_after_waits_for_the_catalogues_first_pause() {
    let decision = polled_at(10 * DAY, &old(), 3, 1, replied(answer(429, Value::Null)));
    assert_spread(10 * DAY, &decision, 60, 60);
}

#[test]
fn retry_after_only_lengthens_the_pause_after_a_trouble() {
    let reply = |retry_after| {
        replied(Answer {
            retry_after: Some(seconds(retry_after)),
            ..answer(503, Value::Null)
        })
    };
    for (retry_after, shortest, spread) in [(5, 30, 3), (90, 90, 90), (3600, 3600, 3600)] {
        let decision = polled_at(10 * DAY, &old(), 3, 1, reply(retry_after));
        assert_spread(10 * DAY, &decision, shortest, spread);
    }
}

#[test]
fn poll_that_waits_for_its_turn_is_no_trouble_and_comes_when_its_turn_does() {
    let turn = NotReady {
        cause: Cause::Turn,
        ..not_ready(None, Some(7))
    };
    let decision = not_asked(10 * DAY, &old(), turn);
    assert_pause(10 * DAY, &decision, 7);
    assert!(
        decision
            .write
            .is_none_or(|record| record.graph.unanswered == 0)
    );
}

#[test]
fn poll_that_could_not_be_sent_is_not_counted() {
    let decision = not_asked(NOW, &known(), not_ready(None, None));
    assert_eq!(decision.write.unwrap().graph.polls, 4);
}

#[test]
fn refused_token_or_permission_is_noted_once_with_the_needed_permission_and_tried_within_minutes() {
    for reason in [Reason::AuthorizationLost, Reason::SealedDataUnreadable] {
        let decision = not_asked(10 * DAY, &old(), not_ready(Some(reason), Some(60)));
        assert_spread(10 * DAY, &decision, 60, 60);
        assert_eq!(decision.write.unwrap().reason, Some(reason));
    }
    let mut record = old();
    for status in [401, 403] {
        let refused = replied(answer(status, Value::Null));
        let first = polled_at(10 * DAY, &record, 3, 1, refused.clone());
        assert_pause(10 * DAY, &first, 30);
        let mut written = *first.write.unwrap();
        assert_eq!(written.reason, Some(Reason::AuthorizationLost));
        let details: Vec<_> = written.history.iter().map(|line| &line.detail).collect();
        let detail = format!("needs User.Export.All; Graph answered {status}");
        assert_eq!(details, [&Some(detail)]);
        written.graph.unanswered = 8;
        let later = polled_at(10 * DAY, &written, 3, 1, refused);
        assert_pause(10 * DAY, &later, 900);
        assert_eq!(later.write.map(|record| record.history.len()), None);
        record.history.clear();
    }
}

#[test]
fn reason_is_shown_only_while_it_is_true() {
    let mut record = old();
    record.reason = Some(Reason::AuthorizationLost);
    for (reply, shown) in [
        (says("running", 20.0), None),
        (not_found(None), Some(Reason::NoUsableAnswer)),
        (replied(answer(429, Value::Null)), Some(Reason::Throttled)),
        (
            replied(answer(200, json!({ "no": "status" }))),
            Some(Reason::NoUsableAnswer),
        ),
        (replied(answer(503, Value::Null)), record.reason),
        (
            GraphReply::NotSent("no connection".to_owned()),
            record.reason,
        ),
    ] {
        let decision = polled_at(10 * DAY, &record, 3, 1, reply.clone());
        assert_eq!(decision.write.unwrap().reason, shown, "{reply:?}");
    }
}

#[test]
fn what_came_instead_of_a_status_is_noted_once_with_its_call() {
    let html = || Answer {
        body: None,
        unreadable: Some(Unreadable::NotJson),
        media_type: Some("text/html".to_owned()),
        ..answer(200, Value::Null)
    };
    let mut record = old();
    let mut notes = Vec::new();
    for (reply, event) in [
        (replied(html()), "noUsableAnswer"),
        (GraphReply::Lost("no answer in time"), "noUsableAnswer"),
        (replied(html()), "noUsableAnswer"),
        (replied(answer(429, Value::Null)), "throttled"),
        (replied(answer(429, Value::Null)), "throttled"),
    ] {
        let decision = polled_at(10 * DAY, &record, 3, 1, reply);
        record = *decision.write.unwrap();
        let line = record.history.last().unwrap();
        assert_eq!(line.event, event);
        assert_eq!(line.client_request_id.as_deref(), Some("p"));
        notes = record
            .history
            .iter()
            .map(|line| line.detail.clone())
            .collect();
    }
    let words = [
        "Graph answered 200 (text/html), but its body is not JSON",
        "no answer in time",
        "Graph answered 429",
    ];
    assert_eq!(notes, words.map(|text| Some(text.to_owned())));
    let seen = polled_at(10 * DAY, &record, 3, 1, says("running", 20.0));
    record = *seen.write.unwrap();
    assert_eq!(record.reason, None);
    // A new trouble is told anew.
    let decision = polled_at(10 * DAY, &record, 3, 1, replied(answer(429, Value::Null)));
    assert_eq!(decision.write.unwrap().history.len(), notes.len() + 1);
}

#[test]
fn poll_that_others_have_had_throttled_says_so() {
    let throttled = NotReady {
        cause: Cause::Throttled,
        ..not_ready(None, Some(40))
    };
    let decision = not_asked(10 * DAY, &old(), throttled);
    assert_spread(10 * DAY, &decision, 60, 6);
    assert_eq!(decision.write.unwrap().reason, Some(Reason::Throttled));
}

#[test]
fn operation_past_its_deadline_expires_only_when_a_poll_has_shown_that_its_job_still_runs() {
    let expired = State::Ended {
        outcome: Outcome::Expired,
    };
    let after = |now, reply| polled_at(now, &known(), 3, 1, reply);
    for seconds in [0, 10, 3599] {
        let decision = after(
            DEADLINE + seconds,
            GraphReply::NotSent("no connection".to_owned()),
        );
        assert_pause(DEADLINE + seconds, &decision, 30);
    }
    let given_up = after(
        DEADLINE + 3600,
        GraphReply::NotSent("no connection".to_owned()),
    );
    assert_eq!(given_up.write.unwrap().state, expired);
    for reply in [says("running", 20.0), not_found(None)] {
        let decision = after(DEADLINE + 10, reply);
        let record = decision.write.unwrap();
        assert_eq!(record.state, expired);
        assert_eq!(record.reason, Some(Reason::DeadlinePassed));
    }
}

fn not_found(retry_after: Option<u64>) -> GraphReply {
    let error = GraphError {
        code: "itemNotFound".to_owned(),
        message: "no".to_owned(),
        inner_code: None,
        target: None,
        request_id: None,
    };
    replied(Answer {
        retry_after: retry_after.map(seconds),
        error: Some(error),
        ..answer(404, Value::Null)
    })
}

#[test]
fn missing_monitor_is_noted_once_and_polled_again_soon_and_then_more_and_more_rarely() {
    let mut record = known();
    let first = *polled(&record, not_found(None)).write.unwrap();
    assert_eq!(first.graph.missing_since, Some(at(NOW)));
    assert_eq!(first.history, [call("monitorMissing", "itemNotFound", 404)]);
    record.graph.missing_since = Some(at(50));
    for (missing, shortest) in [(1, 10), (2, 20), (3, 40), (9, 2560), (10, 3600), (40, 3600)] {
        record.graph.missing = missing - 1;
        let decision = polled(&record, not_found(None));
        assert_pause(NOW, &decision, shortest);
        let longer = polled(&record, not_found(Some(7200)));
        assert_pause(NOW, &longer, 7200);
        assert_eq!(decision.write.unwrap().graph.missing, missing);
    }
    let mut goals = running(GOALS);
    goals.graph.missing = 20;
    goals.graph.missing_since = Some(at(50));
    assert_pause(NOW, &polled(&goals, not_found(None)), 150);
}

#[test]
fn monitor_is_gone_after_five_polls_and_ten_minutes_or_a_day_if_the_job_must_not_run_twice() {
    let ten_minutes = 600;
    let cases: [(Record, u64); 2] = [(running(GOALS), ten_minutes), (known(), DAY)];
    for (record, missing_for) in cases {
        for (missing, since, gone) in [
            (5, 0, true),
            (40, 0, true),
            (4, 0, false),
            (40, 1, false),
            (1, 0, false),
        ] {
            let mut record = record.clone();
            record.deadline = at(20 * DAY);
            record.graph.missing = missing - 1;
            record.graph.missing_since = Some(at(since));
            let decision = polled_at(missing_for, &record, 3, 1, not_found(None));
            let after = decision.write.unwrap();
            let code = after.error.map(|error: OperationError| error.code);
            let expected = gone.then_some(Outcome::Unknown);
            assert_eq!(after.state.outcome(), expected, "{missing} {since}");
            assert_eq!(code.is_some(), gone);
            let reason = if gone {
                Reason::MonitorGone
            } else {
                Reason::NoUsableAnswer
            };
            assert_eq!(after.reason, Some(reason));
        }
    }
}

#[test]
fn pauses_of_different_operations_differ_a_little() {
    let until = |id: &str| -> Timestamp {
        let mut record = old();
        record.id = serde_json::from_value(json!(id)).unwrap();
        let decision = polled_at(
            10 * DAY,
            &record,
            3,
            1,
            GraphReply::NotSent("no connection".to_owned()),
        );
        at(10 * DAY) + Duration::from_secs_f64(pause(10 * DAY, &decision))
    };
    let (one, two) = (
        until("op_0123456789abcdef0123456789abcdef"),
        until("op_0123456789abcdef0123456789abcde0"),
    );
    assert_ne!(one, two);
}
