//! Carries out decisions: the step of one operation, the line of starts on one resource, and the sweeper.

pub mod app;
pub mod deployment;
pub mod overflow;
pub mod platform;
pub mod restoring;
pub mod step;
pub mod sweep;
mod telling;

pub(crate) mod durations;
pub mod histogram;
pub mod metrics;
pub(crate) mod open_operations;
pub(crate) mod rate_limit;
pub(crate) mod start_line;

#[cfg(all(feature = "crash-points", debug_assertions))]
pub mod crash_points;
