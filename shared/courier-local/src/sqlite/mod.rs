//! The ports on one SQLite file: `database` opens it, `connection_threads` owns the two connections and commits in groups,
//! `store` and `queue` are the ports, `failure` is what goes wrong below them.

mod connection_threads;
mod database;
mod failure;
mod queue;
mod schema;
mod store;

pub use database::{Database, OpenError, Options};
pub use queue::{Receipt, Received};
