//! Microsoft Graph: its tokens, the calls, the URLs to poll, and the meaning of each answer.

pub(crate) mod choosing;
pub(crate) mod client;
pub(crate) mod described;
pub mod error;
mod finding;
pub mod foreign;
pub mod monitor;
mod monitor_source;
mod reading;
pub(crate) mod results;
#[cfg(test)]
mod samples;
mod token_endpoint;
pub(crate) mod tokens;
pub mod unavailable;
pub mod verdict;
