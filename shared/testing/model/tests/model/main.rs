//! Model checking of `decide` itself with stateright: workers, a caller with one retry, Graph, the receiver, the queue,
//! the store and the sweeper are parts of one state; every write, send, call, answer and deletion is an action; every
//! decision is the real one, of the real judge. Time is free: a decision may be made at any of three times, in any
//! order. Invariants I1 to I7 as ARCHITECTURE.md words them, I8 as "what is left leads to the end", I9 where it is cheap.
//!
//! Quick budget, a part of every test run:
//!     cargo test -p courier-model -- --nocapture
//! Larger budget, one fault more, some GB of memory:
//!     cargo test -p courier-model --config 'profile.dev.package.courier-core.opt-level=2' -- --ignored --nocapture --test-threads 1
//!
//! Not in the model: sleeping pauses between repeats of a write, rotation of tokens, a line of more than two schedules,
//! answers of the queue that are lost (its messages may be doubled instead), `budget_per_hour`, more than four jobs or
//! three attempts of one operation.

#![cfg(test)]

mod actions;
mod bind;
mod checked;
mod configurations;
mod cutting;
mod full;
mod host;
mod looks;
mod peers;
mod properties;
mod quick;
mod quick_hasher;
mod report;
mod rulebook;
mod spoiled;
mod variants;
mod words;
mod works;
mod world;
