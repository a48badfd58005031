//! The durations of jobs that have ended, one small document for each tenant and kind of operation, and the forecast that
//! a new operation gets from it.
//!
//! All of it is best effort. A lost sample or a missing forecast makes looks less apt and nothing else, so nobody waits
//! long for the store here, and no failure is passed on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::cached::{Cached, Failure, Lease};
use crate::engine::app::App;
use crate::error_chain::chain;
use crate::lifecycle::forecast::Sketch;
use crate::operation::{Forecast, Outcome, Reason, Record, State};
use crate::ports::{Store, StoreError};
use crate::time::{elapsed, later};

/// What the keys of the documents begin with.
pub(crate) const PREFIX: &str = "durations/";
/// Longest time that a start waits for a forecast, while Graph is asked.
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// Age at which a forecast is read anew, and the age up to which an old one serves while that fails.
const RENEWED_AFTER: Duration = Duration::from_secs(5 * 60);
const SERVES_FOR: Duration = Duration::from_secs(24 * 3600);
/// Least time between two merges into one document by one process; the first comes with the first end.
const BETWEEN_MERGES: Duration = Duration::from_secs(60);
/// Longest time that a merge takes.
const MERGE_TIMEOUT: Duration = Duration::from_millis(500);
/// Attempts to write a document; each fails because another process wrote first.
const MAX_WRITE_ATTEMPTS: usize = 4;
/// Most ends that wait for a merge, the newest.
const MAX_WAITING: usize = 128;
/// Time by which a look may be later than its due time for the end that it sees to count.
const LATENESS: Duration = Duration::from_secs(600);

/// What this process knows of each kind of operation in each tenant.
#[derive(Default)]
pub(crate) struct Durations(Mutex<BTreeMap<String, Arc<Kind>>>);

struct Kind {
    forecast: Cached<Option<Forecast>, ()>,
    ends: Mutex<Ends>,
}

/// The durations of jobs whose end this process saw, and that are not merged yet.
#[derive(Default)]
struct Ends {
    waiting: Vec<Duration>,
    merged_at: Option<Timestamp>,
}

impl Durations {
    /// Returns the forecast for the record's job, if the store has one and answers soon.
    pub(crate) async fn forecast(&self, app: &App, record: &Record) -> Option<Forecast> {
        let key = key(record);
        let kind = self.kind(&key);
        let fetch = async || {
            let read = timeout(READ_TIMEOUT, app.store.load_document(&key)).await;
            let Ok(Ok(document)) = read else {
                let retry_after = None;
                return Err(Failure {
                    error: (),
                    retry_after,
                });
            };
            let sketch = document.and_then(|document| Sketch::parse(&document.body));
            let now = app.now();
            Ok(Lease {
                value: sketch.and_then(|sketch| sketch.forecast()),
                renew_at: later(now, RENEWED_AFTER),
                expires_at: later(now, SERVES_FOR),
                refetch_at: now,
            })
        };
        let known = kind.forecast.get(&app.clock, |_| true, fetch).await;
        known.ok().flatten()
    }

    fn kind(&self, key: &str) -> Arc<Kind> {
        let mut kinds = lock(&self.0);
        let kind = kinds.entry(key.to_owned()).or_insert_with(|| {
            Arc::new(Kind {
                forecast: Cached::new(READ_TIMEOUT),
                ends: Mutex::default(),
            })
        });
        Arc::clone(kind)
    }
}

/// Keeps what a write that ended an operation says of how long the job took, until [`merge_due`].
pub(crate) fn note(app: &App, old: &Record, new: &Record) {
    if let Some(duration) = seen_duration(old, new) {
        lock(&app.durations.kind(&key(new)).ends).keep(vec![duration]);
    }
}

/// Merges the ends of this record's kind, if there are any and the last time is long enough ago.
///
/// It comes at the end of a step, so that no completion waits for it. The ends of about a minute are merged into the
/// document together. On a host that keeps nothing between its steps each end is the first one, and merged at once.
pub(crate) async fn merge_due(app: &App, record: &Record) {
    if record.ended_at.is_none() {
        return;
    }
    let (key, now) = (key(record), app.now());
    let kind = app.durations.kind(&key);
    let is_due = {
        let ends = lock(&kind.ends);
        let is_time = ends
            .merged_at
            .is_none_or(|at| elapsed(at, now) >= BETWEEN_MERGES || now < at);
        is_time && !ends.waiting.is_empty()
    };
    if is_due {
        merge(app, &key, &kind).await;
    }
}

/// Merges all ends that wait for it.
pub(crate) async fn merge_all(app: &App) {
    let kinds: Vec<(String, Arc<Kind>)> = {
        let kinds = lock(&app.durations.0);
        let all = kinds.iter();
        all.map(|(key, kind)| (key.clone(), Arc::clone(kind)))
            .collect()
    };
    for (key, kind) in kinds {
        merge(app, &key, &kind).await;
    }
}

/// Returns how long the job took, if Graph's word ended the operation at a look that came when it was planned.
///
/// An adopted job began earlier than its operation. A look that was late, or followed others that brought nothing, says
/// little about when the job ended.
fn seen_duration(old: &Record, new: &Record) -> Option<Duration> {
    let State::Running { .. } = old.state else {
        return None;
    };
    let is_graphs_word = match new.state.outcome()? {
        Outcome::Succeeded | Outcome::PartiallySucceeded => true,
        Outcome::Failed => new.reason == Some(Reason::OperationFailed),
        Outcome::Expired | Outcome::Unknown | Outcome::Cancelled => false,
    };
    let (started_at, ended_at) = (new.started_at?, new.ended_at?);
    let is_whole = !new.adopted && new.resumed_from.is_none();
    let was_undisturbed =
        old.reason.is_none() && old.graph.unanswered == 0 && old.graph.missing == 0;
    let was_in_time = old
        .due_at
        .is_some_and(|due| ended_at <= later(due, LATENESS));
    (is_graphs_word && is_whole && was_undisturbed && was_in_time)
        .then(|| elapsed(started_at, ended_at))
}

