//! Microsoft Graph: its tokens, the calls, the URLs to poll, and the meaning of each answer.

pub(crate) mod client;
pub(crate) mod described;
pub mod error;
pub mod monitor;
mod token_endpoint;
pub(crate) mod tokens;
pub mod unavailable;
pub mod verdict;
