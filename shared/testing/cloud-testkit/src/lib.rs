//! The cloud on loopback, for tests that run the real Lambda binaries. Only ever a dev-dependency; Linux only.
//!
//! `ministack` is SQS, DynamoDB, Secrets Manager and SSM in a process of their own, `proxy` the wire in front of it with
//! a journal and scripted faults, `function` a Lambda execution environment, `mapping` and `gateway` what invokes it,
//! `clock` the wall clock of all these processes and `disk` what they write to. No AWS SDK: this crate is the
//! independent witness of what ours sends.

use std::sync::Arc;

use jiff::Timestamp;

pub mod clock;
pub mod disk;
mod environment;
mod fault;
mod figures;
pub mod function;
pub mod gateway;
pub mod mapping;
pub mod ministack;
mod outcome;
mod output;
pub mod preload;
pub mod proxy;
pub mod python;
pub mod queues;
mod server;
mod tables;

/// Says what time it is; the same type as `courier_core::time::Clock`.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The region of everything here.
pub const REGION: &str = "us-east-1";
/// The account of everything here.
pub const ACCOUNT: &str = "000000000000";
