//! A data file in a directory of its own.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use courier_core::operation::OperationId;
use courier_core::operation::message::Message;
use courier_core::ports::{Queue, QueueError};
use courier_local::{Capacity, Database, Options, Receipt};
use courier_testkit::contract_queue::{Consumer, Taken};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

/// A test that waits longer than this for an event has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Workspace {
    directory: TempDir,
    pub(crate) database: Database,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        Self::open(tempfile::tempdir().unwrap(), options)
    }

    /// Opens the data file that is in the directory already.
    pub(crate) fn at(directory: TempDir) -> Self {
        Self::open(directory, &Options::default())
    }

    fn open(directory: TempDir, options: &Options) -> Self {
        let database = Database::open_with(&directory.path().join("courier.db"), options).unwrap();
        Self {
            directory,
            database,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("courier.db")
    }

    /// Another process' view of the file.
    pub(crate) fn sqlite(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> u32 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.sqlite().query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    /// Claims all messages, and returns their operations.
    pub(crate) fn messages(&self) -> Vec<OperationId> {
        let all = Capacity::in_turn(usize::MAX);
        let received = self.database.receive(Timestamp::MAX, &all, Timestamp::MAX);
        let ids = received
            .iter()
            .map(|one| one.message.operation_id().clone());
        ids.collect()
    }

    /// Leaves the file as a killed process does: nothing is closed before the next one opens it.
    pub(crate) fn reopened(mut self) -> Self {
        self.database = Database::open(&self.path()).unwrap();
        self
    }
}

#[async_trait]
impl Queue for Workspace {
    async fn send(&self, message: &Message, due: Timestamp) -> Result<(), QueueError> {
        self.database.send(message, due).await
    }
}

impl Consumer for Workspace {
    type Receipt = Receipt;

    async fn receive(
        &self,
        now: Timestamp,
        limit: usize,
        visible_again: Timestamp,
    ) -> Result<Vec<Taken<Receipt>>, QueueError> {
        let received = self
            .database
            .receive(now, &Capacity::in_turn(limit), visible_again);
        let taken = received.into_iter().map(|received| Taken {
            message: received.message,
            receipt: received.receipt,
            receives: received.receives,
        });
        Ok(taken.collect())
    }

    async fn delete(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.database.delete(receipt);
        Ok(())
    }

    async fn postpone(&self, receipt: &Receipt, until: Timestamp) -> Result<(), QueueError> {
        self.database.postpone(receipt, until);
        Ok(())
    }
}

/// The event must come; a test that would hang fails instead.
pub(crate) async fn soon<F: Future>(event: F) -> F::Output {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("it should have happened by now")
}
