//! Evidence of an operation: a signed statement of what was observed, and its verification without a server.
//!
//! The statement says what this program saw, sent and received. It never says that a job's data is complete or right.

pub mod envelope;
mod reading;
mod safe;
pub mod statement;
pub mod verdict;
