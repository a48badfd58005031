//! The HTTP/1.1 listener: `connections` makes room for the next client, `host_header` refuses requests that do not say
//! for whom they are, `read_deadline` ends those who do not send, `write_deadline` those who do not read.

mod connections;
mod host_header;
mod listener;
mod read_deadline;
mod write_deadline;

pub use listener::{Limits, serve};
