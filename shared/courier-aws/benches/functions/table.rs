//! Prints a table: a figure, its value, and the project's goal for it.

use std::io::{self, Write};

/// Prints as it goes.
pub(crate) struct Table(io::Stdout);

impl Table {
    pub(crate) fn new() -> Self {
        Self(io::stdout())
    }

    pub(crate) fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.0, "\n{text}")
    }

    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.0, "  {text}")
    }

    pub(crate) fn row(&mut self, figure: &str, value: f64, goal: &str) -> io::Result<()> {
        writeln!(self.0, "  {figure:<44}{value:>10.2}{}", goal_text(goal))
    }

    /// The spread of a figure. The goals are those of the median and of the largest value.
    pub(crate) fn spread(
        &mut self,
        figure: &str,
        values: &[f64],
        goal: &str,
        most: &str,
    ) -> io::Result<()> {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let at = |part| percentile(values, part);
        let (least, p50, p90, p99, max) = (at(0.0), at(0.5), at(0.9), at(0.99), at(1.0));
        let most = match most {
            "" => String::new(),
            most => format!(", max {most}"),
        };
        writeln!(
            self.0,
            "  {figure:<44}n {:>4}  mean {mean:>6.2}  min {least:>6.2}  p50 {p50:>6.2}  p90 {p90:>6.2}  p99 {p99:>6.2}  max {max:>6.2}{}{most}",
            values.len(),
            goal_text(goal),
        )
    }
}

fn goal_text(goal: &str) -> String {
    match goal {
        "" => String::new(),
        goal => format!("   goal {goal}"),
    }
}

fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}
