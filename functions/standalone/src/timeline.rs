//! Lines of the demo: time, operation, what happened. Aligned and coloured in a terminal, plain in a pipe.

use std::io::{IsTerminal, Write};

use jiff::{Timestamp, Unit};

/// ANSI colours (ECMA-48 SGR).
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    Plain,
    Dim,
    Good,
    Bad,
}

/// One event of an operation.
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    pub(crate) operation: &'static str,
    pub(crate) colour: Colour,
    pub(crate) text: String,
}

pub(crate) struct Timeline {
    began: Timestamp,
    coloured: bool,
}

impl Timeline {
    pub(crate) fn new(began: Timestamp) -> Self {
        Self {
            began,
            coloured: std::io::stdout().is_terminal(),
        }
    }

    /// Text outside the timeline.
    pub(crate) fn say(&self, text: &str) -> std::io::Result<()> {
        writeln!(std::io::stdout(), "{text}")
    }

    /// Events in the order they happened; what happened at once stays in the order given.
    pub(crate) fn show(&self, mut lines: Vec<Line>) -> std::io::Result<()> {
        lines.sort_by_key(|line| line.at);
        let mut out = std::io::stdout().lock();
        for Line {
            at,
            operation,
            colour,
            text,
        } in lines
        {
            let seconds = (at - self.began).total(Unit::Second).unwrap_or_default();
            let name = self.paint(hue(operation), &format!("{operation:<23}"));
            let code = match colour {
                Colour::Plain => "",
                Colour::Dim => "2",
                Colour::Good => "1;32",
                Colour::Bad => "1;31",
            };
            writeln!(out, "{seconds:7.2} s  {name}  {}", self.paint(code, &text))?;
        }
        Ok(())
    }

    pub(crate) fn paint(&self, code: &str, text: &str) -> String {
        if self.coloured && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn hue(operation: &str) -> &'static str {
    match operation.split('.').next() {
        Some("user") => "36",
        Some("goals") => "35",
        Some("team") => "33",
        _ => "",
    }
}
