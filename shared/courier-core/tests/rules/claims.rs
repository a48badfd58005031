//! A start is claimed before it is sent: when, by whom, and what the claim writes.

use courier_core::decide::{Decision, Event, Next};
use courier_core::record::{Reason, Record, State};

use crate::{EXPORT, GOALS, SCHEDULE, accepted, at, changed, decided, line, nothing, starting};

fn prepared(record: &Record, now: u64) -> Decision {
    decided(record, &Event::Prepared, at(now))
}

/// Attempt `attempt`, claimed at `now` for the lease of a minute.
fn claimed(record: &Record, now: u64, attempt: u32) -> Decision {
    changed(record, Next::Start { attempt }, |record| {
        let lease_until = at(now + 60);
        record.state = State::Starting { lease_until };
        record.due_at = Some(lease_until);
        record.attempt = attempt;
        record.reason = None;
        let detail = format!("attempt {attempt}");
        let entry = line(at(now), "starting", "startClaimed", Some(&detail));
        record.history.push(entry);
    })
}

#[test]
fn an_accepted_start_is_claimed_when_its_time_has_come() {
    for name in [EXPORT, GOALS, SCHEDULE] {
        let mut record = accepted(name, at(30));
        record.reason = Some(Reason::AuthorizationLost);
        assert_eq!(prepared(&record, 29), nothing(Next::Look));
        for now in [30, 31] {
            assert_eq!(prepared(&record, now), claimed(&record, now, 1), "{name}");
        }
        record.attempt = 3;
        record.maybe_started = true;
        assert_eq!(prepared(&record, 30), claimed(&record, 30, 4), "{name}");
    }
}

#[test]
fn a_start_whose_lease_is_over_is_claimed_anew_unless_it_may_be_sent_once_only() {
    for name in [GOALS, SCHEDULE] {
        let record = starting(name, at(60));
        assert_eq!(prepared(&record, 59), nothing(Next::Look));
        for now in [60, 61] {
            let mut expected = claimed(&record, now, 2);
            expected.write.as_mut().unwrap().maybe_started = true;
            assert_eq!(prepared(&record, now), expected, "{name}");
        }
    }
    let export = starting(EXPORT, at(60));
    for now in [59, 60, 10_000] {
        assert_eq!(prepared(&export, now), nothing(Next::Look));
    }
}
