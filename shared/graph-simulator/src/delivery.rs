//! The ways in which an answer reaches the client, or does not.

use std::time::Duration;

/// The way in which an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Prompt,
    /// After so long.
    Late(Duration),
    /// One byte of the body in so long.
    Drip(Duration),
    /// Half of the body, then the end of the connection.
    Half,
    /// The end of the connection instead of an answer.
    Close,
    Reset,
    Never,
}
