//! How far this process has come with its timetable, for the next one: written every few seconds while there is work, not
//! for each poll.

use courier_core::lifecycle::resuming::LastSeen;
use courier_core::ports::StoreError;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::sqlite::database::Database;

/// Time for which one note is enough.
const NOTE_LASTS: SignedDuration = SignedDuration::from_secs(10);
const KEY: &str = "timetable";
const WRITE: &str = "INSERT INTO documents (key, revision, body) VALUES (?1, 1, ?2)
    ON CONFLICT (key) DO UPDATE SET revision = revision + 1, body = ?2";

/// Returns what the process before has left; `None` if there was none, or if it cannot be read.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<LastSeen>> {
    let sql = "SELECT body FROM documents WHERE key = ?";
    let body = connection.query_row(sql, [KEY], |row| row.get::<_, String>(0));
    let body = body.optional()?;
    Ok(body.and_then(|body| serde_json::from_str(&body).ok()))
}

impl Database {
    /// Notes that this process goes on with the messages that are due, and how far it has come.
    ///
    /// Returns the time until which the note lasts. Nothing may be done with a message after that without another note.
    pub(crate) async fn note_alive(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let until = now.checked_add(NOTE_LASTS).unwrap_or(Timestamp::MAX);
        self.note(now, until).await?;
        Ok(until)
    }

    /// Notes that this process handles no more messages.
    pub(crate) async fn note_end(&self, now: Timestamp) -> Result<(), StoreError> {
        self.note(now, now).await
    }

    /// Notes that another process may have handled messages up to now, of which this file does not know.
    pub async fn note_gap(&self, now: Timestamp) -> Result<(), StoreError> {
        let seen = self.read(|connection| Ok(read(connection)?)).await?;
        let settled = seen.map_or(Timestamp::UNIX_EPOCH, |seen| seen.settled);
        let alive_until = now;
        self.write_note(&LastSeen {
            settled,
            alive_until,
        })
        .await
    }

    async fn note(&self, now: Timestamp, alive_until: Timestamp) -> Result<(), StoreError> {
        let seen = LastSeen {
            settled: self.timetable().settled(now),
            alive_until,
        };
        self.write_note(&seen).await
    }

    async fn write_note(&self, seen: &LastSeen) -> Result<(), StoreError> {
        let body = serde_json::to_string(seen).unwrap_or_default();
        let written = self.write(move |connection| {
            connection
                .prepare_cached(WRITE)?
                .execute(params![KEY, body])?;
            Ok(())
        });
        Ok(written.await?)
    }
}
