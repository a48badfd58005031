//! The test of the test: each of these worlds breaks a promise, and the checks see it.

use courier_simulation::{Plan, Sabotage, run};

/// The first broken promise of a sabotaged world.
fn first_broken(sabotage: Sabotage) -> String {
    for seed in 0..60 {
        let mut plan = Plan::of(seed);
        plan.sabotage = Some(sabotage);
        if let Err(broken) = run(plan, false) {
            println!("{sabotage:?}: {broken}");
            assert!(!broken.trace.is_empty());
            return broken.promise;
        }
    }
    panic!("nobody saw {sabotage:?}");
}

#[test]
fn an_unguarded_store_is_detected() {
    let promise = first_broken(Sabotage::Unguarded);
    assert!(
        promise.starts_with('I') || promise.starts_with("a fence"),
        "{promise}"
    );
}

#[test]
fn lost_messages_without_a_sweeper_are_detected() {
    assert!(first_broken(Sabotage::NoSweeper).starts_with("I8"));
}

#[test]
fn a_hidden_retry_of_a_start_is_detected() {
    assert!(first_broken(Sabotage::HiddenRetry).starts_with("I1"));
}

#[test]
fn lists_that_hide_the_jobs_are_detected() {
    let promise = first_broken(Sabotage::EmptyList);
    assert!(promise.starts_with("I1: a job that was there"), "{promise}");
}

#[test]
fn messages_deleted_before_their_step_are_detected() {
    assert!(first_broken(Sabotage::DeletedFirst).starts_with("I8"));
}
