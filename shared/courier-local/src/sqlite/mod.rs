//! The ports on one SQLite file.
//!
//! `database` opens the file, `connection_threads` owns the two connections and commits in groups, `store` and `queue`
//! implement the ports, and `failure` holds their common errors.

mod connection_threads;
mod data_file;
mod database;
mod failure;
mod flows;
mod queue;
mod schema;
mod store;

pub use data_file::DataFile;
pub use database::{Database, OpenError, Options};
pub use flows::Capacity;
pub use queue::{Receipt, Received};
