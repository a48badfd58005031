//! Every rule of graph-courier, independent of platform, clock and environment.
//!
//! The modules are declared from the caller's request down to the tools. Each uses only those below it, which
//! `functions/standalone/tests/it/rules.rs` checks.

pub mod http;

pub mod engine;
pub mod lifecycle;

pub mod evidence;
pub mod storage;

pub mod graph;

mod announcing;
pub mod callback;

pub mod auth;

pub mod config;

pub mod ports;
pub mod selection;

pub mod catalogue;
pub mod events;
pub mod legal;
pub mod operation;
pub mod profile;

pub mod outbound;

pub mod crypto;

mod cached;
pub mod error_chain;
mod redact;
pub mod strict_json;
pub mod time;

/// Marks a point at which a test may let the program die. Expands to nothing in a normal build.
#[cfg(all(feature = "crash-points", debug_assertions))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal, $when:literal) => {
        $crate::engine::crash_points::reach($name, $when).await
    };
}

#[cfg(not(all(feature = "crash-points", debug_assertions)))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal, $when:literal) => {};
}

/// Arms the crash points that the environment of a main names. Expands to nothing in a normal build.
#[cfg(all(feature = "crash-points", debug_assertions))]
#[macro_export]
macro_rules! arm_crash_points {
    ($variable:expr) => {
        $crate::engine::crash_points::arm($variable)
    };
}

#[cfg(not(all(feature = "crash-points", debug_assertions)))]
#[macro_export]
macro_rules! arm_crash_points {
    ($variable:expr) => {};
}
