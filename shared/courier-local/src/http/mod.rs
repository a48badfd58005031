//! The HTTP/1.1 listener: `connections` makes room for the next client, `write_deadline` ends those who do not read.

mod connections;
mod listener;
mod write_deadline;

pub use listener::{Limits, serve};
