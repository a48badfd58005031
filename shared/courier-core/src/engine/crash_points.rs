//! Named points before and after every durable or outgoing step, at which a test lets the program die.
//!
//! Compiled only with the feature `crash-points` *and* debug assertions: a release build has none of it whatever its
//! features are, and no normal build enables the feature.

use std::future::{Future, pending};
use std::io::Write;
use std::process::abort;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::engine::deployment::DOCUMENT;
use crate::engine::durations;
use crate::engine::overflow;
use crate::engine::platform::Platform;
use crate::operation::message::Message;
use crate::operation::{OperationId, Record, State};
use crate::outbound::{Answered, Call, Route, Transport, Unanswered};
use crate::ports::{
    Document, Filter, Overdue, Page, Queue, QueueError, Shelved, Store, StoreError,
    Write as Written,
};

/// Name of the environment variable that the mains read through [`arm`](crate::arm_crash_points).
///
/// Its value is a list of actions, separated by commas. `abort claim.write.after` aborts the process at that point.
/// `kill poll.call.before:2` blocks the task there at the second pass, until the process is killed from outside; the
/// other tasks go on. `say worker.sleep.before` or `say *` only prints. Each action is printed to standard error first.
pub const VARIABLE: &str = "COURIER_CRASH_POINT";
/// Beginning of the line that is printed before an action; the name of the point follows.
pub const TOLD: &str = "at crash point ";

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

struct Armed {
    action: Action,
    /// `name.before`, `name.after`, or `*`.
    point: String,
    /// Number of passes that are still ignored before the action; `say` acts at every pass.
    ignored_passes: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Kill,
    Say,
}

/// Reads the actions from the environment, once for the process. Aborts the process if they cannot be parsed.
pub fn arm(variable: impl Fn(&str) -> Option<String>) {
    let Some(text) = variable(VARIABLE) else {
        return;
    };
    let parsed: Option<Vec<Armed>> = text.split(',').map(Armed::parse).collect();
    let Some(armed) = parsed else {
        print_line(&format!("{VARIABLE} cannot be parsed: {text}"));
        abort();
    };
    ARMED.get_or_init(|| armed);
}

impl Armed {
    fn parse(text: &str) -> Option<Self> {
        let (action, point) = text.trim().split_once(' ')?;
        let action = match action {
            "abort" => Action::Abort,
            "kill" => Action::Kill,
            "say" => Action::Say,
            _ => return None,
        };
        let (point, number) = point.split_once(':').unwrap_or((point, "1"));
        let ignored_passes = number.parse::<usize>().ok()?.checked_sub(1)?;
        Some(Self {
            action,
            point: point.to_owned(),
            ignored_passes: AtomicUsize::new(ignored_passes),
        })
    }

    /// Counts a pass of `point` and reports whether the action is due.
    fn is_due(&self, point: &str) -> bool {
        let counted = |left: usize| left.checked_sub(1);
        (self.point == "*" || self.point == point)
            && (self.action == Action::Say
                || self
                    .ignored_passes
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, counted)
                    == Err(0))
    }
}

/// Passes the point `name.when`, `when` being `before` or `after`, and takes the actions that are due there.
pub async fn reach(name: &str, when: &str) {
    let Some(armed) = ARMED.get() else {
        return;
    };
    let point = format!("{name}.{when}");
    for one in armed.iter().filter(|one| one.is_due(&point)) {
        print_line(&format!("{TOLD}{point}"));
        match one.action {
            Action::Abort => abort(),
            Action::Kill => pending().await,
            Action::Say => {}
        }
    }
}

/// Prints a line in one write, so that lines of several tasks do not mix. Ignores a closed standard error.
fn print_line(line: &str) {
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}

async fn around<T>(name: &str, work: impl Future<Output = T>) -> T {
    reach(name, "before").await;
    let done = work.await;
    reach(name, "after").await;
    done
}

/// Wraps the ports and the transport of the platform in crash points, if any is armed.
pub(crate) fn around_all(platform: Platform) -> Platform {
    if ARMED.get().is_none() {
        return platform;
    }
    Platform {
        store: Arc::new(Around(platform.store)),
        queue: Arc::new(Around(platform.queue)),
        transport: Arc::new(Around(platform.transport)),
        ..platform
    }
}

struct Around<T>(T);

