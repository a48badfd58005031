//! The net under everything: records whose message is lost get a new one; old ones are forgotten.

use std::time::Duration;

use jiff::Timestamp;

use crate::app::App;
use crate::decide::Event;
use crate::step::{self, StepError, chain};

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
    let overdue = app.store.overdue(before, BATCH).await?;
    let found = overdue.len();
    app.metrics.counts().overdue += found as u64;
    let mut trouble = None;
    for record in overdue {
        let Some(operation) = app.catalogue.find(&record.operation) else {
            continue;
        };
        if !app.fits(Duration::ZERO, ends_at) {
            break;
        }
        let id = record.id.clone();
        tracing::warn!(operation.id = %id, "an overdue operation gets a new message");
        if let Err(error) = step::commit(app, record, operation, &Event::Overdue).await {
            tracing::error!(operation.id = %id, error = %chain(&error), "it did not get one");
            trouble = Some(error);
        }
    }
    let ended_before = now.saturating_sub(KEPT).unwrap_or(now);
    app.store.forget(ended_before, BATCH).await?;
    trouble.map_or(Ok(found), Err)
}
