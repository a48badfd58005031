//! What ends a command besides an error of its work: wrong use of it, with exit code 2.

use std::fmt;

/// The command line, the environment, or a file that they name is wrong, so nothing was asked or done.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl Usage {
    /// Returns the error for `anyhow`.
    pub(crate) fn error(text: impl Into<String>) -> anyhow::Error {
        Self(text.into()).into()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
