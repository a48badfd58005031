//! One machine: the ports on one SQLite file, the worker loop, the HTTP listener.
//!
//! `database` opens the file, `lane` owns the two connections and commits in groups, `store` and `queue` are the
//! ports, `worker` feeds messages to the core's step, `listener` feeds requests to the core's handler, with
//! `connections` to make room and `patient` to be done with slow readers.

mod connections;
pub mod database;
mod lane;
pub mod listener;
mod patient;
pub mod queue;
mod schema;
mod store;
pub mod worker;

pub use database::{Database, OpenError, Options};
pub use listener::{Limits, serve};
pub use queue::{Receipt, Received};
pub use worker::{WorkerOptions, drain, run};
