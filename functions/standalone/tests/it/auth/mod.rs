//! How clients authenticate, and that none sees the operations of another.

pub(crate) mod credentials;
mod isolation;
mod issuer;
mod jwt;
mod key_sets;
mod replay;
mod signed;
mod signed_corpus;
