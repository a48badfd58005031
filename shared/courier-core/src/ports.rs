//! The two ports to a platform. Each has a contract suite in `courier-testkit` that every implementation passes.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::operation::message::Message;
use crate::operation::{OperationId, Record};
pub use crate::selection::{Filter, OPEN, Order, Page, Position};

/// Keeps records durably. A write that returns `Applied` survives a crash of the process and of the machine.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores a new record, unless one with its id exists.
    async fn insert(&self, record: &Record) -> Result<Write, StoreError>;

    /// Returns the record of this id, or `None` if there is none.
    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError>;

    /// Returns those records of these ids that exist and can be read at once.
    ///
    /// A record that is left out may still exist; `load` reports whether it does.
    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError>;

    /// Replaces the record if the stored revision is `record.revision - 1`.
    ///
    /// Every write increments the revision, so this guards state, attempt and epoch at once. A refusal returns the
    /// current record. A repeat of our own write (same `writer`) counts as applied.
    async fn update(&self, record: &Record) -> Result<Write, StoreError>;

    /// Returns at most `limit` open records whose due time is before `before`, most overdue first.
    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Overdue, StoreError>;

    /// Returns the shelved records that are due at `from` or later and before `to`, in any order.
    ///
    /// Some may be missing or no longer shelved where an index is behind. A store whose host shelves none has none.
    async fn shelved(&self, _from: Timestamp, _to: Timestamp) -> Result<Vec<Shelved>, StoreError> {
        Ok(Vec::new())
    }

    /// Moves the due time of these open records to `until`, so that `overdue` shows those behind them.
    ///
    /// It is for records that cannot be helped now, also unreadable ones. They are otherwise unchanged, also in their
    /// revision, and their next write sets a due time of its own.
    async fn set_aside(&self, ids: &[String], until: Timestamp) -> Result<(), StoreError>;

    /// Returns a page of the client's records in the filter's order. The work for it is bounded however few records match.
    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError>;

    /// Counts the client's records that are not closed, up to `at_most`. The count may be some seconds old.
    async fn count_open(&self, client: &str, at_most: usize) -> Result<usize, StoreError>;

    /// Deletes at most `limit` closed records that ended before `before`, and returns how many.
    ///
    /// Returns 0 where the platform itself lets them expire.
    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Returns a small document that is kept beside the records (a team's line of starts, a rotated refresh token).
    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError>;

    /// Writes the document if its stored revision is `expected`, and reports whether it did.
    ///
    /// An `expected` of 0 means that the document does not exist yet.
    async fn swap_document(&self, key: &str, expected: u64, body: &str)
    -> Result<bool, StoreError>;
}

/// Holds messages, each of which is delivered again and again until it is deleted. The platform receives them.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Queues `message`, to be delivered at `due` or later, at least once.
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError>;

    /// Reports whether the queue certainly holds a message of the operation, so that it needs no other.
    ///
    /// `false` where the queue cannot tell.
    fn holds(&self, _id: &OperationId) -> bool {
        false
    }

    /// Queues all of these messages, each with its due time. After an error some of them may be queued.
    async fn send_all(&self, messages: &[(Message, Timestamp)]) -> Result<(), QueueError> {
        for (message, due) in messages {
            self.send(message, *due).await?;
        }
        Ok(())
    }

    /// Returns about how many messages are in flight: received and not deleted, waiting ones included.
    ///
    /// Returns `None` for a queue that has no limit of them.
    async fn in_flight(&self) -> Result<Option<u64>, QueueError> {
        Ok(None)
    }
}

/// The result of a guarded write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Applied,
    /// Another write came first; holds the current record.
    Refused(Box<Record>),
}

impl Write {
    /// Decides whether a refused write of `mine` was in fact applied, given the `current` record.
    ///
    /// It was if the current record is our own write, which the platform has repeated.
    pub fn settle(mine: &Record, current: Record) -> Self {
        if current.is_write(mine.revision, &mine.writer) {
            Self::Applied
        } else {
            Self::Refused(Box::new(current))
        }
    }
}

/// Open records whose due time has passed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overdue {
    pub records: Vec<Record>,
    /// Ids of those that cannot be read: they are damaged, or a newer version wrote them.
    pub unreadable: Vec<String>,
}

/// An operation for which no message waits: the sweep sends one when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    pub id: OperationId,
    pub epoch: u32,
    pub due: Timestamp,
}

/// A small stored document with its revision, which increases with every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub revision: u64,
    pub body: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is busy, full, read-only, throttled or unreachable. Nothing was half written; a repeat is safe.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the stored record {0} cannot be read")]
    Corrupt(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the record {0} does not exist")]
    Missing(OperationId),
}

#[derive(Debug, thiserror::Error)]
#[error("the message could not be queued")]
pub struct QueueError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
