//! Tests what the answer to a poll changes, which changes are written, and when the next poll is.

use std::time::Duration;

use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::schedule;
use courier_core::lifecycle::{Asked, Decision, Event, Next};
use courier_core::operation::{HistoryEntry, Outcome, Reason, Record, State};
use serde_json::{Value, json};

use crate::{
    DEADLINE, EXPORT, SCHEDULE, answer, at, changed, decided, line, nothing, operation, replied,
    running, seconds,
};

pub(crate) const NOW: u64 = 100;

pub(crate) fn polled_at(
    now: u64,
    record: &Record,
    epoch: u32,
    receives: u32,
    reply: GraphReply,
) -> Decision {
    let event = Event::Polled {
        epoch,
        receives,
        asked: Asked::of(record, at(now)),
        client_request_id: "p".to_owned(),
        reply: Ok(reply),
    };
    decided(record, &event, at(now))
}

pub(crate) fn polled(record: &Record, reply: GraphReply) -> Decision {
    polled_at(NOW, record, record.epoch, 1, reply)
}

/// Returns a record that four polls have seen `running` at 20 %, and that the sweeper ignores before `at(5000)`.
pub(crate) fn known() -> Record {
    let mut record = running(EXPORT);
    record.due_at = Some(at(5000));
    record.graph.status = Some("running".to_owned());
    record.graph.progress = Some(20.0);
    record.graph.polls = 4;
    record.graph.seen = true;
    record
}

/// Returns an answer of Graph with this status and progress.
pub(crate) fn says(status: &str, progress: f64) -> GraphReply {
    replied(answer(
        200,
        json!({ "status": status, "progress": progress }),
    ))
}

/// Returns the time of the next poll after an answer at `NOW`.
fn next_poll(record: &Record, retry_after: Option<Duration>) -> jiff::Timestamp {
    let row = &operation(&record.operation).poll;
    schedule::next_poll_at(record, row, retry_after, at(NOW))
}

/// Returns the decision that writes one more poll together with `change`, and waits for the next poll.
fn written(
    record: &Record,
    retry_after: Option<u64>,
    change: impl FnOnce(&mut Record),
) -> Decision {
    let next = next_poll(record, retry_after.map(seconds));
    changed(record, Next::Wait(next), |record| {
        record.graph.polls += 1;
        record.graph.next_poll_at = Some(next);
        record.graph.retry_after = retry_after;
        record.due_at = Some(schedule::sweep_after(record, next, at(NOW)));
        change(record);
    })
}

/// Returns a line of the history that names this poll.
pub(crate) fn call(event: &str, detail: &str, http_status: u16) -> HistoryEntry {
    HistoryEntry {
        http_status: Some(http_status),
        client_request_id: Some("p".to_owned()),
        request_id: Some("r".to_owned()),
        ..line(at(NOW), "running", event, Some(detail))
    }
}

#[test]
fn poll_without_news_writes_nothing() {
    let record = known();
    let wait = nothing(Next::Wait(next_poll(&record, None)));
    for reply in [says("running", 20.0), says("running", 29.9)] {
        assert_eq!(polled(&record, reply.clone()), wait, "{reply:?}");
    }
}

#[test]
fn retry_after_of_graph_is_honoured_and_a_long_one_is_written() {
    let record = known();
    let reply = |retry_after: Duration| {
        let body = json!({ "status": "running", "progress": 20 });
        replied(Answer {
            retry_after: Some(retry_after),
            ..answer(200, body)
        })
    };
    let wait = nothing(Next::Wait(next_poll(&record, Some(seconds(300)))));
    assert_eq!(polled(&record, reply(seconds(300))), wait);
    let long = written(&record, Some(301), |_| ());
    assert_eq!(polled(&record, reply(seconds(301))), long);
}

#[test]
fn wait_that_would_seem_overdue_to_the_sweeper_is_written() {
    let mut record = known();
    let next = next_poll(&record, None);
    record.due_at = Some(next - seconds(300));
    let unwritten = polled(&record, says("running", 20.0));
    assert_eq!(unwritten, nothing(Next::Wait(next)));
    for earlier in [Duration::from_millis(300_001), seconds(1000)] {
        record.due_at = Some(next - earlier);
        let expected = written(&record, None, |_| ());
        assert_eq!(polled(&record, says("running", 20.0)), expected);
    }
}

