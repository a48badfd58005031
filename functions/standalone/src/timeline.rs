//! Lines of the demo: time, operation, what happened. Aligned, and coloured where colours are wanted.

use std::fmt::Write;

use jiff::{Timestamp, Unit};

use crate::output;

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
    pub(crate) fn new(began: Timestamp, coloured: bool) -> Self {
        Self { began, coloured }
    }

    /// Shows text outside the timeline.
    pub(crate) fn say(&self, text: &str) -> anyhow::Result<()> {
        output::print(&format!("{text}\n"))
    }

    /// Shows events in the order given.
    pub(crate) fn show(&self, lines: Vec<Line>) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in lines {
            let seconds = (line.at - self.began)
                .total(Unit::Second)
                .unwrap_or_default();
            let name = self.paint(hue(line.operation), &format!("{:<23}", line.operation));
            let code = match line.colour {
                Colour::Plain => "",
                Colour::Dim => "2",
                Colour::Good => "1;32",
                Colour::Bad => "1;31",
            };
            let told = self.paint(code, &line.text);
            writeln!(text, "{seconds:7.2} s  {name}  {told}")?;
        }
        output::print(&text)
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
