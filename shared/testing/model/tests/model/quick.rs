//! The quick budget: every configuration with every class, in the normal test run.

use crate::checked::Configuration;
use crate::configurations::{self as worlds, CLASSES, LOOKS, Size};
use crate::report::holds;
use crate::works::Work;

fn check(name: &str, configuration: fn(Work, Size) -> Configuration) {
    for work in CLASSES {
        holds(name, configuration(work, Size::Quick));
    }
}

#[test]
fn nothing_breaks_in_the_base_world() {
    check("base", worlds::base);
}

#[test]
fn nothing_breaks_when_a_start_outlives_its_lease() {
    check("zombie", worlds::zombie);
}

#[test]
fn nothing_breaks_when_the_store_does_not_answer() {
    check("ambiguous write", worlds::ambiguous_write);
}

#[test]
fn nothing_breaks_whatever_graph_says_to_a_start() {
    check("start", worlds::start);
}

#[test]
fn nothing_breaks_whatever_graph_says_to_a_poll() {
    check("poll", worlds::poll);
}

#[test]
fn nothing_breaks_when_messages_are_renewed_or_forged_or_a_step_panics() {
    check("message", worlds::message);
}

#[test]
fn nothing_breaks_at_the_deadline() {
    check("deadline", worlds::deadline);
}

#[test]
fn nothing_breaks_when_the_sweeper_comes() {
    check("sweeper", worlds::sweeper);
}

#[test]
fn nothing_breaks_when_the_caller_cancels() {
    check("cancel", worlds::cancel);
}

#[test]
fn nothing_breaks_when_a_redelivery_is_asked_for() {
    check("redelivery", worlds::redelivery);
}

#[test]
fn nothing_breaks_when_the_receiver_is_left_alone_or_changed() {
    check("receiver", worlds::receiver);
}

#[test]
fn nothing_breaks_when_the_end_is_announced_beside_the_callback_or_alone() {
    for with_callback in [true, false] {
        holds("announcement", worlds::announcement(with_callback));
    }
}

#[test]
fn nothing_breaks_with_two_schedules_of_one_team() {
    holds("line", worlds::line(Size::Quick));
}

#[test]
fn a_cancel_in_mid_start_lets_no_old_schedule_overwrite_a_newer_one() {
    holds("line with a cancel", worlds::line_with_cancel());
}

fn check_looks(name: &str, configuration: fn(Work, Size) -> Configuration) {
    for work in LOOKS {
        holds(name, configuration(work, Size::Quick));
    }
}

#[test]
fn nothing_breaks_when_jobs_are_looked_for_or_followed() {
    check_looks("base", worlds::base);
    check_looks("deadline", worlds::deadline);
}

#[test]
fn nothing_breaks_whatever_graph_says_to_a_start_that_is_looked_for_or_followed() {
    check_looks("start", worlds::start);
}

#[test]
fn nothing_breaks_whatever_graph_says_to_a_look() {
    check_looks("look", worlds::look);
    check_looks("message", worlds::message);
}

#[test]
fn nothing_breaks_when_the_caller_cancels_what_is_looked_for_or_followed() {
    // The team's world is three times as large, and its cancels are those of any running job.
    for work in [Work::Workflow, Work::Ediscovery] {
        holds("cancel", worlds::cancel(work, Size::Quick));
    }
}

#[test]
fn no_run_of_a_workflow_starts_while_the_one_before_it_is_looked_for() {
    holds("line of looks", worlds::line_of_looks());
}
