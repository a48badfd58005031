//! Protects secrets in memory and at rest, and makes the signatures that use them.

pub mod account_key;
pub mod evidence_keys;
pub mod hmac;
pub mod seal;
pub mod secret;
pub mod webhook_signature;
