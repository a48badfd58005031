//! The invariants (ARCHITECTURE.md) on what is left when the faults have stopped and nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use courier_core::operation::{DeliveryOutcome, OperationId, Outcome, Reason, Record, State};
use courier_testkit::invariants;
use courier_testkit::receiver::Callback;
use graph_simulator::{Entry, Job};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::checks::{no_secret, resource};
use crate::looks;
use crate::world::{World, lock};

/// The counts of what came about, by name.
pub(crate) fn ends(world: &World) -> BTreeMap<&'static str, usize> {
    let mut ends = BTreeMap::new();
    for record in lock(&world.records).all() {
        let how = match record.state {
            State::Closed { how, .. } => Some(how),
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Running { .. }
            | State::Ended { .. } => None,
        };
        let delivery = match how {
            Some(DeliveryOutcome::Delivered) => Some("delivered"),
            Some(DeliveryOutcome::Undeliverable) => Some("undeliverable"),
            Some(DeliveryOutcome::NotRequested) | None => None,
        };
        let words = [
            Some(record.state.status()),
            delivery,
            record.adopted.then_some("adopted"),
            (record.attempt > 1).then_some("claimedAgain"),
            was(record, "jobLookedFor").then_some("lookedFor"),
            was(record, "jobFound").then_some("found"),
            was(record, "jobNotFound").then_some("startedAgain"),
            was(record, "startTooEarly").then_some("tooEarly"),
            was(record, "jobSucceeded").then_some("followed"),
            was(record, "announcementAttempt").then_some("announced"),
        ];
        for word in words.into_iter().flatten() {
            *ends.entry(word).or_default() += 1;
        }
    }
    ends
}

/// The history has a line of this event.
fn was(record: &Record, event: &str) -> bool {
    record.history.iter().any(|line| line.event == event)
}

/// Everything that must be true when the faults have stopped and nothing is left to do.
pub(crate) fn in_the_end(world: &World, asked: &[Asked]) {
    let (calls, jobs) = (world.graph.journal(), world.graph.jobs());
    let records: Vec<Record> = lock(&world.records).all().cloned().collect();
    let kept: BTreeSet<&OperationId> = records.iter().map(|record| &record.id).collect();
    for id in asked.iter().flat_map(|one| &one.acknowledged) {
        if !kept.contains(id) {
            world.broken(format_args!("I8: {id} was acknowledged and is gone"));
        }
    }
    let starts = starts(&calls);
    let by_id: BTreeMap<String, Job> = jobs
        .iter()
        .map(|job| (job.id.clone(), job.clone()))
        .collect();
    for record in &records {
        no_secret(world, "the store", &json!(record).to_string());
        let starts = starts.get(resource(record)).map_or(&[][..], Vec::as_slice);
        sent_once(world, record, starts);
        looks::seen(world, record, &calls);
        truthful(world, record, starts, &by_id);
        if world.plan.is_calm() {
            undisturbed(world, record);
        }
    }
    let callbacks = lock(&world.receivers).journal.clone();
    delivered(world, &records, &callbacks);
    announced(world, &records);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
        invariants::check(&polls(world, &calls), &jobs, &callbacks);
    })) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        world.broken(text.unwrap_or("an invariant of the journals"));
    }
}

/// The calls that I12 is held against: not where two messages carry one operation or clocks disagree (ARCHITECTURE.md),
/// where the answer that said when was lost with its reader or on the way, and where several operations follow one job.
fn polls(world: &World, calls: &[Entry]) -> Vec<Entry> {
    let plan = &world.plan;
    let doubled = plan.message_doubled + plan.message_resurrected + plan.send_ambiguous;
    let excused = plan.skewed || doubled + plan.freeze + plan.kill > 0.0;
    let unheard = lock(&world.unheard);
    let records = lock(&world.records);
    let carriers = lock(&world.carriers);
    let alone = |path: &str| {
        let followers = records.followers.get(path).into_iter().flatten();
        let followers: Vec<_> = followers.collect();
        followers.len() == 1 && carriers.get(followers[0]).is_some_and(|count| *count == 1)
    };
    let strict = |call: &&Entry| {
        !call.call.ends_with(".poll")
            || !excused && alone(&call.path) && !unheard.contains(&call.path)
    };
    calls.iter().filter(strict).cloned().collect()
}

