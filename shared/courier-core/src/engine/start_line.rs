//! Serialised starts: operations on one resource start in the order they joined, so that an old write never
//! overwrites a newer one: repeating a PUT is harmless only while nothing newer has been written.

use serde_json::Value;

use crate::catalogue::Operation;
use crate::engine::app::App;
use crate::operation::message::Message;
use crate::operation::{OperationId, Record};
use crate::ports::{Document, StoreError};

/// Attempts to write the line before the caller tries again later; each fails because another process wrote first.
const MAX_WRITE_ATTEMPTS: usize = 8;

/// Joins the line of the record's resource and reports whether it is this record's turn.
///
/// A record whose operation has no line is always first.
pub(crate) async fn turn(
    app: &App,
    record: &Record,
    operation: &Operation,
) -> Result<bool, StoreError> {
    let Some(key) = key(record, operation) else {
        return Ok(true);
    };
    for _ in 0..MAX_WRITE_ATTEMPTS {
        let (revision, before) = read(app.store.load_document(&key).await?);
        let mut line = before.clone();
        if !line.contains(&record.id) {
            line.push(record.id.clone());
        }
        while let Some(first) = line.first().filter(|first| **first != record.id) {
            let ahead = app.store.load(first).await?;
            if ahead.is_some_and(|ahead| app.may_start(&ahead)) {
                break;
            }
            line.remove(0);
        }
        if line == before
            || app
                .store
                .swap_document(&key, revision, &write(&line))
                .await?
        {
            return Ok(line.first() == Some(&record.id));
        }
    }
    Ok(false)
}

/// Leaves the line and wakes the next operation in it.
///
/// This only saves time: [`turn`] removes operations that have started.
pub(crate) async fn leave(app: &App, record: &Record, operation: &Operation) {
    let Some(key) = key(record, operation) else {
        return;
    };
    let Ok(stored) = app.store.load_document(&key).await else {
        return;
    };
    let (revision, mut line) = read(stored);
    line.retain(|id| *id != record.id);
    let Ok(true) = app.store.swap_document(&key, revision, &write(&line)).await else {
        return;
    };
    if let Some(next) = line.first() {
        let message = Message::WatchdogV1 {
            operation_id: next.clone(),
        };
        if let Err(error) = app.queue.send(&message, app.now()).await {
            tracing::warn!(operation.id = %next, %error, "could not wake the next operation in the line of starts; it starts when its own message is due");
        }
    }
}

fn key(record: &Record, operation: &Operation) -> Option<String> {
    let value = record
        .parameters
        .get(operation.serialize_by.as_ref()?)
        .and_then(Value::as_str)?;
    let resource = value.to_ascii_lowercase();
    Some(format!(
        "line/{}/{}/{resource}",
        record.tenant, operation.name
    ))
}

fn read(stored: Option<Document>) -> (u64, Vec<OperationId>) {
    stored.map_or_else(Default::default, |document| {
        let line = serde_json::from_str(&document.body).unwrap_or_default();
        (document.revision, line)
    })
}

fn write(line: &[OperationId]) -> String {
    Value::from(line.iter().map(OperationId::as_str).collect::<Vec<_>>()).to_string()
}
