//! A store whose loads and writes, of records and of documents, a test sees and may delay before they are made.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Document, Filter, Overdue, Page, Shelved, Store, StoreError, Write};
use jiff::Timestamp;

/// A call that is about to be made.
pub enum Call<'a> {
    Load(&'a OperationId),
    /// An insert or an update.
    Write(&'a Record),
    /// A read of the document with this key.
    LoadDocument(&'a str),
    /// A write of the document with this key.
    SwapDocument(&'a str),
}

/// A future that must complete before the call is made.
pub type Leave = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Calls `before` ahead of each load and each write of one record or document; all other calls go to the inner store at
/// once.
pub struct Intercepted<S> {
    pub inner: S,
    before: Box<dyn Fn(Call<'_>) -> Leave + Send + Sync>,
}

impl<S> Intercepted<S> {
    pub fn new(inner: S, before: impl Fn(Call<'_>) -> Leave + Send + Sync + 'static) -> Self {
        let before = Box::new(before);
        Self { inner, before }
    }
}

#[async_trait]
impl<S: Store> Store for Intercepted<S> {
    async fn insert(&self, record: &Record) -> Result<Write, StoreError> {
        (self.before)(Call::Write(record)).await;
        self.inner.insert(record).await
    }

    async fn load(&self, id: &OperationId) -> Result<Option<Record>, StoreError> {
        (self.before)(Call::Load(id)).await;
        self.inner.load(id).await
    }

    /// Returns no records, so that each record is loaded on its own.
    async fn load_many(&self, _ids: &[OperationId]) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    async fn update(&self, record: &Record) -> Result<Write, StoreError> {
        (self.before)(Call::Write(record)).await;
        self.inner.update(record).await
    }

    async fn overdue(&self, before: Timestamp, limit: usize) -> Result<Overdue, StoreError> {
        self.inner.overdue(before, limit).await
    }

    async fn set_aside(&self, ids: &[String], until: Timestamp) -> Result<(), StoreError> {
        self.inner.set_aside(ids, until).await
    }

    async fn shelved(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Shelved>, StoreError> {
        self.inner.shelved(from, to).await
    }

    async fn count_open(&self, client: &str, at_most: usize) -> Result<usize, StoreError> {
        self.inner.count_open(client, at_most).await
    }

    async fn list(&self, client: &str, filter: &Filter) -> Result<Page, StoreError> {
        self.inner.list(client, filter).await
    }

    async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.forget(before, limit).await
    }

    async fn load_document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        (self.before)(Call::LoadDocument(key)).await;
        self.inner.load_document(key).await
    }

    async fn swap_document(
        &self,
        key: &str,
        expected: u64,
        body: &str,
    ) -> Result<bool, StoreError> {
        (self.before)(Call::SwapDocument(key)).await;
        self.inner.swap_document(key, expected, body).await
    }
}
