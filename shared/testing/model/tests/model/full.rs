//! The larger budget: one fault more and an impatient caller. See the head of `main.rs` for the command.

use crate::checked::Configuration;
use crate::configurations::{self as worlds, CLASSES, LOOKS, Size};
use crate::report::holds;
use crate::works::Work;

fn check(name: &str, configuration: fn(Work, Size) -> Configuration) {
    for work in CLASSES {
        holds(name, configuration(work, Size::Full));
    }
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_in_the_base_world_and_at_the_deadline() {
    check("base", worlds::base);
    check("deadline", worlds::deadline);
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_with_zombies_and_ambiguous_writes() {
    check("zombie", worlds::zombie);
    check("ambiguous write", worlds::ambiguous_write);
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_whatever_graph_says() {
    check("start", worlds::start);
    check("poll", worlds::poll);
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_whatever_becomes_of_messages() {
    check("message", worlds::message);
    check("sweeper", worlds::sweeper);
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_when_the_api_is_used() {
    check("cancel", worlds::cancel);
    check("redelivery", worlds::redelivery);
    check("receiver", worlds::receiver);
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_with_two_schedules_of_one_team() {
    holds("line", worlds::line(Size::Full));
}

#[test]
#[ignore = "minutes; see main.rs"]
fn nothing_breaks_when_jobs_are_looked_for_or_followed() {
    for work in LOOKS {
        holds("base", worlds::base(work, Size::Full));
        holds("start", worlds::start(work, Size::Full));
        holds("look", worlds::look(work, Size::Full));
        holds("zombie", worlds::zombie(work, Size::Quick));
        holds("sweeper", worlds::sweeper(work, Size::Quick));
        holds("redelivery", worlds::redelivery(work, Size::Quick));
    }
    holds("cancel", worlds::cancel(Work::Team, Size::Quick));
}
