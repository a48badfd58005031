//! Records that come back from a copy: what may have been started since is not started again, and the history says so.

use courier_core::lifecycle::{Event, Next};
use courier_core::operation::{DeliveryOutcome, Outcome, Reason, Record, State};

use crate::{EXPORT, GOALS, accepted, at, changed, decided, ended, held, line, nothing, record};
use crate::{running, starting, watchdog};

const NOW: u64 = 5000;
const WORKFLOW: &str = "lifecycle.runWorkflow";
const DETAIL: &str = "from the copy of 2026-11-21T20:00:09.000Z; what was done later is not known";

fn restored() -> Event {
    Event::Restored {
        copied_at: Some(at(9)),
    }
}

/// Checks that the record gets `state` as one whose start may have been sent.
fn may_have_started(record: &Record, state: State, due: u64) {
    let expected = changed(record, Next::Redecide, |record| {
        record.state = state.clone();
        record.maybe_started = true;
        record.attempt += 1;
        record.due_at = Some(at(due));
        record.reason = Some(Reason::NoUsableAnswer);
        if matches!(state, State::StartUnknown { .. }) {
            record.sealed_parameters = None;
        }
        let line = line(at(NOW), "starting", "restored", Some(DETAIL));
        record.history.push(line);
    });
    assert_eq!(decided(record, &restored(), at(NOW)), expected);
}

#[test]
fn a_start_that_graph_would_run_twice_is_not_sent_from_a_copy_and_ends_as_unknown() {
    let hold_until = at(NOW);
    for record in [
        accepted(EXPORT, at(0)),
        accepted(EXPORT, at(NOW + 60)),
        starting(EXPORT, at(60)),
    ] {
        may_have_started(&record, State::StartUnknown { hold_until }, NOW);
    }
    let restored = decided(&accepted(EXPORT, at(0)), &restored(), at(NOW)).write;
    let restored = restored.unwrap();
    let next = decided(&restored, &watchdog(&restored), at(NOW))
        .write
        .unwrap();
    let outcome = Outcome::Unknown;
    assert_eq!(next.state, State::Ended { outcome });
    assert_eq!(next.reason, Some(Reason::StartOutcomeUnknown));
}

#[test]
fn a_start_that_may_be_sent_again_or_looked_for_is_one_whose_lease_is_over() {
    let lease_until = at(NOW);
    let looked_for = State::Locating {
        next_look_at: at(70),
        settle_until: Some(at(90)),
    };
    for record in [
        accepted(GOALS, at(0)),
        starting(GOALS, at(NOW + 60)),
        accepted(WORKFLOW, at(0)),
        record(WORKFLOW, looked_for),
    ] {
        may_have_started(&record, State::Starting { lease_until }, NOW);
    }
    // A pause that Graph has asked for holds.
    let lease_until = at(NOW + 60);
    let throttled = accepted(GOALS, lease_until);
    may_have_started(&throttled, State::Starting { lease_until }, NOW + 60);
    // The lost start of a job that can be looked for is not sent again before it was.
    let workflow = decided(&accepted(WORKFLOW, at(0)), &restored(), at(NOW));
    let workflow = workflow.write.unwrap();
    let next = decided(&workflow, &watchdog(&workflow), at(NOW)).write;
    assert!(matches!(next.unwrap().state, State::Locating { .. }));
}

#[test]
fn what_runs_or_has_ended_goes_on_and_its_history_says_that_it_is_old() {
    for record in [held(at(NOW)), running(EXPORT), ended(Outcome::Succeeded)] {
        let expected = changed(&record, Next::Redecide, |record| {
            let status = record.state.status();
            let line = line(at(NOW), status, "restored", Some(DETAIL));
            record.history.push(line);
        });
        assert_eq!(decided(&record, &restored(), at(NOW)), expected);
    }
    let mut closed = ended(Outcome::Succeeded);
    closed.state = State::Closed {
        outcome: Outcome::Succeeded,
        how: DeliveryOutcome::Delivered,
    };
    assert_eq!(decided(&closed, &restored(), at(NOW)), nothing(Next::Drop));
}
