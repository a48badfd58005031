//! Tests what the answer to a start leads to, in every restart class.

use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::schedule;
use courier_core::lifecycle::{Decision, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{HistoryEntry, OperationError, Outcome, Reason, Record, State};
use serde_json::{Value, json};

use crate::{
    EXPORT, GOALS, GRAPH, MONITOR, SCHEDULE, accepted, answer, at, changed, decided, forecast,
    held, line, nothing, replied, seconds, starting,
};

const NOW: u64 = 20;
/// An operation of each restart class: never, adopt, idempotent.
pub(crate) const CLASSES: [&str; 3] = [EXPORT, GOALS, SCHEDULE];

pub(crate) fn started(record: &Record, reply: GraphReply) -> Decision {
    let event = Event::Started {
        attempt: 1,
        client_request_id: "c".to_owned(),
        start_url: format!("{GRAPH}/v1.0/teams/1/schedule"),
        reply,
        forecast: Some(forecast()),
    };
    decided(record, &event, at(NOW))
}

/// Returns a record whose first start is in flight, after two crashed steps.
pub(crate) fn in_flight(name: &str) -> Record {
    let mut record = starting(name, at(60));
    record.step_crashes = 2;
    record
}

/// Applies what every answer to this start changes.
fn answered(record: &mut Record, request_id: Option<&str>) {
    record.step_crashes = 0;
    record.graph.client_request_id = Some("c".to_owned());
    record.graph.request_id = request_id.map(str::to_owned);
}

/// Returns a line of the history that names this start.
fn call(status: &str, event: &str, detail: Option<&str>, request_id: Option<&str>) -> HistoryEntry {
    HistoryEntry {
        client_request_id: Some("c".to_owned()),
        request_id: request_id.map(str::to_owned),
        ..line(at(NOW), status, event, detail)
    }
}

pub(crate) fn refusal(status: u16) -> Answer {
    answer(status, Value::Null)
}

fn operation_error(status: u16) -> OperationError {
    OperationError {
        code: format!("http{status}"),
        message: "Graph sent no error document".to_owned(),
        detail: None,
        http_status: Some(status),
        request_id: Some("r".to_owned()),
        unknown: serde_json::Map::new(),
    }
}

/// Returns the decision that accepts the operation again, with the next attempt after the pause of `start_again`.
///
/// `event` and `detail` are the line of the history that says why.
pub(crate) fn again(
    record: &Record,
    (event, detail, reason): (&str, &str, Option<Reason>),
    retry_after: Option<u64>,
    request_id: Option<&str>,
) -> Decision {
    let not_before = schedule::start_again(record, retry_after.map(seconds), at(NOW));
    changed(record, Next::Wait(not_before), |record| {
        answered(record, request_id);
        record.state = State::Accepted { not_before };
        record.due_at = Some(not_before);
        record.reason = reason;
        let entry = call("accepted", event, Some(detail), request_id);
        record.history.push(entry);
    })
}

#[test]
fn start_without_an_answer_does_not_show_the_request_id_of_an_earlier_call() {
    let record = in_flight(EXPORT);
    assert!(record.graph.request_id.is_some());
    for reply in [
        GraphReply::NotSent("no connection".to_owned()),
        GraphReply::Lost("no answer in time"),
    ] {
        let after = started(&record, reply).write.unwrap();
        assert_eq!(after.graph.client_request_id.as_deref(), Some("c"));
        assert_eq!(after.graph.request_id, None);
        assert_eq!(after.history[0].request_id, None);
    }
}

#[test]
fn start_that_was_never_sent_is_sent_again_in_every_class() {
    for name in CLASSES {
        let record = in_flight(name);
        let reason = Some(Reason::NoUsableAnswer);
        let expected = again(
            &record,
            ("startNotSent", "no connection", reason),
            None,
            None,
        );
        assert_eq!(
            started(&record, GraphReply::NotSent("no connection".to_owned())),
            expected,
            "{name}"
        );
    }
}

#[test]
fn throttled_start_waits_for_retry_after_or_else_the_catalogues_first_pause() {
    for (name, first) in [(EXPORT, 60), (GOALS, 60), (SCHEDULE, 10)] {
        let record = in_flight(name);
        let throttled = |retry_after: Option<u64>| {
            let retry_after = retry_after.map(seconds);
            started(
                &record,
                replied(Answer {
                    retry_after,
                    ..refusal(429)
                }),
            )
        };
        let what = (
            "startThrottled",
            "Graph answered 429",
            Some(Reason::Throttled),
        );
        let expected = |pause| again(&record, what, Some(pause), Some("r"));
        assert_eq!(throttled(None), expected(first), "{name}");
        assert_eq!(throttled(Some(500)), expected(500), "{name}");
        assert_ne!(throttled(Some(500)), throttled(None), "{name}");
    }
}

/// Asserts that this refusal ends the operation: as failed, or as unknown if an earlier answer was lost.
fn assert_ended_by_refusal(record: &Record, status: u16) {
    for (maybe_started, outcome, reason) in [
        (false, Outcome::Failed, Reason::StartRejected),
        (true, Outcome::Unknown, Reason::StartOutcomeUnknown),
    ] {
        let record = Record {
            maybe_started,
            ..record.clone()
        };
        let decision = started(&record, replied(refusal(status)));
        assert_eq!((decision.send, decision.next), (None, Next::Redecide));
        let after = decision.write.unwrap();
        assert_eq!(after.state, State::Ended { outcome }, "{status}");
        assert_eq!(after.reason, Some(reason), "{status}");
        assert_eq!(after.error, Some(operation_error(status)), "{status}");
        assert_eq!(after.maybe_started, maybe_started);
    }
}

#[test]
fn refusal_ends_the_operation() {
    for name in CLASSES {
        for status in [302, 400, 403, 404, 410, 413, 422] {
            assert_ended_by_refusal(&in_flight(name), status);
        }
    }
}

#[test]
fn conflict_of_a_repeat_is_settled_by_a_look_where_the_monitor_is_the_url_of_the_start() {
    for name in [EXPORT, GOALS] {
        assert_ended_by_refusal(&in_flight(name), 409);
    }
    // Of the first start it says that Graph has refused this schedule.
    let first = started(&in_flight(SCHEDULE), replied(refusal(409)));
    assert_eq!(first.write.unwrap().reason, Some(Reason::StartRejected));
    let repeat = Record {
        maybe_started: true,
        ..in_flight(SCHEDULE)
    };
    let conflict = replied(Answer {
        retry_after: Some(seconds(90)),
        ..refusal(409)
    });
    let monitor = format!("{GRAPH}/v1.0/teams/1/schedule");
    let note = Some("Graph answered 409");
    let expected = followed(&repeat, &monitor, "adopted", note);
    assert_eq!(started(&repeat, conflict), expected);
}

#[test]
fn success_without_a_trusted_monitor_ends_unknown() {
    for (location, reason) in [
        (None, Reason::StartUntrackable),
        (Some("//evil.example/x"), Reason::LocationUntrusted),
    ] {
        let reply = replied(Answer {
            locations: location.map(str::to_owned).into_iter().collect(),
            ..refusal(202)
        });
        let after = started(&in_flight(EXPORT), reply).write.unwrap();
        let outcome = Outcome::Unknown;
        assert_eq!(after.state, State::Ended { outcome });
        assert_eq!((after.reason, after.error), (Some(reason), None));
    }
}

#[test]
fn lost_answer_is_held_in_class_never() {
    let record = in_flight(EXPORT);
    let until = at(NOW + 15 * 60);
    let expected = changed(&record, Next::Wait(until), |record| {
        answered(record, None);
        record.maybe_started = true;
        record.reason = Some(Reason::NoUsableAnswer);
        record.sealed_parameters = None;
        record.state = State::StartUnknown { hold_until: until };
        record.due_at = Some(until);
        let text = Some("no answer in time");
        record.history = vec![call("starting", "startAnswerLost", text, None)];
    });
    assert_eq!(
        started(&record, GraphReply::Lost("no answer in time")),
        expected
    );
}

#[test]
fn lost_answer_is_noted_and_started_again_in_the_other_classes() {
    for name in [GOALS, SCHEDULE] {
        let record = in_flight(name);
        for retry_after in [None, Some(seconds(700))] {
            let lease_until = schedule::start_again(&record, retry_after, at(NOW));
            let expected = changed(&record, Next::Wait(lease_until), |record| {
                answered(record, Some("r"));
                record.maybe_started = true;
                record.reason = Some(Reason::NoUsableAnswer);
                record.state = State::Starting { lease_until };
                record.due_at = Some(lease_until);
                let text = Some("Graph answered 503");
                record.history = vec![call("starting", "startAnswerLost", text, Some("r"))];
            });
            let reply = replied(Answer {
                retry_after,
                ..refusal(503)
            });
            assert_eq!(started(&record, reply), expected, "{name}");
        }
    }
}

fn located(status: u16) -> Answer {
    Answer {
        locations: vec![MONITOR.to_owned()],
        retry_after: Some(seconds(90)),
        ..refusal(status)
    }
}

/// Returns the decision that follows the job from now on and sends the message for the first poll.
///
/// `event` is the line of the history that says whether the job was started or adopted.
fn followed(record: &Record, monitor: &str, event: &str, note: Option<&str>) -> Decision {
    let mut decision = changed(record, Next::Drop, |record| {
        answered(record, Some("r"));
        record.started_at = Some(at(NOW));
        record.adopted = event == "adopted";
        let monitor = monitor.to_owned();
        record.state = State::Running { monitor };
        record.sealed_parameters = None;
        record.forecast = Some(forecast());
        record.graph.retry_after = Some(90);
        record.history = vec![call("running", event, note, Some("r"))];
    });
    let after = decision.write.as_mut().unwrap();
    let row = &crate::operation(&after.operation).poll;
    let first_poll = schedule::next_poll_at(after, row, Some(seconds(90)), at(NOW));
    after.graph.next_poll_at = Some(first_poll);
    after.due_at = Some(first_poll);
    decision.send = Some((Message::poll(after, 1), first_poll));
    decision
}

#[test]
fn success_is_followed_at_the_monitor_that_graph_names() {
    let record = in_flight(EXPORT);
    let decision = started(&record, replied(located(202)));
    assert_eq!(decision, followed(&record, MONITOR, "started", None));
    let decision = started(&record, replied(located(200)));
    let note = Some("undocumented success code 200");
    assert_eq!(decision, followed(&record, MONITOR, "started", note));
}

#[test]
fn success_of_the_held_attempt_is_followed() {
    let record = held(at(900));
    let decision = started(&record, replied(located(202)));
    assert_eq!(decision, followed(&record, MONITOR, "started", None));
    for status in [400, 401, 429, 500] {
        let decision = started(&record, replied(located(status)));
        assert_eq!(decision, nothing(Next::Redecide), "{status}");
    }
}

#[test]
fn conflict_that_names_the_running_job_is_followed_in_class_adopt_only() {
    let record = in_flight(GOALS);
    let decision = started(&record, replied(located(409)));
    assert_eq!(decision, followed(&record, MONITOR, "adopted", None));
    for name in [EXPORT, SCHEDULE] {
        let decision = started(&in_flight(name), replied(located(409)));
        let after = decision.write.unwrap();
        assert_eq!(after.reason, Some(Reason::StartRejected), "{name}");
    }
}

fn schedule(status: &str, enabled: bool) -> Answer {
    Answer {
        retry_after: Some(seconds(90)),
        ..answer(
            200,
            json!({ "id": "s", "provisionStatus": status, "enabled": enabled }),
        )
    }
}

#[test]
fn schedule_that_is_provisioned_at_once_ends_at_once() {
    let decision = started(&in_flight(SCHEDULE), replied(schedule("Completed", true)));
    assert_eq!((decision.send, decision.next), (None, Next::Redecide));
    let after = decision.write.unwrap();
    let outcome = Outcome::Succeeded;
    assert_eq!(after.state, State::Ended { outcome });
    assert_eq!((after.reason, after.error), (None, None));
    assert_eq!(after.started_at, Some(at(NOW)));
    assert!(after.graph.seen);
    let result = after.result.unwrap();
    assert_eq!(result["scheduleId"], "s");
    assert_eq!(result["enabled"], true);
}

#[test]
fn status_of_an_earlier_schedule_does_not_end_the_new_one() {
    let record = in_flight(SCHEDULE);
    let monitor = format!("{GRAPH}/v1.0/teams/1/schedule");
    for (status, enabled) in [
        ("Failed", true),
        ("Completed", false),
        ("running", true),
        ("notStarted", true),
    ] {
        let mut expected = followed(&record, &monitor, "started", None);
        expected.write.as_mut().unwrap().graph.status = Some(status.to_owned());
        let decision = started(&record, replied(schedule(status, enabled)));
        assert_eq!(decision, expected, "{status}");
    }
}

#[test]
fn answer_to_an_operation_that_is_not_in_flight_changes_nothing() {
    let mut record = accepted(EXPORT, at(0));
    record.attempt = 1;
    let decision = started(&record, replied(located(202)));
    assert_eq!(decision, nothing(Next::Redecide));
}
