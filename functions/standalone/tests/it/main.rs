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
mod guard;
mod pages;
mod profiles;
mod receivers;
mod redelivery;
mod retarget;

mod panics;
mod refresh;
mod secrets;
mod tokens;

mod api;
mod doors;
mod doors_corpus;
mod doors_document;
mod doors_jwt;
mod doors_keys;
mod doors_replay;
mod doors_signed;
mod idempotency;
mod isolation;
mod issuer;
mod lists;

mod corpora;
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
mod snippets;
mod storm;

mod rules;
