//! Lines of the demo: time, operation, what happened. Aligned and coloured in a terminal, plain in a pipe.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// ANSI colours (ECMA-48 SGR).
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    Plain,
    Dim,
    Good,
    Bad,
}

pub(crate) struct Timeline {
    began: Instant,
    coloured: bool,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            coloured: std::io::stdout().is_terminal(),
        }
    }

    /// Text outside the timeline.
    pub(crate) fn say(&self, text: &str) -> std::io::Result<()> {
        writeln!(std::io::stdout(), "{text}")
    }

    /// One event of `operation`.
    pub(crate) fn event(&self, operation: &str, colour: Colour, text: &str) -> std::io::Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let name = format!("{operation:<23}");
        let name = self.paint(hue(operation), &name);
        let code = match colour {
            Colour::Plain => "",
            Colour::Dim => "2",
            Colour::Good => "1;32",
            Colour::Bad => "1;31",
        };
        writeln!(
            std::io::stdout(),
            "{seconds:7.2} s  {name}  {}",
            self.paint(code, text)
        )
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
