//! The invariants of ARCHITECTURE.md that journals can show, wherever the journals come from.

use std::collections::{BTreeMap, BTreeSet};

use courier_core::catalogue::Catalogue;
use graph_simulator::{Entry, Job, Simulator};
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::receiver::{Callback, Receiver};
use crate::tenants::SIGNING_SECRETS;

/// Checks a run that has ended against the invariants; unused scripted faults or answers fail it too.
pub fn check_ended(simulator: &Simulator, receiver: &Receiver) {
    let faults = simulator.unused_faults();
    assert!(
        faults.is_empty(),
        "scripted faults that never struck: {faults:?}"
    );
    assert_eq!(receiver.unused(), 0, "scripted answers that nobody got");
    check(&simulator.journal(), &simulator.jobs(), &receiver.journal());
}

/// Checks the journals of Graph and of the receiver against the invariants.
pub fn check(calls: &[Entry], jobs: &[Job], callbacks: &[Callback]) {
    one_export_per_start(calls, jobs);
    never_sooner_than_allowed(calls, jobs);
    // A request for permission or for a token is not a delivery.
    let delivered = callbacks
        .iter()
        .filter(|callback| callback.header("webhook-id").is_some());
    let (other, standard): (Vec<_>, Vec<_>) =
        delivered.partition(|callback| has_other_profile(callback));
    one_id_and_one_body(other.iter().chain(&standard));
    standard.into_iter().for_each(signed_by_the_standard);
}

/// The path below which receivers have another profile than the default one.
pub const OTHER_PROFILES: &str = "/as/";

/// Reports whether a callback has another profile than the default one: by its path, or because it is signed for AWS.
pub(crate) fn has_other_profile(callback: &Callback) -> bool {
    let proof = callback.header("authorization").unwrap_or_default();
    callback.path.starts_with(OTHER_PROFILES) || proof.starts_with("AWS4-HMAC-SHA256 ")
}

/// I1: only one call uses an export's container, whatever was answered (429 and refusals start nothing).
fn one_export_per_start(calls: &[Entry], jobs: &[Job]) {
    let mut containers: BTreeMap<String, u32> = BTreeMap::new();
    for call in calls
        .iter()
        .filter(|call| call.call == "export.start" && call.job.is_some())
    {
        let container = call
            .body
            .as_ref()
            .and_then(|body| body["storageLocation"].as_str());
        let container = container
            .unwrap_or_default()
            .split('?')
            .next()
            .unwrap_or_default();
        *containers.entry(container.to_owned()).or_default() += 1;
    }
    for (container, started) in containers {
        assert!(started <= 1, "I1: {started} exports into {container}");
    }
    // I2: no key has two pending jobs.
    let pending = jobs.iter().filter(|job| job.operation.starts_with("goals"));
    let pending = pending.filter(|job| job.status == "running" || job.status == "notStarted");
    let mut keys = BTreeSet::new();
    for job in pending {
        assert!(
            keys.insert(&job.key),
            "I2: two pending jobs for {}",
            job.key
        );
    }
}

