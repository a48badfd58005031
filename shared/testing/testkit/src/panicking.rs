//! A store that panics with the record at hand, as an `expect` or an assertion in our own code might.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Document, Filter, Page, Store, StoreError, Write};
use courier_local::Database;
use jiff::Timestamp;

/// Panics at one write; before and after it is the database.
pub struct Panicking {
    database: Database,
    writes_before: AtomicUsize,
}

impl Panicking {
    pub fn new(database: Database, writes_before: usize) -> Self {
        Self {
            database,
            writes_before: AtomicUsize::new(writes_before),
        }
    }

    fn write(&self, record: &Record) {
        // Wraps around, to be at nought only once.
        let left = self.writes_before.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(left, 0, "{record:?} {record:#?}");
    }
}

#[async_trait]
impl Store for Panicking {
    async fn insert(&self, record: &Record) -> Result<Write, StoreError> {
        self.write(record);
        self.database.insert(record).await
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        self.database.load(id).await
    }

    async fn load_many(&self, ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        self.database.load_many(ids).await
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        self.write(record);
        self.database.update(record).await
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.database.overdue(before, limit).await
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        self.database.list(client, filter).await
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.database.forget(before, limit).await
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        self.database.load_document(key).await
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
        self.database.swap_document(key, expected, body).await
    }
}
