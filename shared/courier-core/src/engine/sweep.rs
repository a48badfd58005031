//! The sweeper: gives a new message to records whose message was lost, and deletes old records.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::app::App;
use crate::engine::step::{self, StepError};
use crate::error_chain::chain;
use crate::lifecycle::Event;
use crate::operation::Record;

/// Time by which an open record must be overdue before its message counts as lost.
const OVERDUE_GRACE: Duration = Duration::from_secs(600);
/// Time for which a record is kept after the end of its operation.
///
/// Idempotency keys are promised for 30 days after the end.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Most records that are read or deleted at a time.
const BATCH_RECORDS: usize = 500;

/// Runs one sweep, which finishes before `ends_at`, and returns how many records were overdue.
///
/// Call it every five minutes. A record that cannot get a message does not keep the others from theirs; the last such
/// failure is returned as the error.
pub async fn sweep(app: &App, ends_at: Timestamp) -> Result<usize, StepError> {
    let now = app.now();
    let before = now.saturating_sub(OVERDUE_GRACE).unwrap_or(now);
    let mut found = 0;
    let mut failure = None;
    loop {
        let overdue = app.store.overdue(before, BATCH_RECORDS).await?;
        let full = overdue.len() == BATCH_RECORDS;
        let mut requeued = 0;
        for record in overdue {
            if !app.has_time_for(Duration::ZERO, ends_at) {
                break;
            }
            found += 1;
            match requeue(app, record).await {
                Ok(()) => requeued += 1,
                Err(error) => failure = Some(error),
            }
        }
        if !full || requeued == 0 || !app.has_time_for(Duration::ZERO, ends_at) {
            break;
        }
    }
    app.metrics.counts().overdue += found as u64;
    let ended_before = now.saturating_sub(KEPT).unwrap_or(now);
    app.store.forget(ended_before, BATCH_RECORDS).await?;
    failure.map_or(Ok(found), Err)
}

/// Queues a new message for an overdue record.
async fn requeue(app: &App, record: Record) -> Result<(), StepError> {
    let id = record.id.clone();
    let operation = app
        .catalogue
        .find(&record.operation)
        .ok_or_else(|| StepError::UnknownOperation(record.operation.clone()));
    let committed = match operation {
        Ok(operation) => step::commit(app, record, operation, &Event::Overdue).await,
        Err(error) => Err(error),
    };
    match committed {
        Ok(_) => {
            tracing::warn!(operation.id = %id, "an operation was overdue; queued a new message for it");
        }
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "could not queue a new message for an overdue operation; the next sweep tries again");
            return Err(error);
        }
    }
    Ok(())
}
