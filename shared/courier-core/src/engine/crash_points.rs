//! Named moments before and after every durable or outgoing step, at which a test lets the program die.
//!
//! Compiled only with the feature `crash-points` *and* debug assertions: a release build has none of it whatever its
//! features are, and no normal build asks for the feature. `COURIER_CRASH_POINT` says what to do where, as a list:
//! `abort claim.write.after` ends the process by itself; `kill poll.call.before:2` stays there, the second time, until
//! somebody kills it from outside, while the other tasks go on; `say worker.sleep.before` or `say *` only tells. Whatever
//! happens is told on standard error first.

use std::future::{Future, pending};
use std::io::Write;
use std::process::abort;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::engine::platform::Platform;
use crate::operation::message::Message;
use crate::operation::{OperationId, Record, State};
use crate::outbound::{Answered, Call, Route, Transport, Unanswered};
use crate::ports::{
    Document, Filter, Page, Queue, QueueError, Store, StoreError, Write as Written,
};

/// Read by the mains, through [`arm`](crate::arm_crash_points).
pub const VARIABLE: &str = "COURIER_CRASH_POINT";
/// What is told before anything happens; the point follows.
pub const TOLD: &str = "at crash point ";

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

struct Armed {
    action: Action,
    /// `name.before`, `name.after`, or `*`.
    point: String,
    /// Passed so often before it strikes; `say` strikes every time.
    left: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Kill,
    Say,
}

/// Reads what is to happen where, once for the process. What cannot be understood ends it.
pub fn arm(variable: impl Fn(&str) -> Option<String>) {
    let Some(text) = variable(VARIABLE) else {
        return;
    };
    let parsed: Option<Vec<Armed>> = text.split(',').map(Armed::parse).collect();
    let Some(armed) = parsed else {
        tell(&format!("{VARIABLE} is not understood: {text}"));
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
        let left = number.parse::<usize>().ok()?.checked_sub(1)?;
        Some(Self {
            action,
            point: point.to_owned(),
            left: AtomicUsize::new(left),
        })
    }

    /// Whether it strikes now.
    fn passed(&self, point: &str) -> bool {
        let counted = |left: usize| left.checked_sub(1);
        (self.point == "*" || self.point == point)
            && (self.action == Action::Say
                || self
                    .left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, counted)
                    == Err(0))
    }
}

/// The moment `name.when`, `when` being `before` or `after`. Returns unless it is armed.
pub async fn reach(name: &str, when: &str) {
    let Some(armed) = ARMED.get() else {
        return;
    };
    let point = format!("{name}.{when}");
    for one in armed.iter().filter(|one| one.passed(&point)) {
        tell(&format!("{TOLD}{point}"));
        match one.action {
            Action::Abort => abort(),
            Action::Kill => pending().await,
            Action::Say => {}
        }
    }
}

/// One write: lines of several tasks do not mix. Nothing is left to do when standard error is closed.
fn tell(line: &str) {
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}

async fn around<T>(name: &str, work: impl Future<Output = T>) -> T {
    reach(name, "before").await;
    let done = work.await;
    reach(name, "after").await;
    done
}

/// Puts the points around everything that goes through the platform, if any is armed.
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

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, StoreError> {
        around("overdue.read", self.0.overdue(before, limit)).await
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        self.0.list(client, filter).await
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        around("old.forget", self.0.forget(before, limit)).await
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        around("document.read", self.0.load_document(key)).await
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
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

/// What a write of `new` over `old` means.
fn transition(old: &Record, new: &Record) -> &'static str {
    let told = old.history.last() != new.history.last();
    match (&old.state, &new.state) {
        _ if new.step_crashes > old.step_crashes => "stumble.write",
        _ if new.ended_at.is_some() && old.ended_at.is_none() => "ended.write",
        (State::Closed { .. }, _) => "redelivery.write",
        (_, State::Closed { .. }) => "closed.write",
        (State::Ended { .. }, State::Ended { .. }) if told => "attempt.write",
        (State::Running { .. }, State::Running { .. }) if new.graph.polls > old.graph.polls => {
            "status.write"
        }
        (State::Starting { .. } | State::StartUnknown { .. }, State::Running { .. }) => {
            "result.write"
        }
        (State::Accepted { .. } | State::Starting { .. }, State::StartUnknown { .. }) => {
            "hold.write"
        }
        (_, State::Starting { .. }) if new.attempt > old.attempt => "claim.write",
        (State::Starting { .. }, State::Starting { .. }) if told => "lost.write",
        (State::Starting { .. }, State::Accepted { .. }) => "again.write",
        (State::Accepted { .. }, State::Accepted { .. }) if told => "postpone.write",
        (before, after) if before.status() == after.status() => "due.write",
        _ => "other.write",
    }
}

/// What a write of a document means.
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
