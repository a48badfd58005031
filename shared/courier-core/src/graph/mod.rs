//! Microsoft Graph: its tokens, the calls, the URLs to poll, and what each of its answers means.

pub(crate) mod client;
pub mod error;
pub mod monitor;
pub(crate) mod tokens;
pub mod unavailable;
pub mod verdict;
