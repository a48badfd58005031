//! Starts that cannot be prepared, steps that stumble, and what the sweeper finds: who waits, how long, and what is written.

use std::time::Duration;

use courier_core::graph::unavailable::NotReady;
use courier_core::lifecycle::{Decision, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{DeliveryOutcome, Outcome, Reason, Record, State};
use jiff::Timestamp;

use crate::{
    DEADLINE, EXPORT, SCHEDULE, accepted, at, changed, decided, ended, held, line, nothing, record,
    running, seconds, starting,
};

fn not_ready(
    record: &Record,
    reason: Option<Reason>,
    retry_after: Option<Duration>,
    now: u64,
) -> Decision {
    let trouble = NotReady {
        reason,
        retry_after,
    };
    decided(record, &Event::NotReady(trouble), at(now))
}

#[test]
fn a_passing_trouble_waits_a_tenth_of_the_age_between_five_seconds_and_a_quarter_of_an_hour() {
    for mut record in [accepted(EXPORT, at(0)), starting(SCHEDULE, at(60))] {
        record.due_at = Some(at(DEADLINE));
        for (age, pause) in [
            (0, 5),
            (49, 5),
            (50, 5),
            (60, 6),
            (9000, 900),
            (20_000, 900),
        ] {
            let decision = not_ready(&record, None, None, age);
            assert_eq!(decision, nothing(Next::Wait(at(age + pause))), "{age}");
        }
        let decision = not_ready(&record, None, Some(seconds(2000)), 60);
        assert_eq!(decision, nothing(Next::Wait(at(2060))));
    }
}

#[test]
fn a_start_that_cannot_be_prepared_waits_no_longer_than_until_its_deadline() {
    let mut record = accepted(EXPORT, at(0));
    record.deadline = at(100);
    let decision = |now| not_ready(&record, None, Some(seconds(50)), now);
    assert_eq!(decision(40), nothing(Next::Wait(at(90))));
    assert_eq!(decision(70), nothing(Next::Wait(at(100))));
    assert_eq!(decision(150), nothing(Next::Wait(at(150))));
}

#[test]
fn a_wait_that_would_look_overdue_to_the_sweeper_is_written_down() {
    let record = accepted(EXPORT, at(0));
    // The record is due at 75 s; five minutes of grace.
    let unseen = not_ready(&record, None, Some(seconds(375 - 10)), 10);
    assert_eq!(unseen, nothing(Next::Wait(at(375))));
    for pause in [Duration::from_millis(365_001), seconds(800)] {
        let until = at(10) + pause;
        let written = changed(&record, Next::Wait(until), |record| {
            record.due_at = Some(until);
        });
        assert_eq!(not_ready(&record, None, Some(pause), 10), written);
    }
}

#[test]
fn why_a_start_waits_is_written_down_once() {
    let mut record = accepted(EXPORT, at(0));
    let lost = Some(Reason::AuthorizationLost);
    let expected = |record: &Record, reason: Option<Reason>| {
        changed(record, Next::Wait(at(20)), |record| {
            let detail = reason.map(Reason::as_str);
            let entry = line(at(15), "accepted", "startPostponed", detail);
            record.history.push(entry);
            record.reason = reason;
            record.due_at = Some(at(20));
        })
    };
    let news = not_ready(&record, lost, None, 15);
    assert_eq!(news, expected(&record, lost));
    record = *news.write.unwrap();
    let known = not_ready(&record, lost, None, 15);
    assert_eq!(known, nothing(Next::Wait(at(20))));
    let over = not_ready(&record, None, None, 15);
    assert_eq!(over, expected(&record, None));
}

#[test]
fn a_step_that_stumbles_is_tried_again_ever_more_rarely() {
    let mut record = running(EXPORT);
    record.due_at = Some(at(10));
    for (step_crashes, minutes) in [
        (1, 1),
        (2, 4),
        (3, 16),
        (4, 64),
        (5, 240),
        (6, 240),
        (100, 240),
    ] {
        record.step_crashes = step_crashes - 1;
        let until = at(100 + 60 * minutes);
        let expected = changed(&record, Next::Wait(until), |record| {
            record.step_crashes = step_crashes;
            record.due_at = Some(until);
            let detail = format!("{step_crashes} in a row");
            let entry = line(at(100), "running", "stumbled", Some(&detail));
            record.history.push(entry);
        });
        assert_eq!(decided(&record, &Event::StepCrashed, at(100)), expected);
    }
}

#[test]
fn a_stumble_does_not_bring_the_sweeper_forward() {
    let mut record = running(EXPORT);
    record.due_at = Some(at(5000));
    let decision = decided(&record, &Event::StepCrashed, at(100));
    assert_eq!(decision.next, Next::Wait(at(160)));
    assert_eq!(decision.write.unwrap().due_at, Some(at(5000)));
    record.due_at = None;
    let closed = decided(&record, &Event::StepCrashed, at(100));
    assert_eq!(closed, nothing(Next::Drop));
}

fn swept(record: &Record, now: u64) -> Decision {
    decided(record, &Event::Overdue, at(now))
}

/// A message sent now; the record is due now, so that the next sweep does not send another.
fn sent(record: &Record, now: Timestamp, message: Message) -> Decision {
    Decision {
        send: Some((message, now)),
        ..changed(record, Next::Drop, |record| record.due_at = Some(now))
    }
}

#[test]
fn the_sweeper_sends_an_overdue_start_its_watchdog() {
    for record in [
        accepted(EXPORT, at(0)),
        starting(SCHEDULE, at(60)),
        held(at(60)),
    ] {
        assert_eq!(swept(&record, 74), nothing(Next::Drop));
        for now in [75, 900] {
            let operation_id = record.id.clone();
            let message = Message::WatchdogV1 { operation_id };
            assert_eq!(swept(&record, now), sent(&record, at(now), message));
        }
    }
}

#[test]
fn the_sweeper_sends_what_runs_or_has_ended_a_message_of_a_hop_that_none_had() {
    for revision in [3, 4, 9] {
        for mut record in [running(EXPORT), ended(Outcome::Failed)] {
            record.revision = revision;
            record.due_at = Some(at(1000));
            assert_eq!(swept(&record, 999), nothing(Next::Drop));
            for now in [1000, 1001] {
                let epoch = u32::try_from(revision).unwrap() + 3;
                let message = Message::poll(&record, epoch);
                assert_eq!(swept(&record, now), sent(&record, at(now), message));
            }
        }
    }
}

#[test]
fn the_sweeper_leaves_closed_records_alone() {
    let outcome = Outcome::Failed;
    let how = DeliveryOutcome::NotRequested;
    let mut closed = record(EXPORT, State::Closed { outcome, how });
    closed.due_at = None;
    assert_eq!(swept(&closed, 1000), nothing(Next::Drop));
}

#[test]
fn a_history_keeps_its_first_twenty_lines_and_its_newest() {
    let mut record = running(EXPORT);
    let numbered = |number: u64| line(at(number), "running", "statusChanged", None);
    record.history = (0..149).map(numbered).collect();
    let crashed = |record: &Record| {
        decided(record, &Event::StepCrashed, at(1000))
            .write
            .unwrap()
    };
    record = *crashed(&record);
    assert_eq!(record.history.len(), 150);
    assert_eq!(
        record.history[..149],
        (0..149).map(numbered).collect::<Vec<_>>()
    );
    let after = crashed(&record).history;
    assert_eq!((after.len(), after[149].at), (150, at(1000)));
    let kept: Vec<_> = (0..20).chain(21..149).map(numbered).collect();
    assert_eq!(after[..148], kept);
}
