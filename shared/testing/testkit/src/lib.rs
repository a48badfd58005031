//! The tools that tests of every crate share. Only ever a dev-dependency.
//!
//! `contract_store` and `contract_queue` say what a port promises and run against every implementation of it;
//! `sample` makes records; `intercepted` is a store whose calls a test sees first; `receiver` is the other end of a
//! callback; `world` is a whole graph-courier on loopback, held against the `invariants` when it ends, with `redaction`
//! and `leak_scan`, which look for secrets in all that it emits and keeps; `journals` are what killed programs leave, and
//! `crash_matrix` says what a death at each crash point must come to.

pub mod contract_queue;
pub mod contract_store;
pub mod crash_matrix;
pub mod intercepted;
pub mod invariants;
pub mod journals;
pub mod leak_scan;
pub mod panicking;
pub mod receiver;
pub mod redaction;
pub mod sample;
pub mod signing;
pub mod tenants;
pub mod world;
pub mod world_requests;

/// The result of a property of a contract: assertions panic, a refusal of the platform is an error.
pub type Verdict = Result<(), Box<dyn std::error::Error + Send + Sync>>;
