//! graph-courier through its front door: HTTP in, HTTP out, the simulator's journal as the witness.

#![cfg(test)]

mod happy;
mod starts;

mod endings;
mod gate;
mod messages;
mod missing;
mod polls;

mod callbacks;
mod crowds;
mod redelivery;

mod panics;
mod refresh;
mod secrets;
mod tokens;

mod api;
mod idempotency;
mod isolation;
mod lists;

mod request_bytes;
mod request_urls;
mod requests;

mod binary;
mod crash;
mod crash_recovery;
mod crash_run;
mod demand;
mod disk;
mod jump;
mod kill;
mod process;
mod rude;
mod signatures;
mod site;
mod storm;

mod rules;
