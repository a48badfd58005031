//! The ways in which an answer reaches the client, or fails to.

use std::time::Duration;

/// The way an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Prompt,
    /// After this delay.
    Late(Duration),
    /// One byte of the body per this duration.
    Drip(Duration),
    /// Half of the body, then the connection is closed.
    Half,
    /// No answer; the connection is closed.
    Close,
    Reset,
    Never,
}