/// I6: what was reported is what happened behind Graph.
fn truthful(world: &World, record: &Record, starts: &[&Entry], jobs: &BTreeMap<String, Job>) {
    let started = starts.iter().filter_map(|call| call.job.as_ref());
    let jobs: Vec<&Job> = started.filter_map(|job| jobs.get(job)).collect();
    let ran = |status: &str| jobs.iter().any(|job| job.status == status);
    let lie = match (record.state.outcome(), record.reason) {
        (Some(Outcome::Succeeded), _) => !ran("succeeded"),
        (Some(Outcome::Failed), Some(Reason::StartRejected)) => {
            // A later request with the same key may have begun a job.
            let mut before = starts
                .iter()
                .filter(|call| Some(call.at) <= record.ended_at);
            is_export(record) && before.any(|call| call.job.is_some())
        }
        (Some(Outcome::Failed), Some(Reason::OperationFailed)) => !ran("failed"),
        (Some(_), _) => false,
        (None, _) => true,
    };
    if lie {
        world.broken(format_args!(
            "I6: {} says {:?} {:?}, Graph has {jobs:?}",
            record.id,
            record.state.outcome(),
            record.reason
        ));
    }
}

/// I1, and more: after a call that may have started what must not run twice there is no other. Graph's own refusal of a used container
/// would hide the second.
fn sent_once(world: &World, record: &Record, starts: &[&Entry]) {
    let answers: Vec<_> = starts.iter().map(|call| call.status).collect();
    let before = answers.len().saturating_sub(1);
    // A refusal proves that nothing was begun, and frees the request's key for another try.
    let is_refusal = |status: &Option<u16>| {
        status.is_some_and(|status| (300..500).contains(&status) && status != 408)
    };
    if looks::is_sent_once(record) && !answers[..before].iter().all(is_refusal) {
        world.broken(format_args!("I1: {} was sent {answers:?}", record.id));
    }
}

fn is_export(record: &Record) -> bool {
    record.operation == "user.exportPersonalData"
}

/// The calls that start operations, by what these are about.
fn starts(calls: &[Entry]) -> BTreeMap<&str, Vec<&Entry>> {
    let mut starts: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for call in calls {
        starts.entry(looks::about(call)).or_default().push(call);
    }
    starts
}

/// Where nothing goes wrong everything succeeds.
fn undisturbed(world: &World, record: &Record) {
    let cancelled = record.state.outcome() == Some(Outcome::Cancelled);
    if record.state.outcome() != Some(Outcome::Succeeded) && !cancelled {
        world.broken(format_args!(
            "nothing went wrong, but {} ended {:?}",
            record.id, record.reason
        ));
    }
}

/// The end of each operation was announced where events are configured, and otherwise of none.
fn announced(world: &World, records: &[Record]) {
    let got = lock(&world.receivers).announced.clone();
    for record in records {
        let settled = record.announcement.as_ref().map(|one| one.settled);
        let as_promised = match settled {
            None => !world.plan.announces,
            Some(Some(DeliveryOutcome::Delivered)) => got.contains_key(record.id.as_str()),
            Some(Some(DeliveryOutcome::Undeliverable)) => true,
            Some(Some(DeliveryOutcome::NotRequested) | None) => false,
        };
        if !as_promised {
            let id = &record.id;
            world.broken(format_args!("I8: {id} was announced as {settled:?}"));
        }
    }
}

/// I8: who asked for a completion got it, or sees that it could not be delivered.
fn delivered(world: &World, records: &[Record], callbacks: &[Callback]) {
    let mut got: BTreeMap<String, u32> = BTreeMap::new();
    for callback in callbacks {
        let body: Value = serde_json::from_slice(&callback.body).unwrap_or_default();
        let id = body["data"]["id"].as_str().unwrap_or_default();
        *got.entry(id.to_owned()).or_default() += 1;
    }
    for record in records.iter().filter(|record| record.callback.is_some()) {
        let closed = matches!(record.state, State::Closed { .. });
        if closed && !got.contains_key(record.id.as_str()) {
            world.broken(format_args!(
                "I8: {} is closed, nobody was called back",
                record.id
            ));
        }
    }
}
