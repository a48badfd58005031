//! The end of an invocation, and the facts about the process that served it.

use std::time::Duration;

use serde_json::Value;

/// The end of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answer(Value),
    /// The function answered something that is no JSON.
    NotJson(String),
    /// The function reported an error, in the initialisation or in the handler.
    Error {
        kind: String,
        message: String,
    },
    /// It was killed for taking too long.
    TimedOut,
    /// The process ended without an answer.
    Crashed,
}

/// One process of a function, living or not.
#[derive(Debug, Clone, Default)]
pub struct Process {
    pub id: u32,
    /// From its start until it asked for the first invocation.
    pub init: Option<Duration>,
    pub init_cpu: Option<Duration>,
    /// Processor time, as last seen: of a process that ended by itself, at its last call to us.
    pub cpu: Duration,
    /// The most memory it has had, as last seen.
    pub peak_rss_bytes: u64,
    pub invocations: u64,
    /// The end of the process; `None` while it lives.
    pub ended: Option<String>,
    /// Standard output and standard error.
    pub logs: String,
}

impl Outcome {
    pub(crate) fn error(kind: &str, message: &str) -> Self {
        Self::Error {
            kind: kind.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The answer; fails the test when there is none.
    pub fn answer(self) -> Value {
        match self {
            Self::Answer(answer) => answer,
            other @ (Self::NotJson(_) | Self::Error { .. } | Self::TimedOut | Self::Crashed) => {
                panic!("no answer but {other:?}")
            }
        }
    }
}
