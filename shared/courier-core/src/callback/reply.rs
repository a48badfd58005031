//! What came of one attempt to deliver a completion.

use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackReply {
    /// `None` when there was no answer.
    pub status: Option<u16>,
    /// The receiver has the completion: a 2xx, or what its profile calls success.
    pub taken: bool,
    pub retry_after: Option<Duration>,
    /// For the history, without secrets.
    pub detail: Option<String>,
    /// How the answer begins, fit for the history.
    pub answer: Option<String>,
    pub latency: Option<Duration>,
}

impl CallbackReply {
    /// Nothing was sent, or nothing came back.
    pub(crate) fn unsent(detail: &str) -> Self {
        Self {
            detail: Some(detail.to_owned()),
            ..Self::default()
        }
    }
}