/// The deployment's document has no points: it is read at the start, when no operation is in hand.
#[async_trait]
impl Store for Around<Arc<dyn Store>> {
    async fn insert(&self, record: &Record) -> Result<Written, StoreError> {
        around("record.insert", self.0.insert(record)).await
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        around("record.read", self.0.load(id)).await
    }

    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        around("record.read", self.0.load_many(ids)).await
    }

    async fn update(&self, record: &Record) -> Result<Written, StoreError> {
        let name = match self.0.load(&record.id).await {
            Ok(Some(old)) => transition(&old, record),
            _ => "other.write",
        };
        around(name, self.0.update(record)).await
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Overdue, StoreError> {
        around("overdue.read", self.0.overdue(before, limit)).await
    }

    async fn set_aside(&self, ids: &[String], until: Timestamp) -> Result<(), StoreError> {
        self.0.set_aside(ids, until).await
    }

    async fn shelved(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Shelved>, StoreError> {
        self.0.shelved(from, to).await
    }

    async fn count_open(&self, client: &str, at_most: usize) -> Result<usize, StoreError> {
        self.0.count_open(client, at_most).await
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        self.0.list(client, filter).await
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        around("old.forget", self.0.forget(before, limit)).await
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        if is_besides(key) {
            return self.0.load_document(key).await;
        }
        around("document.read", self.0.load_document(key)).await
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
        if is_besides(key) {
            return self.0.swap_document(key, expected, body).await;
        }
        let name = match self.0.load_document(key).await {
            Ok(old) => exchange(key, old.as_ref(), body),
            Err(_) => "other.write",
        };
        around(name, self.0.swap_document(key, expected, body)).await
    }
}

#[async_trait]
impl Queue for Around<Arc<dyn Queue>> {
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        let name = match message {
            Message::WatchdogV1 { .. } => "watchdog.send",
            Message::PollV1 { epoch: 1, .. } => "poll-message.send",
            Message::PollV1 { epoch: 2, .. } => "take-over.send",
            Message::PollV1 { .. } => "anew.send",
        };
        around(name, self.0.send(message, due)).await
    }

    fn holds(&self, id: &OperationId) -> bool {
        self.0.holds(id)
    }

    async fn send_all(&self, messages: &[(Message, Timestamp)]) -> Result<(), QueueError> {
        around("wake.send", self.0.send_all(messages)).await
    }

    async fn in_flight(&self) -> Result<Option<u64>, QueueError> {
        self.0.in_flight().await
    }
}

#[async_trait]
impl Transport for Around<Arc<dyn Transport>> {
    async fn send(&self, call: Call) -> Result<Answered, Unanswered> {
        let name = match (call.route, call.method == http::Method::POST) {
            (Route::Fresh, _) => "start.call",
            (Route::Guarded, _) => "callback.call",
            (Route::Kept, true) => "token.fetch",
            (Route::Kept, false) => "poll.call",
        };
        around(name, self.0.send(call)).await
    }
}

/// Reports whether nothing but the ease of later work hangs on this document, so that it needs no crash points.
fn is_besides(key: &str) -> bool {
    [DOCUMENT, overflow::DOCUMENT].contains(&key) || key.starts_with(durations::PREFIX)
}

/// Returns the name of the point for a write of `new` over `old`.
fn transition(old: &Record, new: &Record) -> &'static str {
    let history_changed = old.history.last() != new.history.last();
    match (&old.state, &new.state) {
        _ if new.step_crashes > old.step_crashes => "stumble.write",
        _ if new.ended_at.is_some() && old.ended_at.is_none() => "ended.write",
        (State::Closed { .. }, _) => "redelivery.write",
        (_, State::Closed { .. }) => "closed.write",
        (State::Ended { .. }, State::Ended { .. }) if history_changed => "attempt.write",
        (State::Running { .. }, State::Running { .. }) if new.follow_up != old.follow_up => {
            "stage.write"
        }
        (State::Running { .. }, State::Running { .. }) if new.graph.polls > old.graph.polls => {
            "status.write"
        }
        (
            State::Starting { .. } | State::StartUnknown { .. } | State::Locating { .. },
            State::Running { .. },
        ) => "result.write",
        (State::Accepted { .. } | State::Starting { .. }, State::Locating { .. }) => "locate.write",
        (State::Locating { .. }, State::Locating { .. }) => "look.write",
        (State::Locating { .. }, State::Accepted { .. }) => "restart.write",
        (State::Accepted { .. } | State::Starting { .. }, State::StartUnknown { .. }) => {
            "hold.write"
        }
        (_, State::Starting { .. }) if new.attempt > old.attempt => "claim.write",
        (State::Starting { .. }, State::Starting { .. }) if history_changed => "lost.write",
        (State::Starting { .. }, State::Accepted { .. }) => "again.write",
        (State::Accepted { .. }, State::Accepted { .. }) if history_changed => "postpone.write",
        (before, after) if before.status() == after.status() => "due.write",
        _ => "other.write",
    }
}

/// Returns the name of the point for a write of a document.
fn exchange(key: &str, old: Option<&Document>, body: &str) -> &'static str {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let new = parsed(body);
    let length = |value: &Value| value.as_array().map_or(0, Vec::len);
    if key.starts_with("line/") {
        let before = old.map_or(0, |old| length(&parsed(&old.body)));
        return if length(&new) > before {
            "line.join"
        } else {
            "line.leave"
        };
    }
    if new["leased_until"].is_null() {
        "token.save"
    } else {
        "token.lease"
    }
}
