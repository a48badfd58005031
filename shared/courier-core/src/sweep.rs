//! The net under everything: records whose message is lost get a new one; old ones are forgotten.

use std::time::Duration;

use crate::app::App;
use crate::decide::Event;
use crate::step::{self, StepError};

/// An open record this much overdue has lost its message.
const GRACE: Duration = Duration::from_secs(600);
/// Idempotency keys are promised for 30 days after the end; we keep the whole record for 90.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const BATCH: usize = 500;

/// One sweep: how many records got a new message. Call it every five minutes.
pub async fn sweep(app: &App) -> Result<usize, StepError> {
    let now = app.now();
    let before = now.saturating_sub(GRACE).unwrap_or(now);
    let overdue = app.store.overdue(before, BATCH).await?;
    let found = overdue.len();
    for record in overdue {
        let Some(operation) = app.catalogue.find(&record.operation) else {
            continue;
        };
        tracing::warn!(operation.id = %record.id, "an overdue operation gets a new message");
        step::commit(app, record, operation, &Event::Overdue).await?;
    }
    let ended_before = now.saturating_sub(KEPT).unwrap_or(now);
    app.store.forget(ended_before, BATCH).await?;
    Ok(found)
}
