//! Metrics as lines of the log, in CloudWatch's embedded metric format (`_aws.CloudWatchMetrics`).

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use courier_core::engine::metrics::{Counts, Metrics};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// Shortest time between two reports of polls alone: a line costs more than the invocation it reports.
const POLLS_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
const NAMESPACE: &str = "GraphCourier";

/// Collects the counts of this process and writes them to standard output.
pub struct Emf {
    table: String,
    unreported: Mutex<Unreported>,
}

#[derive(Default)]
struct Unreported {
    counts: Counts,
    reported_at: Option<Timestamp>,
}

impl Emf {
    pub fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            unreported: Mutex::default(),
        }
    }

    /// Writes the counts since the last call. Polls alone are kept back if something was reported within
    /// `POLLS_INTERVAL`.
    pub fn report(&self, metrics: &Metrics, now: Timestamp) {
        let mut unreported = self
            .unreported
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let polls = std::mem::take(&mut unreported.counts.polls);
        let mut counts = metrics.take();
        counts.polls += polls;
        let only_polls = Counts {
            polls: counts.polls,
            ..Counts::default()
        };
        let recently = unreported
            .reported_at
            .is_some_and(|reported| now.duration_since(reported) < POLLS_INTERVAL);
        if counts == Counts::default() {
            return;
        }
        if counts == only_polls && recently {
            unreported.counts = counts;
            return;
        }
        unreported.reported_at = Some(now);
        let mut output = std::io::stdout().lock();
        for line in lines(&self.table, &counts, now) {
            // A metric that cannot be written must not fail the work that it counts.
            let _ = writeln!(output, "{line}");
        }
    }
}

/// Returns the lines that report these counts.
pub fn lines(table: &str, counts: &Counts, now: Timestamp) -> Vec<Value> {
    let mut plain = Map::new();
    for (name, value) in [
        ("Started", counts.started),
        ("Polls", counts.polls),
        ("Throttled", counts.throttled),
        ("StartUnknown", counts.start_unknown),
        ("Undeliverable", counts.undeliverable),
        ("AuthorizationLost", counts.authorization_lost),
        ("Stumbled", counts.step_crashes),
        ("Overdue", counts.overdue),
        ("Unusable", counts.unusable),
        ("EventsRefused", counts.events_refused),
    ] {
        if value > 0 {
            plain.insert(name.to_owned(), json!(value));
        }
    }
    if !counts.completion_lags.is_empty() {
        let lags = counts
            .completion_lags
            .iter()
            .map(|lag| lag.as_secs_f64() * 1000.0);
        plain.insert("CompletionLag".to_owned(), lags.collect());
    }
    let mut lines = Vec::new();
    if !plain.is_empty() {
        lines.push(line(table, None, plain, now));
    }
    for (metric, dimension, values) in [
        ("Ended", "Outcome", &counts.ended),
        ("Callbacks", "Result", &counts.callbacks),
        ("Events", "Result", &counts.events),
    ] {
        for (value, count) in values {
            let metrics = Map::from_iter([(metric.to_owned(), json!(count))]);
            lines.push(line(table, Some((dimension, value)), metrics, now));
        }
    }
    lines
}

fn line(
    table: &str,
    dimension: Option<(&str, &str)>,
    metrics: Map<String, Value>,
    now: Timestamp,
) -> Value {
    let definitions: Vec<Value> = metrics.keys().map(|name| definition(name)).collect();
    let mut names = vec!["Table"];
    let mut document = metrics;
    document.insert("Table".to_owned(), json!(table));
    if let Some((name, value)) = dimension {
        names.push(name);
        document.insert(name.to_owned(), json!(value));
    }
    let directive = json!({
        "Timestamp": now.as_millisecond(),
        "CloudWatchMetrics": [
            { "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions }
        ],
    });
    document.insert("_aws".to_owned(), directive);
    Value::Object(document)
}

fn definition(name: &str) -> Value {
    let unit = if name == "CompletionLag" {
        "Milliseconds"
    } else {
        "Count"
    };
    json!({ "Name": name, "Unit": unit })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_names_its_metrics_dimensions_and_values() {
        let counts = Counts {
            started: 2,
            completion_lags: vec![Duration::from_millis(1500)],
            ended: [("succeeded", 1)].into(),
            ..Counts::default()
        };
        let lines = lines("courier", &counts, Timestamp::UNIX_EPOCH);
        assert_eq!(
            lines,
            [
                json!({
                    "_aws": { "Timestamp": 0, "CloudWatchMetrics": [{
                        "Namespace": "GraphCourier",
                        "Dimensions": [["Table"]],
                        "Metrics": [
                            { "Name": "Started", "Unit": "Count" },
                            { "Name": "CompletionLag", "Unit": "Milliseconds" },
                        ],
                    }] },
                    "Table": "courier", "Started": 2, "CompletionLag": [1500.0],
                }),
                json!({
                    "_aws": { "Timestamp": 0, "CloudWatchMetrics": [{
                        "Namespace": "GraphCourier",
                        "Dimensions": [["Table", "Outcome"]],
                        "Metrics": [{ "Name": "Ended", "Unit": "Count" }],
                    }] },
                    "Table": "courier", "Outcome": "succeeded", "Ended": 1,
                }),
            ]
        );
    }
}