impl Ends {
    fn keep(&mut self, durations: Vec<Duration>) {
        self.waiting.extend(durations);
        let surplus = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..surplus);
    }
}

/// Merges the ends that wait for it into their document. Those that could not be written wait on.
async fn merge(app: &App, key: &str, kind: &Kind) {
    let waiting = {
        let mut ends = lock(&kind.ends);
        ends.merged_at = Some(app.now());
        std::mem::take(&mut ends.waiting)
    };
    if waiting.is_empty() {
        return;
    }
    let merged = timeout(MERGE_TIMEOUT, write(&*app.store, key, &waiting)).await;
    let trouble = match merged {
        Ok(Ok(true)) => return,
        Ok(Ok(false)) => "other processes write it all the time".to_owned(),
        Ok(Err(error)) => chain(&error).to_string(),
        Err(_) => "the store is too slow".to_owned(),
    };
    tracing::warn!(
        document = key,
        trouble,
        "could not write down how long jobs took; it is tried again"
    );
    lock(&kind.ends).keep(waiting);
}

/// Adds the durations to the document, and reports whether that is done with.
///
/// A document that cannot be read is left alone: a newer version may have written it.
async fn write(store: &dyn Store, key: &str, durations: &[Duration]) -> Result<bool, StoreError> {
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let document = store.load_document(key).await?;
        let revision = document.as_ref().map_or(0, |document| document.revision);
        let sketch = match document {
            Some(document) => Sketch::parse(&document.body),
            None => Some(Sketch::default()),
        };
        let Some(mut sketch) = sketch else {
            tracing::warn!(
                document = key,
                "the durations of past jobs cannot be read; a newer version may have written them, and they are left alone"
            );
            return Ok(true);
        };
        durations.iter().for_each(|duration| sketch.add(*duration));
        let Ok(body) = serde_json::to_string(&sketch) else {
            return Ok(true);
        };
        if store.swap_document(key, revision, &body).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn key(record: &Record) -> String {
    format!("{PREFIX}{}/{}", record.tenant, record.operation)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(change: Value) -> Record {
        let mut record = json!({
            "id": "op_0123456789abcdef0123456789abcdef", "revision": 1, "writer": "w",
            "client": "tickets", "tenant": "contoso", "operation": "team.schedule",
            "fingerprint": "f", "parameters": {}, "created_at": at(0), "deadline": at(90_000),
            "due_at": at(500), "started_at": at(100), "state": { "name": "running", "monitor": "m" },
            "attempt": 1, "maybe_started": false, "token_refused": false, "hop": 1, "adopted": false,
            "graph": { "polls": 1, "seen": true, "missing": 0 },
            "delivery": { "attempts": 0, "scheduledAttempts": 0 }, "history": [],
        });
        for (name, value) in change.as_object().unwrap() {
            record[name] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn only_an_end_by_graphs_word_at_an_undisturbed_look_says_how_long_the_job_took() {
        let ended = |outcome: &str| json!({ "name": "ended", "outcome": outcome });
        let counted = Some(Duration::from_secs(300));
        let troubled = json!({ "polls": 1, "seen": true, "missing": 0, "unanswered": 1 });
        let gone = json!({ "polls": 1, "seen": true, "missing": 1 });
        // Each row is what differs in the record before, what differs in the one after, and whether the end counts.
        for (before, after, wanted) in [
            (json!({}), json!({ "state": ended("succeeded") }), counted),
            (
                json!({}),
                json!({ "state": ended("partiallySucceeded") }),
                counted,
            ),
            (
                json!({}),
                json!({ "state": ended("failed"), "reason": "operation_failed" }),
                counted,
            ),
            (
                json!({}),
                json!({ "state": ended("failed"), "reason": "start_rejected" }),
                None,
            ),
            (json!({}), json!({ "state": ended("expired") }), None),
            (json!({}), json!({ "state": ended("unknown") }), None),
            (json!({}), json!({ "state": ended("cancelled") }), None),
            (json!({}), json!({}), None),
            (
                json!({}),
                json!({ "state": ended("succeeded"), "adopted": true }),
                None,
            ),
            (
                json!({}),
                json!({ "state": ended("succeeded"), "resumed_from": "op_0123456789abcdef0123456789abcdef" }),
                None,
            ),
            (
                json!({ "graph": troubled }),
                json!({ "state": ended("succeeded") }),
                None,
            ),
            (
                json!({ "graph": gone }),
                json!({ "state": ended("succeeded") }),
                None,
            ),
            (
                json!({ "reason": "throttled" }),
                json!({ "state": ended("succeeded") }),
                None,
            ),
            (
                json!({ "due_at": at(-201) }),
                json!({ "state": ended("succeeded") }),
                None,
            ),
            (
                json!({ "due_at": at(-200) }),
                json!({ "state": ended("succeeded") }),
                counted,
            ),
            (
                json!({ "state": ended("succeeded") }),
                json!({ "state": ended("succeeded") }),
                None,
            ),
        ] {
            let told = format!("{before} {after}");
            let mut after = record(after);
            after.ended_at = Some(at(400));
            assert_eq!(seen_duration(&record(before), &after), wanted, "{told}");
        }
    }
}
