//! The HTTP/1.1 listener: `connections` makes room for the next client, `read_deadline` ends those who do not send,
//! `write_deadline` those who do not read.

mod connections;
mod listener;
mod read_deadline;
mod write_deadline;

pub use listener::{Limits, serve};
