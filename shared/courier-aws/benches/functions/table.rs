//! Prints a table: a figure, its value, and the project's goal for it. The figures are kept for the JSON.

use std::io::{self, Write};
use std::path::Path;

use courier_testkit::bench_report::{Report, percentile};

/// The program whose figures these are, in the JSON.
const SUBJECT: &str = "functions";

/// Prints as it goes.
#[derive(Default)]
pub(crate) struct Table {
    unit: String,
    report: Report,
}

impl Table {
    /// Begins a part of the table; its figures have this unit.
    pub(crate) fn title(&mut self, text: &str, unit: &str) -> io::Result<()> {
        unit.clone_into(&mut self.unit);
        self.report.scenario(text)?;
        writeln!(io::stdout(), "  in {unit}")
    }

    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "  {text}")
    }

    pub(crate) fn row(&mut self, figure: &str, value: f64, goal: &str) -> io::Result<()> {
        self.keep(figure, &[value], goal);
        writeln!(
            io::stdout(),
            "  {figure:<44}{value:>10.2}{}",
            goal_text(goal)
        )
    }

    /// The spread of a figure. The goal is that of the median.
    pub(crate) fn spread(&mut self, figure: &str, values: &[f64], goal: &str) -> io::Result<()> {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let at = |part| percentile(values, part);
        let (least, p50, p90, p99, max) = (at(0.0), at(0.5), at(0.9), at(0.99), at(1.0));
        self.keep(figure, values, goal);
        writeln!(
            io::stdout(),
            "  {figure:<44}n {:>4}  mean {mean:>6.2}  min {least:>6.2}  p50 {p50:>6.2}  p90 {p90:>6.2}  p99 {p99:>6.2}  max {max:>6.2}{}",
            values.len(),
            goal_text(goal),
        )
    }

    /// Writes all figures as JSON, in the form that `bench_report` describes.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        self.report.write(path)
    }

    fn keep(&mut self, figure: &str, values: &[f64], goal: &str) {
        let Self { unit, report } = self;
        report.keep(SUBJECT, figure, unit, values, goal, None);
    }
}

fn goal_text(goal: &str) -> String {
    match goal {
        "" => String::new(),
        goal => format!("   goal {goal}"),
    }
}
