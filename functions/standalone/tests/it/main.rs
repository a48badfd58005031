//! graph-courier by its HTTP interface and as a process; the simulator's journal is the witness.

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
