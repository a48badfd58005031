//! The quick budget: every configuration with every class, in the normal test run.

use courier_core::catalogue::Restart;

use crate::checked::Configuration;
use crate::configurations::{self as worlds, CLASSES, Size};
use crate::report::holds;

fn check(name: &str, configuration: fn(Restart, Size) -> Configuration) {
    for class in CLASSES {
        holds(name, configuration(class, Size::Quick));
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
fn nothing_breaks_with_two_schedules_of_one_team() {
    holds("line", worlds::line(Size::Quick));
}

#[test]
fn a_cancel_in_mid_start_lets_no_old_schedule_overwrite_a_newer_one() {
    holds("line with a cancel", worlds::line_with_cancel());
}
