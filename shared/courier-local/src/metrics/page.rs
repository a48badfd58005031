//! Writes the page of all metrics.

use std::collections::BTreeMap;

use courier_core::engine::app::App;
use courier_core::engine::metrics::{GRAPH_CALLS, GRAPH_RESULTS};
use courier_core::operation::Outcome;
use jiff::Timestamp;

use crate::metrics::census::{DEADLINE_DAYS, Summary, open_statuses};
use crate::metrics::families as f;
use crate::metrics::text::{Family, Format, Text};
use crate::sqlite::Database;

/// The values of `result` of a callback.
const CALLBACK_RESULTS: [&str; 5] = ["delivered", "refused", "unanswered", "parked", "orphaned"];
/// The values of `result` of an event.
const EVENT_RESULTS: [&str; 4] = ["sent", "failed", "dropped", "undeliverable"];
/// The values of `result` of a request for a token.
const TOKEN_RESULTS: [&str; 3] = ["granted", "refused", "failed"];

/// What only the program knows.
#[derive(Debug, Default)]
pub struct Host {
    pub version: &'static str,
    pub started_at: Timestamp,
    /// Requests of the API by route and class of the answer's status.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Completions given up; `None` if the data file does not say so now.
    pub undeliverable: Option<u64>,
    pub database_bytes: Option<u64>,
    pub log_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
    pub memory_bytes: Option<u64>,
}

/// Returns the page as it is at `now`.
///
/// It reads no record. Labels are names of the configuration, of the catalogue and of this program, so their number is
/// bounded; no id, reference or person is among them. Each counter is there from the start, so that its first increase
/// is one.
pub fn page(app: &App, database: &Database, host: &Host, format: Format, now: Timestamp) -> String {
    let mut text = Text::new(format);
    open(&mut text, app, &database.census().summary(now));
    let mut undelivered = text.family(&f::UNDELIVERED);
    if let Some(count) = host.undeliverable {
        undelivered.value(count);
    }
    let behind = database.timetable().behind(now).as_secs_f64();
    text.family(&f::BEHIND).value(behind);
    text.family(&f::LATENESS).histogram(&database.lateness());
    counters(&mut text, app);
    machine(&mut text, host);
    text.end()
}

fn open(text: &mut Text, app: &App, summary: &Summary) {
    let mut counts = summary.open.clone();
    for operation in permitted(app) {
        for status in open_statuses() {
            counts.entry((operation.to_owned(), status)).or_default();
        }
    }
    let mut samples = text.family(&f::OPEN);
    for ((operation, status), count) in &counts {
        samples.labelled(&[("operation", operation), ("status", status)], count);
    }
    let mut samples = text.family(&f::OLDEST);
    for (status, age) in summary.oldest {
        samples.labelled(&[("status", status)], seconds(age));
    }
    let mut samples = text.family(&f::MARGIN);
    for (operation, margin) in &summary.margin {
        samples.labelled(&[("operation", operation)], seconds(*margin));
    }
    let mut samples = text.family(&f::NEAR_DEADLINE);
    for (days, count) in DEADLINE_DAYS.iter().zip(summary.near_deadline) {
        samples.labelled(&[("days", &days.to_string())], count);
    }
    let mut samples = text.family(&f::NEAR_DUE);
    samples.labelled(&[("days", "0")], summary.past_due);
    for (days, count) in DEADLINE_DAYS.iter().zip(summary.near_due) {
        samples.labelled(&[("days", &days.to_string())], count);
    }
    let mut margin = text.family(&f::DUE_MARGIN);
    if let Some(milliseconds) = summary.due_margin {
        margin.value(seconds(milliseconds));
    }
    let mut waiting = summary.unauthorized.clone();
    for tenant in app.config.graph.tenants.keys() {
        waiting.entry(tenant.clone()).or_default();
    }
    let mut samples = text.family(&f::UNAUTHORIZED);
    for (tenant, count) in &waiting {
        samples.labelled(&[("tenant", tenant)], count);
    }
    let mut samples = text.family(&f::PENDING);
    for (status, count) in summary.pending {
        samples.labelled(&[("status", status)], count);
    }
    let age = seconds(summary.oldest_pending);
    text.family(&f::OLDEST_PENDING).value(age);
}

