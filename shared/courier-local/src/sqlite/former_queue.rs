//! Messages that an earlier version of the program has left in the file.
//!
//! It kept each waiting message in the table `queue`. The table stays, empty, so that that version can still use the file.

use courier_core::operation::{Record, State};
use rusqlite::{Connection, params};

use crate::sqlite::database::timestamp;

const MESSAGES: &str =
    "SELECT queue.due_at, record FROM queue JOIN operations ON id = operation_id";
const UPDATE: &str = "UPDATE operations SET record = ? WHERE id = ?";

/// Writes the times of these messages to the records and deletes the messages.
///
/// A poll without news was not written to its record then, so the time of the next one is known from the message alone.
pub(super) fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    let mut messages = connection.prepare(MESSAGES)?;
    let mut rows = messages.query([])?;
    while let Some(row) = rows.next()? {
        let due = timestamp(row.get(0)?);
        let text = row.get_ref(1)?.as_bytes().unwrap_or_default();
        // A record that cannot be read is found by the sweeper.
        let Ok(mut record) = serde_json::from_slice::<Record>(text) else {
            continue;
        };
        let planned = match &record.state {
            State::Running { .. } => &mut record.graph.next_poll_at,
            State::Ended { .. } => &mut record.delivery.next_attempt_at,
            State::Accepted { .. }
            | State::Starting { .. }
            | State::StartUnknown { .. }
            | State::Locating { .. }
            | State::Closed { .. } => continue,
        };
        if planned.is_none_or(|planned| planned < due) {
            *planned = Some(due);
            if let Ok(text) = serde_json::to_string(&record) {
                connection
                    .prepare_cached(UPDATE)?
                    .execute(params![text, record.id.as_str()])?;
            }
        }
    }
    connection.execute("DELETE FROM queue", [])?;
    Ok(())
}
