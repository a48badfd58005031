//! End-to-end tests of graph-courier over HTTP and as a process; the simulator's journal shows what Graph received.

#![cfg(test)]
#![cfg_attr(
    not(feature = "second-tier"),
    expect(dead_code, reason = "some helpers serve the second tier only")
)]

mod lifecycle;
mod operations;

mod callback;
#[cfg(feature = "second-tier")]
mod clients;
#[cfg(feature = "second-tier")]
mod libraries;

mod api;
mod auth;
mod console;
mod input;

mod secrets;

mod process;

mod commands;

mod docs;
mod rules;