#[test]
fn each_kind_of_change_is_written() {
    let mut crashed = known();
    crashed.step_crashes = 2;
    let steady = written(&crashed, None, |record| record.step_crashes = 0);
    assert_eq!(polled(&crashed, says("running", 20.0)), steady);

    let mut refused = known();
    refused.reason = Some(Reason::AuthorizationLost);
    let regained = written(&refused, None, |record| record.reason = None);
    assert_eq!(polled(&refused, says("running", 20.0)), regained);

    let mut unseen = known();
    unseen.graph.seen = false;
    let seen = written(&unseen, None, |record| record.graph.seen = true);
    assert_eq!(polled(&unseen, says("running", 20.0)), seen);

    let mut lost = known();
    lost.graph.missing = 3;
    lost.graph.missing_since = Some(at(60));
    let found = written(&lost, None, |record| {
        record.graph.missing = 0;
        record.graph.missing_since = None;
    });
    assert_eq!(polled(&lost, says("running", 20.0)), found);

    let record = known();
    let newer = written(&record, None, |record| record.epoch = 4);
    let decision = polled_at(NOW, &record, 4, 1, says("running", 20.0));
    assert_eq!(decision, newer);

    let paused = written(&record, None, |record| {
        record.graph.status = Some("paused".to_owned());
        record.history = vec![call("statusChanged", "paused", 200)];
    });
    assert_eq!(polled(&record, says("paused", 20.0)), paused);
}

#[test]
fn progress_is_written_at_each_tenth_whether_graph_counts_to_1_or_to_100() {
    for (before, after, is_written) in [
        (40.0, 49.9, false),
        (40.0, 50.0, true),
        (49.0, 50.0, true),
        (90.0, 100.0, true),
        (0.0, 0.05, false),
        (0.05, 0.15, true),
        (0.85, 0.95, true),
        (0.95, 1.0, true),
        (0.31, 0.38, false),
    ] {
        let mut record = known();
        record.graph.progress = Some(before);
        let decision = polled(&record, says("running", after));
        assert_eq!(decision.write.is_some(), is_written, "{before} → {after}");
        let stored = decision.write.map(|record| record.graph.progress);
        assert_eq!(
            stored,
            is_written.then_some(Some(after)),
            "{before} → {after}"
        );
    }
    let record = known();
    let silent = replied(answer(200, json!({ "status": "running" })));
    let gone = written(&record, None, |record| record.graph.progress = None);
    assert_eq!(polled(&record, silent), gone);
}

#[test]
fn polls_are_counted_by_a_queue_that_counts_receives_or_else_by_the_record() {
    let record = known();
    for (receives, polls) in [(1, 5), (4, 5), (5, 5), (6, 6), (90, 90)] {
        let decision = polled_at(NOW, &record, 3, receives, says("paused", 20.0));
        assert_eq!(decision.write.unwrap().graph.polls, polls, "{receives}");
    }
}

#[test]
fn terminal_status_ends_the_operation_with_its_result() {
    let body = json!({ "status": "complete", "progress": 100,
        "storageLocation": "https://a.example/c?sig=secret", "completedDateTime": "2026-11-21" });
    for now in [NOW, DEADLINE, DEADLINE + 1] {
        let reply = replied(answer(200, body.clone()));
        let decision = polled_at(now, &known(), 3, 1, reply);
        assert_eq!((decision.send, decision.next), (None, Next::Redecide));
        let after = *decision.write.unwrap();
        let outcome = Outcome::Succeeded;
        assert_eq!(after.state, State::Ended { outcome });
        assert_eq!((after.reason, after.error), (None, None));
        let result =
            json!({ "storageLocation": "https://a.example/c", "completedAt": "2026-11-21" });
        assert_eq!(after.result.map(Value::Object), Some(result));
        assert_eq!(after.graph.status.as_deref(), Some("complete"));
        assert_eq!(after.graph.request_id.as_deref(), Some("r"));
        let events: Vec<&str> = after.history.iter().map(|line| &*line.event).collect();
        assert_eq!(events, ["ended"]);
    }
}

#[test]
fn failure_that_graph_reports_ends_the_operation_without_a_result() {
    let mut record = running(SCHEDULE);
    record.graph.status = Some("Running".to_owned());
    let body = json!({ "id": "s", "provisionStatus": "Failed", "provisionStatusCode": "NoTeam" });
    let after = polled(&record, replied(answer(200, body))).write.unwrap();
    let outcome = Outcome::Failed;
    assert_eq!(after.state, State::Ended { outcome });
    assert_eq!(after.reason, Some(Reason::OperationFailed));
    let error = after.error.unwrap();
    assert_eq!(
        (error.code.as_str(), &*error.message),
        ("NoTeam", "Graph reports Failed")
    );
    assert_eq!(after.result, None);
}

#[test]
fn running_job_at_the_deadline_ends_the_operation_as_expired() {
    let open = polled_at(DEADLINE - 1, &known(), 3, 1, says("running", 20.0));
    let is_open = |record: Box<Record>| record.state.outcome().is_none();
    assert!(open.write.is_none_or(is_open));
    let over = polled_at(DEADLINE, &known(), 3, 1, says("running", 20.0));
    let after = over.write.unwrap();
    let outcome = Outcome::Expired;
    assert_eq!(after.state, State::Ended { outcome });
    assert_eq!(after.reason, Some(Reason::DeadlinePassed));
}
