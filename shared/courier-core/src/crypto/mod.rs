//! Secrets in memory and at rest, and the signatures that they make.

pub mod hmac;
pub mod seal;
pub mod secret;
pub mod webhook_signature;
