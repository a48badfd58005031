//! How completions are delivered: profiles, signatures, repeats, receivers in trouble, the outbound guard.

mod circuit_breaker;
mod deliveries;
mod guard;
mod profiles;
mod redelivery;
mod retarget;
#[cfg(feature = "second-tier")]
pub(crate) mod signatures;
