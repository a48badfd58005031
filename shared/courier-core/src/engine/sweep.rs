//! The net under everything: records whose message is lost get a new one; old ones are forgotten.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::app::App;
use crate::engine::step::{self, StepError};
use crate::error_chain::chain;
use crate::lifecycle::Event;
use crate::operation::Record;

/// An open record this much overdue has lost its message.
const GRACE: Duration = Duration::from_secs(600);
/// Idempotency keys are promised for 30 days after the end; we keep the whole record for 90.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const BATCH: usize = 500;

/// One sweep, over before `ends_at`: how many records were overdue. Call it every five minutes.
///
/// A record that cannot be helped now keeps none of the others from it; the last such trouble is the error.
pub async fn sweep(app: &App, ends_at: Timestamp) -> Result<usize, StepError> {
    let now = app.now();
    let before = now.saturating_sub(GRACE).unwrap_or(now);
    let mut found = 0;
    let mut trouble = None;
    loop {
        let overdue = app.store.overdue(before, BATCH).await?;
        let full = overdue.len() == BATCH;
        let mut helped = 0;
        for record in overdue {
            if !app.has_time_for(Duration::ZERO, ends_at) {
                break;
            }
            found += 1;
            match help(app, record).await {
                Ok(()) => helped += 1,
                Err(error) => trouble = Some(error),
            }
        }
        if !full || helped == 0 || !app.has_time_for(Duration::ZERO, ends_at) {
            break;
        }
    }
    app.metrics.counts().overdue += found as u64;
    let ended_before = now.saturating_sub(KEPT).unwrap_or(now);
    app.store.forget(ended_before, BATCH).await?;
    trouble.map_or(Ok(found), Err)
}

/// Queues the message anew that an overdue record has lost.
async fn help(app: &App, record: Record) -> Result<(), StepError> {
    let id = record.id.clone();
    let operation = app
        .catalogue
        .find(&record.operation)
        .ok_or_else(|| StepError::UnknownOperation(record.operation.clone()));
    let helped = match operation {
        Ok(operation) => step::commit(app, record, operation, &Event::Overdue).await,
        Err(error) => Err(error),
    };
    match helped {
        Ok(_) => tracing::warn!(operation.id = %id, "an overdue operation has a new message"),
        Err(error) => {
            tracing::error!(operation.id = %id, error = %chain(&error), "an overdue operation got no message");
            return Err(error);
        }
    }
    Ok(())
}