fn counters(text: &mut Text, app: &App) {
    let totals = app.metrics.totals();
    let details = app.metrics.details().clone();
    let mut started = details.started;
    let mut ended = details.ended;
    for operation in permitted(app) {
        started.entry(operation.to_owned()).or_default();
        for outcome in Outcome::ALL {
            ended.entry((operation.to_owned(), outcome)).or_default();
        }
    }
    let mut samples = text.family(&f::STARTED);
    for (operation, count) in &started {
        samples.labelled(&[("operation", operation)], count);
    }
    let mut samples = text.family(&f::ENDED);
    for ((operation, outcome), count) in &ended {
        let labels = [
            ("operation", operation.as_str()),
            ("outcome", outcome.as_str()),
        ];
        samples.labelled(&labels, count);
    }
    text.family(&f::START_UNKNOWN).value(totals.start_unknown);
    text.family(&f::POLLS).value(totals.polls);
    let mut requests = details.graph_requests;
    for call in GRAPH_CALLS {
        for result in GRAPH_RESULTS {
            requests.entry((call, result)).or_default();
        }
    }
    by(text, &f::GRAPH_REQUESTS, ["call", "result"], &requests);
    text.family(&f::THROTTLED).value(totals.throttled);

    let mut tokens = app.token_requests();
    for tenant in app.config.graph.tenants.keys() {
        for result in TOKEN_RESULTS {
            tokens.entry((tenant.clone(), result)).or_default();
        }
    }
    let mut samples = text.family(&f::TOKEN_REQUESTS);
    for ((tenant, result), count) in &tokens {
        samples.labelled(&[("tenant", tenant), ("result", result)], count);
    }
    let lost = totals.authorization_lost;
    text.family(&f::AUTHORIZATION_LOST).value(lost);
    let mut samples = text.family(&f::CALLBACKS);
    for result in CALLBACK_RESULTS {
        let count = totals.callbacks.get(result).copied().unwrap_or_default();
        samples.labelled(&[("result", result)], count);
    }
    let mut lag = text.family(&f::COMPLETION_LAG);
    lag.histogram(&details.completion_lag);
    text.family(&f::UNDELIVERABLE).value(totals.undeliverable);
    let mut samples = text.family(&f::EVENTS);
    for result in EVENT_RESULTS {
        let count = totals.events.get(result).copied().unwrap_or_default();
        samples.labelled(&[("result", result)], count);
    }
    text.family(&f::STEP_CRASHES).value(totals.step_crashes);
    text.family(&f::OVERDUE).value(totals.overdue);
    text.family(&f::UNUSABLE).value(totals.unusable);
    let mut swept_at = text.family(&f::SWEPT_AT);
    if let Some(time) = details.swept_at {
        swept_at.value(time.as_second());
    }
}

fn machine(text: &mut Text, host: &Host) {
    by(text, &f::HTTP_REQUESTS, ["route", "code"], &host.requests);
    for (family, bytes) in [
        (&f::DATABASE_SIZE, host.database_bytes),
        (&f::WAL_SIZE, host.log_bytes),
        (&f::DISK_FREE, host.free_bytes),
    ] {
        let mut samples = text.family(family);
        if let Some(bytes) = bytes {
            samples.value(bytes);
        }
    }
    let version = [("version", host.version)];
    text.family(&f::BUILD).labelled(&version, 1);
    let started = host.started_at.as_second();
    text.family(&f::START_TIME).value(started);
    let mut memory = text.family(&f::MEMORY);
    if let Some(bytes) = host.memory_bytes {
        memory.value(bytes);
    }
}

/// Writes counts by two labels.
fn by(
    text: &mut Text,
    family: &Family,
    [one, other]: [&str; 2],
    counts: &BTreeMap<(&'static str, &'static str), u64>,
) {
    let mut samples = text.family(family);
    for ((first, second), count) in counts {
        samples.labelled(&[(one, first), (other, second)], count);
    }
}

/// Returns the operations that some client may ask for.
fn permitted(app: &App) -> impl Iterator<Item = &str> {
    let clients = app.config.clients.values();
    clients.flat_map(|client| client.operations.iter().map(String::as_str))
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}
