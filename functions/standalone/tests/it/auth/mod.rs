//! Authentication of clients, and the isolation of their operations from each other.

pub(crate) mod credentials;
mod isolation;
mod issuer;
mod jwt;
mod key_sets;
mod replay;
mod signed;
mod signed_corpus;
