//! What a scrape of `GET /metrics` shows: the counts of the core, and what the data file's process knows besides.
//!
//! `census` has the open operations in memory, `families` names every metric, `text` knows the two forms, `page` puts
//! them together.

pub(crate) mod census;
pub mod families;
mod page;
pub mod text;

pub use page::{Host, page};
