//! Every rule of graph-courier, for any platform: no cloud, no clock, no environment.
//!
//! Read in this order: what an operation is (`record`), which state may follow which (`decide`), the request half
//! (`http_api`, `request`, `start`), the poll half (`step`), then what they talk to.

use std::sync::Arc;

pub mod record;

pub mod decide;
mod document;
pub mod judge;
pub mod pacing;

pub mod authenticate;
pub mod http_api;
pub mod problem;
pub mod request;
mod start;

mod lane;
pub mod message;
pub mod ports;
pub mod step;
pub mod sweep;

pub mod app;
pub mod catalogue;
pub mod config;
mod config_reader;
mod limiter;
pub mod metrics;

mod callback;
pub mod profile;
mod receivers;

mod graph;
mod tokens;

pub mod address;
pub mod callback_url;
pub mod outbound;
pub mod resolver;

pub mod graph_error;
pub mod monitor;
pub mod retry_after;

pub mod sas;
pub mod schema;
pub mod strict_json;

pub mod mac;
pub mod seal;
pub mod secret;
pub mod webhook;

#[cfg(all(feature = "crash-points", debug_assertions))]
pub mod crash_points;

/// A moment at which a test may let the program die; nothing in a normal build.
#[cfg(all(feature = "crash-points", debug_assertions))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal, $when:literal) => {
        $crate::crash_points::reach($name, $when).await
    };
}

#[cfg(not(all(feature = "crash-points", debug_assertions)))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal, $when:literal) => {};
}

/// Lets a main say, by its environment, where to die; nothing in a normal build.
#[cfg(all(feature = "crash-points", debug_assertions))]
#[macro_export]
macro_rules! arm_crash_points {
    ($variable:expr) => {
        $crate::crash_points::arm($variable)
    };
}

#[cfg(not(all(feature = "crash-points", debug_assertions)))]
#[macro_export]
macro_rules! arm_crash_points {
    ($variable:expr) => {};
}

/// Tells the time. Only mains (and tests) make one.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Makes ids that nobody else has: of operations without a key, of calls to Graph, of writers.
pub type Ids = Arc<dyn Fn() -> uuid::Uuid + Send + Sync>;

/// Random ids.
pub fn random_ids() -> Ids {
    Arc::new(uuid::Uuid::new_v4)
}
