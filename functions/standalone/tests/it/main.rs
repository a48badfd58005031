//! graph-courier through its front door: HTTP in, HTTP out, the simulator's journal as the witness.

mod happy;
mod starts;

mod callbacks;
mod missing;
mod polls;
mod tokens;

mod api;
mod requests;

mod binary;
mod kill;
mod process;
mod signatures;

mod rules;
