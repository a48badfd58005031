//! The sweeper: gives a new message to records whose message was lost or whose wait was shelved, and deletes old records.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::app::App;
use crate::engine::durations;
use crate::engine::overflow;
use crate::engine::step::{self, StepError};
use crate::error_chain::chain;
use crate::lifecycle::Event;
use crate::operation::Record;
use crate::time::later;

/// Time by which an open record must be overdue before its message counts as lost.
const OVERDUE_GRACE: Duration = Duration::from_secs(600);
/// Time after which a sweep looks again at an overdue record that could not be helped.
const SET_ASIDE_FOR: Duration = Duration::from_secs(3600);
/// Most overdue records that are read at a time.
const BATCH_RECORDS: usize = 500;
/// Most old records that are deleted at a time, so that no other write waits long.
const FORGOTTEN_AT_ONCE: usize = 100;

/// Runs one sweep, which finishes before `ends_at`, and returns how many records were overdue.
///
/// Call it every five minutes. A record that cannot get a message does not keep the others from theirs: its due time is
/// moved. The last failure of the store or the queue is returned as the error.
pub async fn sweep(app: &App, ends_at: Timestamp) -> Result<usize, StepError> {
    let mut sweep = Sweep::default();
    // First, because those messages have a time. A failure keeps no overdue record from its message.
    let relieved = overflow::relieve(app, ends_at).await;
    let swept = sweep.requeue_overdue(app, ends_at).await;
    sweep.report(app);
    durations::merge_all(app).await;
    forget(app, ends_at).await?;
    swept?;
    relieved?;
    sweep.failure.map_or(Ok(sweep.found), Err)
}

/// What one sweep has met so far.
#[derive(Default)]
struct Sweep {
    found: usize,
    /// Records that this program cannot read, or of an operation that its catalogue does not have.
    unusable: BTreeSet<String>,
    /// Records that got no message because the store or the queue failed.
    failed: BTreeSet<String>,
    failure: Option<StepError>,
}

impl Sweep {
    async fn requeue_overdue(&mut self, app: &App, ends_at: Timestamp) -> Result<(), StepError> {
        let now = app.now();
        let before = now.saturating_sub(OVERDUE_GRACE).unwrap_or(now);
        loop {
            let overdue = app.store.overdue(before, BATCH_RECORDS).await?;
            let full = overdue.records.len() + overdue.unreadable.len() >= BATCH_RECORDS;
            let without_message = self.unusable.len() + self.failed.len();
            // A message may have to wait longer than the record expected.
            let (held, lost): (Vec<_>, Vec<_>) = overdue
                .records
                .into_iter()
                .partition(|record| app.queue.holds(&record.id));
            let held: Vec<_> = held.into_iter().map(|one| String::from(one.id)).collect();
            let mut helped = held.len();
            self.unusable.extend(overdue.unreadable.iter().cloned());
            let (mut unusable, mut failed) = (overdue.unreadable, Vec::new());
            for record in lost {
                if !app.has_time_for(Duration::ZERO, ends_at) {
                    break;
                }
                self.found += 1;
                let id = String::from(record.id.clone());
                match requeue(app, record).await {
                    Ok(()) => helped += 1,
                    Err(StepError::UnknownOperation(_)) => {
                        self.unusable.insert(id.clone());
                        unusable.push(id);
                    }
                    Err(error) => {
                        tracing::error!(operation.id = %id, error = %chain(&error), "could not queue a new message for an overdue operation; a later sweep tries again");
                        self.failure = Some(error);
                        self.failed.insert(id.clone());
                        failed.push(id);
                    }
                }
            }
            let set_aside = [
                (unusable, later(now, SET_ASIDE_FOR)),
                (failed, now),
                (held, now),
            ];
            for (ids, until) in set_aside {
                if !ids.is_empty() {
                    app.store.set_aside(&ids, until).await?;
                }
            }
            // An index that is behind may show the same records again.
            let news = self.unusable.len() + self.failed.len() > without_message || helped > 0;
            if !full || !news || !app.has_time_for(Duration::ZERO, ends_at) {
                return Ok(());
            }
        }
    }

    /// Counts what was found, and logs the unusable records in one line: they may be many, and stay for long.
    fn report(&self, app: &App) {
        let mut counts = app.metrics.counts();
        counts.overdue += self.found as u64;
        counts.unusable += self.unusable.len() as u64;
        drop(counts);
        if let Some(first) = self.unusable.first() {
            tracing::error!(records = self.unusable.len(), operation.id = %first, "overdue records cannot be read, or their operation is not in the catalogue; a newer version may know them. They are left alone for an hour");
        }
    }
}

/// Deletes the records whose retention is over, in batches between which other writes go on.
async fn forget(app: &App, ends_at: Timestamp) -> Result<(), StepError> {
    let now = app.now();
    let before = now.saturating_sub(app.config.retention).unwrap_or(now);
    loop {
        let forgotten = app.store.forget(before, FORGOTTEN_AT_ONCE).await?;
        if forgotten < FORGOTTEN_AT_ONCE || !app.has_time_for(Duration::ZERO, ends_at) {
            return Ok(());
        }
    }
}

/// Queues a new message for an overdue record.
async fn requeue(app: &App, record: Record) -> Result<(), StepError> {
    let id = record.id.clone();
    let Some(operation) = app.catalogue.find(&record.operation) else {
        return Err(StepError::UnknownOperation(record.operation));
    };
    step::commit(app, record, operation, &Event::Overdue).await?;
    tracing::warn!(operation.id = %id, "an operation was overdue; queued a new message for it");
    Ok(())
}
