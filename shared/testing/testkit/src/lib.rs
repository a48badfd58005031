//! The tools that tests of every crate share. Only ever a dev-dependency.
//! Ports: `contract_store`, `contract_queue`, `sample` (records), `intercepted` (a store that a test watches).
//! Runs: `world` (a whole graph-courier on loopback), `receiver`, `invariants`, `redaction` and `leak_scan` (secrets).
//! Crashes: `journals` (what killed programs leave) and `crash_matrix` (the expected result at each crash point).
//! Benchmarks: `bench_report`.

pub mod bench_report;
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
mod test_clock;
pub mod world;
pub mod world_requests;

/// The result of a property of a contract: assertions panic, and errors of the platform are returned.
pub type Verdict = Result<(), Box<dyn std::error::Error + Send + Sync>>;
