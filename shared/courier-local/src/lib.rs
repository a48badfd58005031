//! One machine: the ports on one SQLite file, the worker loop, the HTTP listener.
//!
//! `sqlite` has the file and the two ports on it, `worker` feeds due messages to the core's step, `http` feeds requests
//! to the core's handler.

pub mod http;
pub mod sqlite;
pub mod worker;

pub use http::{Limits, serve};
pub use sqlite::{Database, OpenError, Options, Receipt, Received};
pub use worker::{WorkerOptions, drain, run};
