//! The platform of one machine: the ports on one SQLite file, the worker loop and the HTTP listener.
//!
//! `sqlite` holds the file and both ports, `worker` passes due messages to the core's step, and `http` passes requests
//! to the core's handler.

pub mod http;
pub mod sqlite;
pub mod worker;

pub use http::{Limits, serve};
pub use sqlite::{
    Capacity, DataFile, Database, OpenError, Options, Receipt, Received, create_private_directory,
};
pub use worker::{WorkerOptions, drain, run};
