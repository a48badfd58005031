//! Keeps a queue below its limit of messages in flight, where a message that waits is one of them.
//!
//! The sweep measures how many there are. Above a share of the limit it has the functions *shelve* long waits: the record
//! says when the wait ends, the message is deleted, and the sweep sends another in time. Below it nothing changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::engine::app::App;
use crate::engine::step::StepError;
use crate::error_chain::chain;
use crate::operation::message::Message;
use crate::ports::{Shelved, Store, StoreError};
use crate::time::{elapsed, later};

/// The document by which the sweep tells the functions what to shelve.
pub(crate) const DOCUMENT: &str = "overflow";
/// Percent of the limit that are in flight, and the shortest wait that is shelved from there on, in seconds.
///
/// No wait is shorter than [`WAKE_AHEAD`] with the pause between two sweeps: the sweep would see it too late.
const RUNGS: [(u64, u64); 4] = [(40, 3600), (50, 1800), (55, 900), (60, 600)];
/// Percent of the limit by which the messages in flight fall below a rung before it is left.
const HYSTERESIS: u64 = 10;
/// Longest wait between two looks (`max_seconds` in the catalogue), and the pause between two sweeps, in seconds.
const LONGEST_WAIT: u64 = 21_600;
const SWEEP_PERIOD: u64 = 300;
/// Age at which a process reads the document again.
const MAX_AGE: Duration = Duration::from_secs(180);
/// Time that a process waits for the document.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Age of a measurement from which nothing is shelved: the sweep, which would have to send the messages, may be dead.
const STALE_AFTER: Duration = Duration::from_secs(20 * 60);
/// Time before the end of a shelved wait at which the sweep may send its message. It is longer than the pause between
/// two sweeps.
const WAKE_AHEAD: Duration = Duration::from_secs(7 * 60);
/// Part of that time whose messages are sent before the progress is written down.
const SLICE: Duration = Duration::from_secs(60);
/// Time after which a shelved record without a message counts as overdue, as every other one.
const LOST_AFTER: Duration = Duration::from_secs(600);
/// Time for which the sweep goes on looking for shelved records when nothing is shelved any more.
const LONGEST_SHELVED: Duration = Duration::from_secs(24 * 3600);

/// What this process knows of the queue's messages in flight.
#[derive(Default)]
pub struct Overflow {
    /// The number at which the queue hands out nothing more. `None` for a queue without such a limit.
    limit: Option<u64>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    read_at: Option<Timestamp>,
    pressure: Option<Pressure>,
}

/// The content of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pressure {
    /// The shortest wait that is shelved, in seconds.
    shelve_from: Option<u64>,
    measured_at: Timestamp,
    /// The last time at which something was shelved.
    used_at: Timestamp,
    /// The messages that the last sweep has sent.
    #[serde(default)]
    woken: u64,
    /// Shelved records that are due before this time have got their messages.
    woken_to: Timestamp,
}

impl Overflow {
    pub(crate) fn of(limit: u64) -> Self {
        Self {
            limit: Some(limit),
            seen: Mutex::default(),
        }
    }

