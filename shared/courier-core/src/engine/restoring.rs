//! A store that was restored from a copy: its open records learn of it, and starts that may be repeats are held.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Restart};
use crate::engine::app::App;
use crate::engine::step::{StepError, commit};
use crate::lifecycle::Event;
use crate::operation::{HistoryEntry, OperationId, Record, State};
use crate::ports::StoreError;
use crate::time::milliseconds;

/// Key of the document that a copy carries, and the store that was restored from it.
pub const DOCUMENT: &str = "backup";

/// What a copy says about itself, and a store about the copy that it was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Copied {
    /// All that was acknowledged before this time is in the copy; `None` if the copy does not say.
    pub copied_at: Option<Timestamp>,
    /// `None` in a copy: its records have not learnt that they are old, so it must not be served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
    /// Time until which no new operation of restart class *never* is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_held_until: Option<Timestamp>,
}

/// Tells an open record that it comes from a copy; returns it as it is then, or `None` if it is not there.
pub async fn restore(
    app: &App,
    id: &OperationId,
    copied_at: Option<Timestamp>,
) -> Result<Option<Record>, StepError> {
    let Some(record) = app.store.load(id).await? else {
        return Ok(None);
    };
    // Nothing in this event depends on the operation, so one that has left the catalogue learns of it too.
    let operation = app.catalogue.find(&record.operation);
    let operation = operation.unwrap_or_else(|| Catalogue::stand_in());
    let event = Event::Restored { copied_at };
    let (record, _) = commit(app, record, operation, &event).await?;
    Ok(Some(record))
}

/// Writes that the store was restored, which makes it one that may be served.
pub async fn note(app: &App, copied: &Copied) -> Result<(), StoreError> {
    let body =
        serde_json::to_string(copied).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    loop {
        let found = app.store.load_document(DOCUMENT).await?;
        let revision = found.map_or(0, |found| found.revision);
        if app.store.swap_document(DOCUMENT, revision, &body).await? {
            return Ok(());
        }
    }
}

/// Holds the start of a new record for a while after a restore, if Graph would run a second job for a repeated request.
///
/// A request that came after the copy was made is forgotten with its idempotency key, so this one may repeat it.
pub(crate) fn hold_start(app: &App, record: &mut Record, now: Timestamp) {
    let held_until = app
        .copied
        .as_ref()
        .and_then(|copied| copied.starts_held_until);
    let Some(until) = held_until.filter(|until| now < *until) else {
        return;
    };
    let operation = app.catalogue.find(&record.operation);
    if operation.is_none_or(|operation| operation.restart != Restart::Never) {
        return;
    }
    record.state = State::Accepted { not_before: until };
    record.due_at = record.due_at.max(Some(until));
    let detail = format!(
        "until {}: the data was restored, and an earlier request with this key may have been forgotten",
        milliseconds(until)
    );
    let held = HistoryEntry::new(now, record.state.status(), "startHeld", Some(detail));
    record.remember(held);
}
