//! The `Queue` port and its consumer side: one row per operation, which holds the operation's newest message.
//!
//! A message never replaces one with a higher epoch: its step would only find that it is outdated, and the row is all
//! that keeps the operation going.

use std::sync::Arc;

use async_trait::async_trait;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::sqlite::database::{Database, nanoseconds, timestamp};
use crate::sqlite::failure::{Failure, Unreadable};
use crate::sqlite::flows::{self, Capacity, Due, flow_of};

/// Pause before a message that this program cannot read (a newer version wrote it) is received again.
const UNREADABLE_MESSAGE_PAUSE: SignedDuration = SignedDuration::from_mins(15);

macro_rules! send {
    ($condition:literal) => {
        concat!(
            "INSERT INTO queue (operation_id, hop, due_at, receives, receipt, message, flow)
            VALUES (?1, ?2, ?3, 0, NULL, ?4, ",
            flow_of!("?1"),
            ") ON CONFLICT DO ",
            $condition
        )
    };
}

const SEND: &str = send!(
    "UPDATE SET hop = ?2, due_at = ?3, receives = 0, receipt = NULL, message = ?4, flow = excluded.flow
    WHERE hop <= ?2 AND (message <> ?4 OR due_at <> ?3 OR receives <> 0)"
);
/// Reports whether `SEND` would change nothing.
const IS_ALREADY_SENT: &str = "SELECT hop > ?2 OR (message = ?4 AND due_at = ?3 AND receives = 0)
    FROM queue WHERE operation_id = ?1";
const SEND_IF_NONE: &str = send!("NOTHING");
const SEND_AFTER_WATCHDOG: &str = send!(
    "UPDATE SET hop = ?2, due_at = ?3, receives = 0, receipt = NULL, message = ?4, flow = excluded.flow
    WHERE hop = 0"
);
const CLAIM: &str = "UPDATE queue SET receipt = random(), due_at = ?2, receives = receives + 1
    WHERE operation_id = ?1 RETURNING receipt";
const SET_FLOW: &str = concat!(
    "UPDATE queue SET flow = ",
    flow_of!("?1"),
    " WHERE operation_id = ?1 AND flow <> ",
    flow_of!("?1")
);

/// A message that this process has received and claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub message: Message,
    pub receipt: Receipt,
    /// Number of receives, this one included.
    pub receives: u32,
    /// The earliest time at which it could have been received.
    pub due: Timestamp,
    /// Whom the message works for and at what.
    pub flow: String,
}

/// Identifies one claim; it is invalid once the message is claimed or sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    operation_id: String,
    number: i64,
}

#[async_trait]
impl Queue for Database {
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        let entry = Arc::new(Entry::new(message, due)?);
        let sent = Arc::clone(&entry);
        // Usually the write of the record has already sent the message, and then no second commit is waited for.
        if !self
            .read(move |connection| sent.is_sent(connection))
            .await?
        {
            self.write(move |connection| entry.send(connection)).await?;
        }
        self.announce(due);
        Ok(())
    }
}

impl Database {
    /// Claims messages that are due, the longest due first of each flow, as far as its share of `capacity` goes.
    ///
    /// They are visible again at `visible_again` unless deleted or postponed.
    pub async fn receive(
        &self,
        now: Timestamp,
        capacity: &Capacity,
        visible_again: Timestamp,
    ) -> Result<Vec<Received>, QueueError> {
        let capacity = capacity.clone();
        let received = self.write(move |connection| {
            let due = flows::due(connection, now, &capacity)?;
            claim(connection, due, now, visible_again)
        });
        Ok(received.await?)
    }

    pub async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let receipt = receipt.clone();
        let deleted = self.write(move |connection| {
            let sql = "DELETE FROM queue WHERE operation_id = ? AND receipt = ?";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![receipt.operation_id, receipt.number])?;
            Ok(())
        });
        Ok(deleted.await?)
    }

    /// Makes the claimed message visible again at `until` instead of at the end of its visibility timeout.
    pub async fn postpone(&self, receipt: &Receipt, until: Timestamp) -> Result<(), QueueError> {
        let receipt = receipt.clone();
        let postponed = self.write(move |connection| {
            let sql = "UPDATE queue SET due_at = ? WHERE operation_id = ? AND receipt = ?";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![
                nanoseconds(until),
                receipt.operation_id,
                receipt.number
            ])?;
            Ok(())
        });
        postponed.await?;
        self.announce(until);
        Ok(())
    }

    /// Returns the time at which the next message is due or visible again.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, QueueError> {
        self.next_due_after(Timestamp::MIN).await
    }

    /// Returns the earliest time after `time` at which a message is due or visible again.
    pub async fn next_due_after(&self, time: Timestamp) -> Result<Option<Timestamp>, QueueError> {
        let after = nanoseconds(time);
        let due = self.read(move |connection| {
            let sql = "SELECT due_at FROM queue WHERE due_at > ? ORDER BY due_at LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let due = statement.query_row([after], |row| row.get::<_, i64>(0));
            Ok(due.optional()?)
        });
        Ok(due.await?.map(timestamp))
    }
}

