//! The invariants on jobs that are looked for because their URL is not known, and on looks after a job's success.

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Restart};
use courier_core::operation::{Outcome, Record, State};
use courier_core::time::later;
use graph_simulator::Entry;
use serde_json::Value;

use crate::checks::{container, resource};
use crate::plan::LONGEST_LAG;
use crate::world::World;

/// Whether a second start of this operation would run a second job.
pub(crate) fn is_sent_once(record: &Record) -> bool {
    let operation = Catalogue::shipped().find(&record.operation);
    operation.is_some_and(|operation| operation.restart == Restart::Never)
}

/// Checks what no write may do to a follow-up (I6).
pub(crate) fn broken_follow_up(before: &Record, after: &Record) -> Option<&'static str> {
    let follow_up = before.follow_up?;
    match (after.state.outcome(), after.follow_up) {
        (Some(ended), _) if ended != follow_up.outcome && ended != Outcome::Cancelled => {
            Some("I6: the outcome of a job that was followed up is not the operation's")
        }
        (None, None) => Some("I6: a look after a success was forgotten"),
        (None, Some(next)) if next.stage < follow_up.stage => {
            Some("I6: the number of the look after a success fell")
        }
        (None, Some(next)) if next.outcome != follow_up.outcome => {
            Some("I6: a look after a success changed the outcome")
        }
        (Some(_), _) | (None, Some(_)) => None,
    }
}

/// Checks that an operation is started again only if no job of it was there to be found (I1).
pub(crate) fn broken_restart(
    world: &World,
    before: &Record,
    after: &Record,
) -> Option<&'static str> {
    let (State::Locating { settle_until, .. }, State::Accepted { .. }) =
        (&before.state, &after.state)
    else {
        return None;
    };
    let Some(until) = settle_until.filter(|_| !is_sent_once(before)) else {
        return Some("I1: an operation that is sent once was started again");
    };
    // By another clock it may be earlier, and a Graph with a fault may deny that there is a list.
    let mut faults = world.plan.graph_faults.iter();
    if world.plan.skewed || faults.any(|fault| fault.on == "*") {
        return None;
    }
    let name = format!("{}.start", before.operation);
    let is_there = |call: &Entry| {
        let listed = later(call.at, Duration::from_secs(LONGEST_LAG));
        call.call == name
            && call.job.is_some()
            && about(call) == resource(before)
            && listed <= until
    };
    let journal = world.graph.journal();
    let there = journal.iter().any(is_there);
    there.then_some("I1: a job that was there to be found was started again")
}

/// What a start is about, as the request names it.
pub(crate) fn about(call: &Entry) -> &str {
    let field = |name: &str| call.body.as_ref()?.get(name)?.as_str();
    let segment = |number| call.path.split('/').nth(number);
    let found = match call.call.as_str() {
        "export.start" => field("storageLocation").map(container),
        "goals.start" => field("explorerViewId"),
        "schedule.start" => segment(3),
        "device.wipe.start" => segment(4),
        "lifecycle.runWorkflow.start" | "ediscovery.exportResult.start" => segment(5),
        "team.fromGroup.start" => {
            field("group@odata.bind").and_then(|group| group.split('\'').nth(1))
        }
        _ => None,
    };
    found.unwrap_or_default()
}

/// I6: a success that does not say that nobody has seen what it made was seen.
pub(crate) fn seen(world: &World, record: &Record, calls: &[Entry]) {
    let is_unverified = |result: &serde_json::Map<String, Value>| result.contains_key("verified");
    let claims = record.state.outcome() == Some(Outcome::Succeeded)
        && !record.result.as_ref().is_some_and(is_unverified);
    let followed = record.operation == "team.fromGroup";
    let is_sight = |call: &Entry| {
        call.call == "team.fromGroup.then"
            && call.path.contains(resource(record))
            && call.status == Some(200)
    };
    if followed && claims && !calls.iter().any(is_sight) {
        world.broken(format_args!(
            "I6: nobody has seen the team of {}",
            record.id
        ));
    }
}
