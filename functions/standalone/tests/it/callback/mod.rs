//! Delivery of completions: profiles, signatures, redelivery, failing receivers, and guarded calls.

mod answers;
#[cfg(feature = "second-tier")]
mod aws;
mod bulk;
pub(crate) mod circuit_breaker;
mod deliveries;
mod events;
mod guard;
pub(crate) mod logs;
mod pacing;
mod profile_cases;
mod profiles;
mod receivers;
mod redelivery;
mod retarget;
#[cfg(feature = "second-tier")]
pub(crate) mod signatures;
mod targets;
