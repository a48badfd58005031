//! The two seams to a platform. Each has a contract suite in `courier-testkit` that every implementation passes.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::operation::message::Message;
use crate::operation::{OperationId, Record};

/// Durable records. A write that returns `Applied` survives a crash of the process and of the machine.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores a new record unless its id exists.
    async fn insert(&self, record: &Record) -> Result<Write, StoreError>;

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError>;

    /// The records of these ids, as far as they exist and can be read at once; `load` tells what is missing.
    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError>;

    /// Replaces the record if the stored revision is `record.revision - 1`.
    ///
    /// The revision moves with every write, so this guards state, attempt and epoch at once. A refusal returns the
    /// current record. A repeat of our own write (same `writer`) counts as applied.
    async fn update(&self, record: &Record) -> Result<Write, StoreError>;

    /// Open records whose `due_at` is before `before`, most overdue first, at most `limit`.
    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// The client's records, newest first.
    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError>;

    /// Forgets closed records that ended before `before`, at most `limit`. Returns how many; 0 where the platform
    /// itself lets them expire.
    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// A small document beside the records (a team's line of starts, a rotated refresh token).
    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError>;

    /// Writes the document if its stored revision is `expected` (0: it does not exist yet). `false` when refused.
    async fn swap_document(&self, key: &str, expected: u64, body: &str)
    -> Result<bool, StoreError>;
}

/// Messages that come back until they are deleted. How they are received is the platform's business.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Queues `message`, to be delivered at `due` or later, at least once.
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError>;
}

/// What became of a guarded write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Applied,
    /// Somebody else was first: the record as it stands.
    Refused(Box<Record>),
}

impl Write {
    /// Judges a refused write of `mine` against the `current` record: our own write, seen twice, was applied.
    pub fn settle(mine: &Record, current: Record) -> Self {
        if current.revision == mine.revision && current.writer == mine.writer {
            Self::Applied
        } else {
            Self::Refused(Box::new(current))
        }
    }
}

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A public status word (`running`, `succeeded`, …).
    pub status: Option<String>,
    pub operation: Option<String>,
    pub reference: Option<String>,
    /// A word of the callback (`pending`, `undeliverable`, …).
    pub callback: Option<String>,
    /// Opaque, from `Page::next`.
    pub cursor: Option<String>,
    pub limit: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub revision: u64,
    pub body: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Busy, full, read-only, throttled, unreachable: nothing was half written; a repeat is safe.
    #[error("the store cannot be used now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the stored record {0} cannot be read")]
    Corrupt(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the record {0} does not exist")]
    Missing(OperationId),
    #[error("the cursor is not one of ours")]
    BadCursor,
}

#[derive(Debug, thiserror::Error)]
#[error("the message could not be queued")]
pub struct QueueError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
