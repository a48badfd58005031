//! The errors of work on the database, and their conversion to the errors of the ports.

use std::path::PathBuf;
use std::sync::Arc;

use courier_core::operation::OperationId;
use courier_core::ports::{QueueError, StoreError};

/// An error of work on the database; nothing of that work was written.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the database refused")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    #[error("the stored record {0} cannot be read")]
    Corrupt(String, #[source] Unreadable),
    #[error("the record {0} does not exist")]
    Missing(OperationId),
    #[error("a value cannot be stored")]
    Unstorable(#[source] Arc<serde_json::Error>),
    #[error("the database is closed")]
    Closed,
    #[error("{} was deleted, moved or replaced while this program uses it", .0.display())]
    Gone(PathBuf),
}

/// The position at which stored JSON is invalid. The parser's own message is left out because it quotes stored data.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{category:?} error in line {line}, column {column}")]
pub(crate) struct Unreadable {
    category: serde_json::error::Category,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self {
            category: error.classify(),
            line: error.line(),
            column: error.column(),
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Corrupt(id, cause) => Self::Corrupt(id, Box::new(cause)),
            Failure::Missing(id) => Self::Missing(id),
            Failure::Sqlite(_) | Failure::Unstorable(_) | Failure::Closed | Failure::Gone(_) => {
                Self::Unavailable(Box::new(failure))
            }
        }
    }
}

impl From<Failure> for QueueError {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}