/// I12: no poll of a job comes before the time that its last answer allowed.
///
/// A job that several operations follow (adopted) has several pollers, each with a time of its own, and is left out. The
/// last poll, which comes past the deadline, may be sooner than an absurd pause.
fn never_sooner_than_allowed(calls: &[Entry], jobs: &[Job]) {
    let operations = jobs.iter().map(|job| (&job.id, job.operation.as_str()));
    let operations: BTreeMap<_, _> = operations.collect();
    let lasts = |job: &String| {
        let operation = Catalogue::shipped().find(operations.get(job)?);
        Some(operation?.default_deadline())
    };
    let mut begun = BTreeMap::new();
    let adopted: BTreeSet<_> = calls
        .iter()
        .filter(|call| call.status == Some(409))
        .filter_map(|call| call.job.as_ref())
        .collect();
    let mut allowed = BTreeMap::new();
    for call in calls {
        let Some(job) = call.job.as_ref().filter(|job| !adopted.contains(job)) else {
            continue;
        };
        let polled = call.call.ends_with(".poll");
        let begun = *begun.entry(job).or_insert(call.at);
        let is_last = lasts(job).is_some_and(|lasts| call.at >= begun + lasts);
        if let Some(not_before) = allowed.get(job).filter(|_| polled && !is_last) {
            let of_job = || {
                let all = calls.iter().filter(|one| one.job.as_ref() == Some(job));
                let told = all.map(|one| format!("{} {} {:?}", one.at, one.call, one.status));
                told.collect::<Vec<_>>().join("\n")
            };
            assert!(
                call.at >= *not_before,
                "I12: {} at {}, not before {not_before}:\n{}",
                call.path,
                call.at,
                of_job()
            );
        }
        match call.not_before {
            Some(not_before) => allowed.insert(job.clone(), not_before),
            None => allowed.remove(job),
        };
    }
}

/// I4: every delivery of an event carries one id and one body, and an operation has one event.
///
/// Only the secrets of a result are in the first delivery alone.
fn one_id_and_one_body<'a>(callbacks: impl Iterator<Item = &'a &'a Callback>) {
    let mut bodies = BTreeMap::new();
    let mut events = BTreeMap::new();
    for callback in callbacks {
        let id = callback.header("webhook-id").unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&callback.body).unwrap_or_default();
        let first = bodies
            .entry(id.clone())
            .or_insert_with(|| without_secrets(&body, &callback.body));
        let same = *first == callback.body;
        assert!(
            same || *first == without_secrets(&body, &callback.body),
            "I4: {id} came with two bodies"
        );
        let operation = body["data"]["id"].as_str().unwrap_or_default().to_owned();
        let first = events
            .entry(operation.clone())
            .or_insert_with(|| id.clone());
        let named = !operation.is_empty();
        assert!(!named || *first == id, "I4: {operation} has two events");
    }
}

/// Returns the bytes of a completion as they are without the secrets of its result.
fn without_secrets(body: &Value, bytes: &[u8]) -> Vec<u8> {
    let Some(fields) = body
        .as_object()
        .filter(|fields| fields.contains_key("secrets"))
    else {
        return bytes.to_vec();
    };
    let others = fields.iter().filter(|(name, _)| *name != "secrets");
    let others = others.map(|(name, value)| (name.clone(), value.clone()));
    Value::Object(others.collect()).to_string().into_bytes()
}

/// Checks that the reference implementation signs the same content identically, with each of the active secrets.
fn signed_by_the_standard(callback: &Callback) {
    let header = |name: &str| callback.header(name).unwrap_or_default();
    assert_eq!(header("ce-id"), header("webhook-id"));
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    assert!(
        callback.at.as_second().abs_diff(timestamp) <= 1,
        "the timestamp is of this attempt"
    );
    has_the_standard_signatures(callback);
}

/// Checks that these are deliveries of one event, with one id and one body.
pub fn one_event(deliveries: &[Callback]) {
    for delivery in deliveries {
        let id = |one: &Callback| one.header("webhook-id").map(str::to_owned);
        assert_eq!(id(delivery), id(&deliveries[0]), "one id");
        assert_eq!(delivery.body, deliveries[0].body, "one body");
    }
}

/// Checks that the reference implementation makes the signatures of a request, one with each of [`SIGNING_SECRETS`].
pub fn has_the_standard_signatures(callback: &Callback) {
    let header = |name: &str| callback.header(name).unwrap_or_default();
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let expected: Vec<String> = SIGNING_SECRETS
        .iter()
        .map(|secret| {
            let webhook = Webhook::new(secret).unwrap_or_else(|error| panic!("{error}"));
            let signed = webhook.sign(header("webhook-id"), timestamp, &callback.body);
            signed.unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    assert_eq!(header("webhook-signature"), expected.join(" "));
}
