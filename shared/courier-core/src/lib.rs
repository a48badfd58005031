//! Every rule of graph-courier, for any platform: no cloud, no clock, no environment.
//!
//! Read in this order: what an operation is (`record`), which state may follow which (`decide`), the two halves
//! (`start`, `step`), then what they talk to.

pub mod message;
pub mod ports;
pub mod record;
pub mod seal;
pub mod secret;
