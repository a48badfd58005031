//! The ports on one SQLite file.
//!
//! `database` opens the file, `connection_threads` owns the connections and commits in groups, `store` and `queue`
//! implement the ports (`queue` on the timetable), `listing` reads pages, `tally` counts, `retention` deletes, `permissions`
//! keeps the files private, `identity` notices that they were deleted or replaced, `copying` makes and checks copies, and
//! `failure` holds the common errors.

mod connection_threads;
pub mod copying;
mod data_file;
mod database;
mod failure;
mod former_queue;
mod identity;
mod last_seen;
mod listing;
mod permissions;
mod queue;
mod retention;
mod schema;
mod store;
mod tally;

pub use data_file::DataFile;
pub use database::{Database, OpenError, Options};
pub use permissions::create_private_directory;
