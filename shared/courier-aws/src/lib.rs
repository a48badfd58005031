//! The platform of AWS: the ports on DynamoDB and SQS, configuration from Secrets Manager and Systems Manager, and what
//! the four Lambda functions share.
//! Read in this order: `settings` (the environment), `host` (the state of a process), `table` and `queue` (the ports),
//! `batch` (one batch of messages), `intake` (one batch
//! of requests).

use jiff::Timestamp;

pub mod settings;

pub mod host;
mod parameter;
mod secrets;

mod due_index;
mod item;
mod listing;
pub mod queue;
pub mod table;

pub mod batch;
pub mod intake;

mod clients;
pub mod http_client;

pub mod emf;
pub mod logging;

/// Returns a clock that reads the machine's wall clock, in milliseconds.
pub fn clock() -> courier_core::time::Clock {
    std::sync::Arc::new(now)
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a main holds the clock")]
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Converts a time that AWS gives in milliseconds since 1970, such as a deadline or a time of sending.
pub fn at_millisecond(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(Timestamp::MAX)
}
