//! Tests each rule of `decide`: a record, an event and a time go in, and the whole decision is compared.

#![cfg(test)]

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Operation};
use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::{Decision, Event, Next, Policy, Timing, decide, schedule};
use courier_core::operation::message::Message;
use courier_core::operation::{
    CallbackTarget, Delivery, Forecast, GraphView, HistoryEntry, OperationId, Outcome, Record,
    State,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::Url;

mod announcing;
mod answers;
mod authorization;
mod chain;
mod claims;
mod delivering;
mod ending;
mod erasing;
mod evidence;
mod guards;
mod legal;
mod looking;
mod messages;
mod pacing;
mod polls;
mod restoring;
mod resuming;
mod shelving;
mod snapshots;
mod spelling;
mod starts;
mod troubles;
mod waiting;

const GRAPH: &str = "https://graph.microsoft.com";
const MONITOR: &str = "https://graph.microsoft.com/v1.0/dataPolicyOperations/1";

const EXPORT: &str = "user.exportPersonalData";
const GOALS: &str = "goals.exportJob";
const SCHEDULE: &str = "team.schedule";

const DEADLINE: u64 = 48 * 3600;

/// Returns the time `seconds` after the time at which every test begins.
fn at(seconds: u64) -> Timestamp {
    let began: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
    began + Duration::from_secs(seconds)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn operation(name: &str) -> &'static Operation {
    Catalogue::shipped().find(name).unwrap()
}

/// Returns a record with a callback, created at `at(0)` and due at `at(75)`.
///
/// One start has been claimed, unless the state is `Accepted`.
fn record(operation: &str, state: State) -> Record {
    let sealed = || serde_json::from_value(json!("v1.sealed")).unwrap();
    Record {
        id: OperationId::from_key("tickets", "k"),
        revision: 7,
        writer: "w".to_owned(),
        client: "tickets".to_owned(),
        tenant: "contoso".to_owned(),
        operation: operation.to_owned(),
        reference: None,
        fingerprint: "f".to_owned(),
        parameters: parameters(operation),
        sealed_parameters: state.is_starting().then(sealed),
        callback: Some(CallbackTarget::new(sealed(), "https://tickets.example")),
        traceparent: None,
        person: None,
        acknowledged: None,
        tracestate: None,
        created_at: at(0),
        deadline: at(DEADLINE),
        due_at: Some(at(75)),
        attempt: u32::from(!matches!(state, State::Accepted { .. })),
        state,
        maybe_started: false,
        token_refused: false,
        epoch: 0,
        step_crashes: 0,
        started_at: None,
        ended_at: None,
        adopted: false,
        reason: None,
        forecast: None,
        graph: GraphView {
            client_request_id: Some("last-call".to_owned()),
            request_id: Some("last-answer".to_owned()),
            ..GraphView::default()
        },
        last_monitor: None,
        previous: None,
        resumed_from: None,
        resumed_as: None,
        sealed_result: None,
        follow_up: None,
        result: None,
        error: None,
        event: None,
        delivery: Delivery::default(),
        announcement: None,
        history: Vec::new(),
        chain: None,
        shelved_until: None,
        legal: None,
        erased_at: None,
        unknown: Map::new(),
    }
}

/// Returns what the request of each operation must have for the rules.
fn parameters(operation: &str) -> Map<String, Value> {
    let schedule = json!({ "enabled": true });
    let is_schedule = operation == SCHEDULE;
    let parameters = is_schedule.then(|| ("schedule".to_owned(), schedule));
    parameters.into_iter().collect()
}

/// Returns the forecast that most of the jobs take between one and two hours.
fn forecast() -> Forecast {
    Forecast {
        from: 46,
        shares: "1AzA1".to_owned(),
        unknown: Map::new(),
    }
}

fn accepted(operation: &str, not_before: Timestamp) -> Record {
    record(operation, State::Accepted { not_before })
}

fn starting(operation: &str, lease_until: Timestamp) -> Record {
    record(operation, State::Starting { lease_until })
}

/// Returns an export whose start got no answer and is held until `hold_until`.
fn held(hold_until: Timestamp) -> Record {
    let mut record = record(EXPORT, State::StartUnknown { hold_until });
    record.maybe_started = true;
    record.sealed_parameters = None;
    record
}

/// Returns a record that was started at `at(10)`, has epoch 3 and is polled next at `at(100)`.
fn running(operation: &str) -> Record {
    let monitor = MONITOR.to_owned();
    let mut record = record(operation, State::Running { monitor });
    record.epoch = 3;
    record.started_at = Some(at(10));
    record.due_at = Some(at(200));
    record.graph.next_poll_at = Some(at(100));
    record
}

/// Returns a record that ended at `at(1000)` and has had no delivery attempt yet.
fn ended(outcome: Outcome) -> Record {
    let record = running(EXPORT);
    let cancelled = decided(&record, &Event::Cancelled, at(1000));
    let mut record = *cancelled.write.unwrap();
    record.state = State::Ended { outcome };
    record.epoch = 3;
    record.history.clear();
    record
}

/// Returns the decision on `event` at `now`, with the default timing.
fn decided(record: &Record, event: &Event, now: Timestamp) -> Decision {
    let (graph, timing) = (Url::parse(GRAPH).unwrap(), Timing::default());
    let policy = Policy {
        operation: operation(&record.operation),
        token: operation(&record.operation).default_token(),
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: None,
    };
    decide(record, event, now, &policy)
}

/// Returns when the callback of this record is made again after `attempts` attempts, the first of them at `since`.
fn next_callback(
    record: &Record,
    since: Timestamp,
    attempts: u32,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let delivery = Delivery {
        scheduled_since: Some(since),
        scheduled_attempts: attempts,
        ..record.delivery.clone()
    };
    schedule::next_delivery(&record.id, &delivery, retry_after, now)
}

/// Returns a decision that writes and sends nothing.
fn nothing(next: Next) -> Decision {
    Decision {
        write: None,
        send: None,
        next,
    }
}

/// Returns a decision that writes the record's next revision with these changes, and sends nothing.
fn changed(record: &Record, next: Next, change: impl FnOnce(&mut Record)) -> Decision {
    let before = record.history.len();
    let mut record = record.clone();
    record.revision += 1;
    change(&mut record);
    let known = record.history.len().min(before);
    for line in record.history.split_off(known) {
        record.remember(line);
    }
    Decision {
        write: Some(Box::new(record)),
        ..nothing(next)
    }
}

/// Returns a line of the history that names the last call to Graph.
fn line(now: Timestamp, status: &str, event: &str, detail: Option<&str>) -> HistoryEntry {
    HistoryEntry {
        by: None,
        at: now,
        status: status.to_owned(),
        event: event.to_owned(),
        detail: detail.map(str::to_owned),
        http_status: None,
        latency_ms: None,
        answer_type: None,
        answer_length: None,
        answer: None,
        client_request_id: Some("last-call".to_owned()),
        request_id: Some("last-answer".to_owned()),
        digests: None,
        unknown: Map::new(),
    }
}

fn watchdog(record: &Record) -> Event {
    let operation_id = record.id.clone();
    Event::Arrived(Message::WatchdogV1 { operation_id })
}

fn poll(record: &Record, epoch: u32) -> Event {
    Event::Arrived(Message::poll(record, epoch))
}

/// Returns an answer of Graph with the request id `r`.
fn answer(status: u16, body: Value) -> Answer {
    Answer {
        status,
        body: Some(body),
        request_id: Some("r".to_owned()),
        ..Answer::default()
    }
}

fn replied(answer: Answer) -> GraphReply {
    GraphReply::Answer(Box::new(answer))
}
