//! How completions are delivered: profiles, signatures, redelivery, failing receivers, and guarded calls.

mod circuit_breaker;
mod deliveries;
mod guard;
mod profiles;
mod redelivery;
mod retarget;
pub(crate) mod signatures;
