//! End-to-end tests of graph-courier over HTTP and as a process; the simulator's journal shows what Graph received.

#![cfg(test)]

mod lifecycle;

mod callback;

mod api;
mod auth;
mod input;

mod secrets;

mod process;

mod docs;
mod rules;
