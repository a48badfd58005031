//! The platform of one machine: the ports on one SQLite file, the worker loop and the HTTP listener.
//!
//! `sqlite` holds the file and both ports, `timetable` the messages that wait, `worker` passes due messages to the core's
//! step, and `http` passes requests to the core's handler. `metrics` tells how all that goes. `serving_lock` keeps a second process from doing the same.

pub mod http;
pub mod metrics;
mod serving_lock;
pub mod sqlite;
mod timetable;
pub mod worker;

pub use http::{Limits, serve};
pub use serving_lock::ServingLock;
pub use sqlite::{DataFile, Database, OpenError, Options, copying, create_private_directory};
pub use timetable::{Capacity, Flow, Receipt, Received};
pub use worker::{WorkerOptions, drain, run};