/// A message in its stored form, encoded outside the writer thread.
pub(crate) struct Entry {
    operation_id: String,
    epoch: u32,
    due: i64,
    message: String,
}

impl Entry {
    pub(crate) fn new(message: &Message, due: Timestamp) -> Result<Self, Failure> {
        let epoch = match message {
            Message::WatchdogV1 { .. } => 0,
            Message::PollV1 { epoch, .. } => *epoch,
        };
        Ok(Self {
            operation_id: message.operation_id().as_str().to_owned(),
            epoch,
            due: nanoseconds(due),
            message: serde_json::to_string(message)
                .map_err(|error| Failure::Unstorable(Arc::new(error)))?,
        })
    }

    /// Replaces the operation's message, unless the stored one is identical and not yet received.
    pub(crate) fn send(&self, connection: &Connection) -> Result<(), Failure> {
        self.execute(connection, SEND)
    }

    pub(crate) fn send_if_none(&self, connection: &Connection) -> Result<(), Failure> {
        self.execute(connection, SEND_IF_NONE)
    }

    /// Replaces the watchdog with the message that carries the polling; an existing polling message stays.
    pub(crate) fn send_after_watchdog(&self, connection: &Connection) -> Result<(), Failure> {
        self.execute(connection, SEND_AFTER_WATCHDOG)
    }

    fn is_sent(&self, connection: &Connection) -> Result<bool, Failure> {
        let mut statement = connection.prepare_cached(IS_ALREADY_SENT)?;
        let values = params![self.operation_id, self.epoch, self.due, self.message];
        let sent = statement.query_row(values, |row| row.get(0)).optional()?;
        Ok(sent.unwrap_or(false))
    }

    fn execute(&self, connection: &Connection, sql: &str) -> Result<(), Failure> {
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(params![
            self.operation_id,
            self.epoch,
            self.due,
            self.message
        ])?;
        Ok(())
    }
}

pub(crate) fn remove(connection: &Connection, operation_id: &str) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("DELETE FROM queue WHERE operation_id = ?")?;
    statement.execute([operation_id])?;
    Ok(())
}

/// Sets the flow of the operation's message after its record has changed.
pub(crate) fn set_flow(connection: &Connection, operation_id: &str) -> Result<(), Failure> {
    connection
        .prepare_cached(SET_FLOW)?
        .execute([operation_id])?;
    Ok(())
}

fn claim(
    connection: &Connection,
    due: Vec<Due>,
    now: Timestamp,
    visible_again: Timestamp,
) -> Result<Vec<Received>, Failure> {
    let mut claim = connection.prepare_cached(CLAIM)?;
    let mut received = Vec::with_capacity(due.len());
    for Due {
        operation_id,
        message,
        receives,
        due_at,
        flow,
    } in due
    {
        match serde_json::from_str(&message) {
            Ok(message) => {
                let number = claim
                    .query_row(params![operation_id, nanoseconds(visible_again)], |row| {
                        row.get(0)
                    })?;
                received.push(Received {
                    message,
                    receipt: Receipt {
                        operation_id,
                        number,
                    },
                    receives: receives.saturating_add(1),
                    due: timestamp(due_at),
                    flow,
                });
            }
            Err(error) => {
                let error = Unreadable::from(error);
                tracing::error!(operation.id = %operation_id, %error, "a queued message cannot be read; it is received again after a pause");
                let again = now
                    .checked_add(UNREADABLE_MESSAGE_PAUSE)
                    .unwrap_or(Timestamp::MAX);
                claim.query_row(params![operation_id, nanoseconds(again)], |_| Ok(()))?;
            }
        }
    }
    Ok(received)
}