    /// Reads what the sweep says, if that was not read within the last minutes.
    ///
    /// If it cannot be read, what was read before holds until it is stale.
    pub async fn refresh(&self, store: &dyn Store, now: Timestamp) {
        let is_fresh = |read_at: Timestamp| elapsed(read_at, now) < MAX_AGE;
        if self.limit.is_none() || self.seen().read_at.is_some_and(is_fresh) {
            return;
        }
        // Also after a failure: a store in trouble is not asked again by each batch.
        self.seen().read_at = Some(now);
        match timeout(READ_TIMEOUT, load(store)).await {
            Ok(Ok((_, pressure))) => self.seen().pressure = pressure,
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "could not read how full the queue is; what was read before holds for some minutes");
            }
            Err(_) => {
                tracing::warn!(
                    "the store did not say in time how full the queue is; what was read before holds for some minutes"
                );
            }
        }
    }

    /// Returns the shortest wait that is shelved, if waits are.
    pub(crate) fn shelve_from(&self, now: Timestamp) -> Option<Duration> {
        let seen = self.seen();
        let pressure = seen.pressure.as_ref()?;
        let is_stale = elapsed(pressure.measured_at, now) >= STALE_AFTER;
        pressure
            .shelve_from
            .filter(|_| !is_stale)
            .map(Duration::from_secs)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures the queue, tells the functions what to shelve, and sends the messages of shelved operations that will be due.
///
/// Returns the number of messages sent. It ends before `ends_at`, and the next sweep goes on where this one ended.
pub(super) async fn relieve(app: &App, ends_at: Timestamp) -> Result<usize, StepError> {
    let Some(limit) = app.overflow.limit else {
        return Ok(0);
    };
    let in_flight = app.queue.in_flight().await.unwrap_or_else(|error| {
        tracing::warn!(error = %chain(&error), "could not ask how many messages are in flight");
        None
    });
    let (revision, before) = load(&*app.store).await?;
    let Some(pressure) = measured(before.as_ref(), in_flight, limit, app.now()) else {
        return Ok(0);
    };
    let from = pressure.shelve_from;
    if from != before.and_then(|before| before.shelve_from) {
        tracing::info!(
            messages.in_flight = in_flight,
            shelved.from_seconds = from,
            "waits of another length are shelved from now on"
        );
    }
    let mut told = Told {
        app,
        revision,
        pressure,
    };
    if !told.save().await? {
        return Ok(0);
    }
    told.wake(ends_at).await
}

/// Returns what the sweep says after a measurement, or `None` where nothing is shelved and nothing can be left of it.
///
/// Without a measurement the time of the last one stays, so that the functions stop shelving when it is stale.
fn measured(
    before: Option<&Pressure>,
    in_flight: Option<u64>,
    limit: u64,
    now: Timestamp,
) -> Option<Pressure> {
    let shelved_from = before.and_then(|before| before.shelve_from);
    let shelve_from = match in_flight {
        Some(in_flight) => {
            let percent = |count: u64| count.saturating_mul(100) / limit.max(1);
            let woken = before.map_or(0, |before| before.woken);
            let back = woken.saturating_mul(sweeps_of_returning_waits(shelved_from));
            let now = rung(percent(in_flight), shelved_from);
            let then = rung(percent(in_flight.saturating_add(back)), shelved_from);
            let is_relaxed = shelved_from.is_some_and(|from| now.is_none_or(|now| now > from));
            // What is shelved now would come back into the queue, and must have room there.
            let stays = is_relaxed && then.is_some_and(|then| Some(then) <= shelved_from);
            if stays { shelved_from } else { now }
        }
        None => shelved_from,
    };
    let used_at = match (shelve_from.or(shelved_from), before) {
        (Some(_), _) => now,
        (None, Some(before)) if elapsed(before.used_at, now) < LONGEST_SHELVED => before.used_at,
        (None, _) => return None,
    };
    Some(Pressure {
        shelve_from,
        measured_at: match (in_flight, before) {
            (None, Some(before)) => before.measured_at,
            (Some(_), _) | (None, None) => now,
        },
        used_at,
        woken: before.map_or(0, |before| before.woken),
        woken_to: before.map_or(now, |before| before.woken_to),
    })
}

/// Returns the number of sweeps whose messages would wait in the queue at a time if shorter waits than the next longer
/// ones were shelved no more.
fn sweeps_of_returning_waits(shelved_from: Option<u64>) -> u64 {
    let longer = RUNGS.iter().rev().map(|(_, wait)| *wait);
    let longer = longer.filter(|wait| shelved_from.is_some_and(|from| *wait > from));
    longer.min().unwrap_or(LONGEST_WAIT) / SWEEP_PERIOD
}

/// Returns the shortest wait to shelve, in seconds, when so many percent of the limit are in flight.
fn rung(percent: u64, shelved_from: Option<u64>) -> Option<u64> {
    let holds = |(share, wait): &&(u64, u64)| {
        let is_left_later = shelved_from.is_some_and(|from| from <= *wait);
        percent >= share - if is_left_later { HYSTERESIS } else { 0 }
    };
    RUNGS.iter().rev().find(holds).map(|(_, wait)| *wait)
}

async fn load(store: &dyn Store) -> Result<(u64, Option<Pressure>), StoreError> {
    let Some(document) = store.load_document(DOCUMENT).await? else {
        return Ok((0, None));
    };
    // What a newer version says otherwise is not understood, and written anew.
    Ok((document.revision, serde_json::from_str(&document.body).ok()))
}

/// What the sweep has written, and writes again as it proceeds.
struct Told<'a> {
    app: &'a App,
    revision: u64,
    pressure: Pressure,
}

impl Told<'_> {
    async fn wake(&mut self, ends_at: Timestamp) -> Result<usize, StepError> {
        let now = self.app.now();
        let lost = now.saturating_sub(LOST_AFTER).unwrap_or(now);
        let mut from = self.pressure.woken_to.max(lost);
        let to = later(now, WAKE_AHEAD);
        let mut woken = 0;
        self.pressure.woken = 0;
        while from < to && self.app.has_time_for(Duration::ZERO, ends_at) {
            let end = later(from, SLICE).min(to);
            let shelved = self.app.store.shelved(from, end).await?;
            self.app.queue.send_all(&messages(&shelved)).await?;
            from = end;
            self.pressure.woken_to = end;
            woken += shelved.len();
            self.pressure.woken = woken as u64;
            if (!shelved.is_empty() || end == to) && !self.save().await? {
                return Ok(woken);
            }
        }
        if from < to {
            tracing::warn!(
                behind.seconds = elapsed(from, to).as_secs(),
                "the messages of shelved operations were not all sent in time; the next sweep goes on"
            );
        }
        if woken > 0 {
            tracing::info!(
                messages = woken,
                "queued the messages of shelved operations"
            );
        }
        Ok(woken)
    }

    /// Writes it, and reports whether it did: if not, another sweep has meanwhile, and goes on alone.
    async fn save(&mut self) -> Result<bool, StepError> {
        let body = serde_json::to_string(&self.pressure)
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let store = &self.app.store;
        let is_saved = store.swap_document(DOCUMENT, self.revision, &body).await?;
        self.revision += u64::from(is_saved);
        Ok(is_saved)
    }
}

fn messages(shelved: &[Shelved]) -> Vec<(Message, Timestamp)> {
    let wake = |one: &Shelved| (Message::wake(one.id.clone(), one.epoch), one.due);
    shelved.iter().map(wake).collect()
}
