//! The platform of AWS: the ports on DynamoDB and SQS, configuration from Secrets Manager and Systems Manager, and what
//! the three Lambda functions share.
//!
//! Read in this order: what the environment says (`settings`), what a function holds while it lives (`host`), the ports
//! (`table`, `queue`), one batch of messages (`batch`).

use jiff::Timestamp;

pub mod settings;

pub mod host;
mod parameter;
mod secrets;

mod item;
pub mod queue;
pub mod table;

pub mod batch;

mod clients;
pub mod http_client;

pub mod emf;
pub mod logging;

/// The wall clock of the machine, in milliseconds.
pub fn clock() -> courier_core::time::Clock {
    std::sync::Arc::new(now)
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a main holds the clock")]
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Returns a time that AWS gives in milliseconds since 1970: a deadline, a time of sending.
pub fn at_millisecond(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
        .unwrap_or(Timestamp::MAX)
}
