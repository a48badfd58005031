//! Standard output, which all commands write to by way of this file: a reader who has gone is no error.

use std::fmt;
use std::io::{ErrorKind, Write};

use anyhow::Context;

/// The reader of standard output has closed it, as in `courier check | head -1`. There is no one left to report it to.
#[derive(Debug)]
pub(crate) struct Closed;

/// Writes `text` at once. The error is [`Closed`] when the reader has gone.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("standard output cannot be written to"),
    }
}

/// Writes a line for the person at the keyboard to standard error, where no program reads it.
pub(crate) fn tell(text: &str) {
    // Nothing is left to do when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "courier: {text}");
}

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}
