//! Tests the claim that precedes every start: when it may be made, who waits for it, and what it writes.

use courier_core::lifecycle::{Decision, Event, Next, Timing, may_start};
use courier_core::operation::{Outcome, Reason, Record, State};

use crate::{
    EXPORT, GOALS, SCHEDULE, accepted, at, changed, decided, held, line, nothing, running, starting,
};

fn prepared(record: &Record, now: u64) -> Decision {
    decided(record, &Event::Prepared { container: None }, at(now))
}

/// Returns the claim of attempt `attempt`, made at `now` with a lease of one minute.
fn claimed(record: &Record, now: u64, attempt: u32) -> Decision {
    changed(record, Next::Start { attempt }, |record| {
        let lease_until = at(now + 60);
        record.state = State::Starting { lease_until };
        record.due_at = Some(lease_until);
        record.attempt = attempt;
        record.reason = record.maybe_started.then_some(Reason::NoUsableAnswer);
        let detail = format!("attempt {attempt}");
        let entry = line(at(now), "starting", "startClaimed", Some(&detail));
        record.history.push(entry);
    })
}

#[test]
fn accepted_start_is_claimed_once_it_is_due() {
    for name in [EXPORT, GOALS, SCHEDULE] {
        let mut record = accepted(name, at(30));
        record.reason = Some(Reason::SealedDataUnreadable);
        assert_eq!(prepared(&record, 29), nothing(Next::Redecide));
        for now in [30, 31] {
            assert_eq!(prepared(&record, now), claimed(&record, now, 1), "{name}");
        }
        record.attempt = 3;
        record.maybe_started = true;
        assert_eq!(prepared(&record, 30), claimed(&record, 30, 4), "{name}");
    }
}

#[test]
fn start_whose_lease_has_expired_is_claimed_again_except_in_class_never() {
    for name in [GOALS, SCHEDULE] {
        let record = starting(name, at(60));
        assert_eq!(prepared(&record, 59), nothing(Next::Redecide));
        for now in [60, 61] {
            let mut expected = claimed(&record, now, 2);
            let write = expected.write.as_mut().unwrap();
            write.maybe_started = true;
            write.reason = Some(Reason::NoUsableAnswer);
            assert_eq!(prepared(&record, now), expected, "{name}");
        }
    }
    let export = starting(EXPORT, at(60));
    for now in [59, 60, 10_000] {
        assert_eq!(prepared(&export, now), nothing(Next::Redecide));
    }
}

#[test]
fn next_in_line_waits_for_a_start_to_come_and_for_a_cancelled_one_until_its_lease_expires() {
    let waits = |record: &Record, now| may_start(record, at(now), &Timing::default());
    for record in [
        accepted(SCHEDULE, at(0)),
        starting(SCHEDULE, at(60)),
        held(at(60)),
    ] {
        assert!(waits(&record, 0) && waits(&record, 10_000));
    }
    assert!(!waits(&running(SCHEDULE), 0));
    let cancelled = |record: &Record| {
        let decision = decided(record, &Event::Cancelled, at(30));
        *decision.write.unwrap()
    };
    let in_mid_start = cancelled(&starting(SCHEDULE, at(60)));
    assert!(waits(&in_mid_start, 89) && !waits(&in_mid_start, 90));
    assert!(!waits(&cancelled(&accepted(SCHEDULE, at(0))), 30));
    assert!(!waits(&cancelled(&running(SCHEDULE)), 30));
    // No start is under way if the job was found, or if the operation ended otherwise than by being cancelled.
    let mut followed = in_mid_start.clone();
    followed.started_at = Some(at(20));
    assert!(!waits(&followed, 30));
    let mut failed = in_mid_start;
    let outcome = Outcome::Failed;
    failed.state = State::Ended { outcome };
    assert!(!waits(&failed, 30));
}
