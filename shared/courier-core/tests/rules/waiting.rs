//! Tests starts that cannot be prepared, steps that crash, and what the sweeper finds: the waits and what is written.

use std::time::Duration;

use courier_core::graph::unavailable::{Cause, NotReady};
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
    let not_ready = NotReady {
        reason,
        detail: None,
        retry_after,
        // Without a reason it waits for its turn, where nothing is wrong.
        cause: match reason {
            Some(_) => Cause::Trouble,
            None => Cause::Turn,
        },
    };
    decided(record, &Event::NotReady(not_ready), at(now))
}

#[test]
fn unprepared_start_waits_a_tenth_of_its_age_from_5_seconds_to_15_minutes() {
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
fn unprepared_start_waits_at_most_until_its_deadline() {
    let mut record = accepted(EXPORT, at(0));
    record.deadline = at(100);
    let decision = |now| not_ready(&record, None, Some(seconds(50)), now);
    assert_eq!(decision(40), nothing(Next::Wait(at(90))));
    assert_eq!(decision(70), nothing(Next::Wait(at(100))));
    assert_eq!(decision(150), nothing(Next::Wait(at(150))));
}

#[test]
fn wait_that_would_seem_overdue_to_the_sweeper_is_written() {
    let record = accepted(EXPORT, at(0));
    // The record is due at 75 s. A wait until at most five minutes after that is not written.
    let unwritten = not_ready(&record, None, Some(seconds(375 - 10)), 10);
    assert_eq!(unwritten, nothing(Next::Wait(at(375))));
    for pause in [Duration::from_millis(365_001), seconds(800)] {
        let until = at(10) + pause;
        let written = changed(&record, Next::Wait(until), |record| {
            record.due_at = Some(until);
        });
        assert_eq!(not_ready(&record, None, Some(pause), 10), written);
    }
}

#[test]
fn reason_for_postponing_a_start_is_written_once() {
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
    let first = not_ready(&record, lost, None, 15);
    assert_eq!(first, expected(&record, lost));
    record = *first.write.unwrap();
    let repeated = not_ready(&record, lost, None, 15);
    assert_eq!(repeated, nothing(Next::Wait(at(20))));
    let turn = not_ready(&record, None, None, 15);
    assert_eq!(turn, nothing(Next::Wait(at(20))));
}

#[test]
fn start_that_could_not_be_prepared_has_a_reason_and_says_once_what_came() {
    let record = accepted(EXPORT, at(0));
    for (cause, reason, name) in [
        (Cause::Trouble, Reason::NoUsableAnswer, "no_usable_answer"),
        (Cause::Throttled, Reason::Throttled, "throttled"),
    ] {
        let came = |what: &str| {
            Event::NotReady(NotReady {
                reason: None,
                detail: Some(what.to_owned()),
                retry_after: None,
                cause,
            })
        };
        let first = *decided(&record, &came("one"), at(15)).write.unwrap();
        assert_eq!(first.reason, Some(reason));
        let detail = format!("{name}: one");
        assert_eq!(first.history.last().unwrap().detail, Some(detail));
        let same = decided(&first, &came("one"), at(15));
        assert_eq!(same, nothing(Next::Wait(at(20))));
        let second = *decided(&first, &came("two"), at(15)).write.unwrap();
        assert_eq!(second.history.len(), 2);
        // What came before is not told again, however often the two take turns.
        let again = decided(&second, &came("one"), at(15));
        assert_eq!(again, nothing(Next::Wait(at(20))));
    }
}

#[test]
fn crashed_step_is_retried_after_growing_pauses() {
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
fn step_crash_does_not_make_a_record_due_earlier() {
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

/// Returns the decision that sends `message` now.
///
/// The record becomes due now, so that the next sweep does not send another.
fn sent(record: &Record, now: Timestamp, message: Message) -> Decision {
    Decision {
        send: Some((message, now)),
        ..changed(record, Next::Drop, |record| record.due_at = Some(now))
    }
}

#[test]
fn sweeper_sends_the_watchdog_of_an_overdue_start() {
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
fn sweeper_sends_a_poll_message_with_an_unused_epoch_for_a_running_or_ended_record() {
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
fn sweeper_leaves_closed_records_alone() {
    let outcome = Outcome::Failed;
    let how = DeliveryOutcome::NotRequested;
    let mut closed = record(EXPORT, State::Closed { outcome, how });
    closed.due_at = None;
    assert_eq!(swept(&closed, 1000), nothing(Next::Drop));
}

#[test]
fn full_history_keeps_its_first_twenty_lines_and_the_newest() {
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
