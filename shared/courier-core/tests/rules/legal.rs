//! Tests when the history tells that a legal due date comes near: once for each level, with one write at most.

use courier_core::lifecycle::{Event, LegalChange, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{Forecast, LegalClock, Outcome, Record};
use jiff::Timestamp;
use serde_json::json;

use crate::polls::{NOW, polled};
use crate::{EXPORT, answer, at, decided, ended, replied, running};

const DAY: u64 = 24 * 3600;

/// Returns a clock whose due date is `at(due)`.
fn clock(due: u64) -> LegalClock {
    let clock = json!({
        "regulation": "gdpr", "receivedAt": at(0), "timeZone": "UTC",
        "dueOn": "2027-01-01", "dueAt": at(due), "firstDueOn": "2027-01-01",
    });
    serde_json::from_value(clock).unwrap()
}

/// Returns a running record with this due date, whose next poll comes long after it.
fn due(due: u64) -> Record {
    let mut record = running(EXPORT);
    record.graph.next_poll_at = Some(at(due + 30 * DAY));
    record.legal = Some(clock(due));
    record
}

fn arrived(record: &Record, now: Timestamp) -> Option<Record> {
    let decision = decided(record, &Event::Arrived(Message::poll(record, 3)), now);
    assert!(
        matches!(decision.next, Next::Wait(_)),
        "{:?}",
        decision.next
    );
    decision.write.map(|record| *record)
}

#[test]
fn each_level_is_one_line_and_one_write_and_nothing_is_written_between_them() {
    let due_at = 30 * DAY;
    let mut record = due(due_at);
    assert_eq!(arrived(&record, at(due_at - 7 * DAY)), None);
    for (left, event) in [
        (7 * DAY - 1, "deadlineAtRisk"),
        (3 * DAY - 1, "deadlineAtRisk"),
        (DAY - 1, "deadlineAtRisk"),
    ] {
        let now = at(due_at - left);
        let new = arrived(&record, now).unwrap();
        assert_eq!(new.revision, record.revision + 1);
        assert_eq!(new.history.len(), record.history.len() + 1);
        assert_eq!(new.history.last().unwrap().event, event);
        assert_eq!((&new.state, new.due_at), (&record.state, record.due_at));
        assert_eq!(arrived(&new, now), None, "told already");
        record = new;
    }
    let passed = arrived(&record, at(due_at + 1)).unwrap();
    assert_eq!(passed.history.last().unwrap().event, "deadlinePassed");
    assert_eq!(arrived(&passed, at(due_at + 9 * DAY)), None);
}

#[test]
fn levels_that_were_slept_over_are_told_as_the_last_of_them() {
    let record = due(30 * DAY);
    let new = arrived(&record, at(31 * DAY)).unwrap();
    let events: Vec<&str> = new.history.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["deadlinePassed"]);
}

#[test]
fn a_job_that_usually_ends_after_the_due_date_is_at_risk_at_once() {
    let mut record = due(20 * DAY);
    // Such jobs took from 24 to 28 days.
    let usual = json!({ "from": 84, "shares": "z" });
    record.forecast = Some(serde_json::from_value::<Forecast>(usual).unwrap());
    let new = arrived(&record, at(200)).unwrap();
    let line = new.history.last().unwrap();
    assert_eq!(line.event, "deadlineAtRisk");
    assert!(
        line.detail
            .as_ref()
            .unwrap()
            .contains("nine of ten such jobs")
    );
    assert!(new.is_at_legal_risk(at(200)));
    assert_eq!(arrived(&new, at(300)), None);
    let mut stopped = record.clone();
    stopped.legal.as_mut().unwrap().paused_at = Some(at(100));
    assert_eq!(arrived(&stopped, at(200)), None);
}

#[test]
fn a_line_about_the_clock_comes_with_the_write_of_a_step_behind_its_own_line() {
    let mut record = due(DAY);
    record.graph.next_poll_at = Some(at(NOW));
    let reply = replied(answer(200, json!({ "id": "y", "status": "running" })));
    let decision = polled(&record, reply);
    let new = decision.write.unwrap();
    let events: Vec<&str> = new.history.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["statusChanged", "deadlineAtRisk"]);
    assert_eq!(new.revision, record.revision + 1);
}

#[test]
fn an_act_replaces_the_clock_that_it_was_made_for_and_none_after_the_outcome() {
    let record = due(30 * DAY);
    let act = |version: u32| {
        let clock = LegalClock {
            version,
            due_at: at(60 * DAY),
            ..clock(30 * DAY)
        };
        let (act, detail) = ("legalExtended", "why".to_owned());
        Event::LegalClockChanged(Box::new(LegalChange { clock, act, detail }))
    };
    let new = decided(&record, &act(1), at(200)).write.unwrap();
    assert_eq!(new.legal.as_ref().unwrap().due_at, at(60 * DAY));
    assert_eq!(new.history.last().unwrap().event, "legalExtended");
    assert_eq!(
        decided(&new, &act(1), at(200)).write,
        None,
        "another act came first"
    );
    let mut over = ended(Outcome::Succeeded);
    over.legal = Some(clock(30 * DAY));
    assert_eq!(decided(&over, &act(1), at(200)).write, None);
}
