//! The figures of a benchmark: printed as they are measured, and written as JSON in the end.
//!
//! The JSON is a list of objects with `scenario`, `figure`, `unit`, `subject` (the program), `values` (one of each run,
//! or one of each measurement), their `median`, `goal` (a text, empty without a goal) and `ratio_to_floor` (of the
//! medians; null for the floor itself and where the floor was not measured).

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

/// A kind of figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Bounds of the median, separated by commas: `<= 0.35`, `>= 3500`, `3`, or of its ratio to the floor's: `<= 3 x
    /// floor`. Empty without a goal.
    pub goal: &'static str,
}

impl Figure {
    pub const fn new(name: &'static str, unit: &'static str, goal: &'static str) -> Self {
        Self { name, unit, goal }
    }
}

/// The figures that have been measured so far.
#[derive(Default)]
pub struct Report {
    scenario: String,
    figures: Vec<Value>,
}

impl Report {
    /// Begins a scenario, which names the figures that follow.
    pub fn scenario(&mut self, name: &str) -> io::Result<()> {
        name.clone_into(&mut self.scenario);
        writeln!(io::stdout(), "\n{name}")
    }

    /// Prints a figure of `courier` that was measured once.
    pub fn row(&mut self, name: &str, unit: &str, value: f64, goal: &str) -> io::Result<()> {
        self.keep("courier", name, unit, &[value], goal, None);
        let text = format!("{name}, {unit}");
        let verdict = verdict(goal, value, None);
        writeln!(io::stdout(), "  {text:<40}{value:>12.3}{verdict}")
    }

    /// Prints the head of the columns of [`Self::compare`].
    pub fn columns(&self, runs: usize) -> io::Result<()> {
        let text = format!("median of {runs}");
        let mut stdout = io::stdout();
        writeln!(
            stdout,
            "  {text:<40}{:>12}{:>12}{:>8}",
            "courier", "floor", "ratio"
        )
    }

    /// Prints a figure of `courier` beside the floor's: the medians of all runs, and their ratio.
    pub fn compare(&mut self, figure: &Figure, courier: &[f64], floor: &[f64]) -> io::Result<()> {
        let Figure { name, unit, goal } = *figure;
        let (median, least) = (median(courier), median(floor));
        let ratio = (least > 0.0).then(|| median / least);
        self.keep("courier", name, unit, courier, goal, ratio);
        self.keep("floor", name, unit, floor, "", None);
        let text = format!("{name}, {unit}");
        let times = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let verdict = verdict(goal, median, ratio);
        writeln!(
            io::stdout(),
            "  {text:<40}{median:>12.3}{least:>12.3}{times:>8}{verdict}"
        )
    }

    /// Adds a figure to the JSON without printing it.
    pub fn keep(
        &mut self,
        subject: &str,
        figure: &str,
        unit: &str,
        values: &[f64],
        goal: &str,
        ratio: Option<f64>,
    ) {
        self.figures.push(json!({
            "scenario": self.scenario,
            "figure": figure,
            "unit": unit,
            "subject": subject,
            "values": values,
            "median": median(values),
            "goal": goal,
            "ratio_to_floor": ratio,
        }));
    }

    /// Writes the JSON; the folder is created if it is missing.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, format!("{:#}\n", Value::from(self.figures.clone())))
    }
}

/// Returns what is printed after a figure: its goal, and whether it is missed.
fn verdict(goal: &str, median: f64, ratio: Option<f64>) -> String {
    match goal {
        "" => String::new(),
        goal if is_met(goal, median, ratio) => format!("   goal {goal}"),
        goal => format!("   goal {goal}: MISSED"),
    }
}

/// Reports whether all bounds of a goal hold. A bound of the ratio holds as well if the floor was not measured.
fn is_met(goal: &str, median: f64, ratio: Option<f64>) -> bool {
    goal.split(", ").all(|bound| {
        let value = match bound.strip_suffix(" x floor") {
            Some(_) => ratio,
            None => Some(median),
        };
        let limit = bound.trim_end_matches(" x floor");
        let limit = limit.trim_start_matches(['<', '>', '=', ' ']);
        let (Some(value), Ok(limit)) = (value, limit.parse::<f64>()) else {
            return true;
        };
        match bound.get(..2) {
            Some("<=") => value <= limit,
            Some(">=") => value >= limit,
            Some(_) | None => value == limit,
        }
    })
}

/// Returns the middle value, or the mean of the two in the middle; 0 without values.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => 0.0,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// Returns the value below which `part` of all values lie; 0 without values.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let sorted = sorted(values);
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Prints on which machine, and of which commit, the figures are. What cannot be found out is left empty.
///
/// `repository` is a folder in the repository's working tree.
pub fn print_origin(repository: &Path) -> io::Result<()> {
    let output = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(arguments).current_dir(repository).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().trim().to_owned()
    };
    let changed = match output("git", &["status", "--porcelain", "--untracked-files=no"]) {
        text if text.is_empty() => "",
        _ => " with changes",
    };
    let commit = output("git", &["rev-parse", "--short=10", "HEAD"]);
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        let value = value
            .unwrap_or_default()
            .trim_start_matches([':', '\t', ' ']);
        value.trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = line("/proc/meminfo", "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0 / 1024.0;
    let mut stdout = io::stdout();
    writeln!(stdout, "commit   {commit}{changed}")?;
    writeln!(stdout, "rustc    {}", output("rustc", &["--version"]))?;
    writeln!(
        stdout,
        "kernel   {}",
        line("/proc/sys/kernel/osrelease", "")
    )?;
    writeln!(stdout, "CPU      {}", line("/proc/cpuinfo", "model name"))?;
    writeln!(stdout, "machine  {cores} cores, {memory:.1} GiB")?;
    writeln!(stdout, "load     {}", line("/proc/loadavg", ""))
}

/// Prints how long the disk below this folder takes to sync 4 KiB at the end of a file: the median of a hundred.
pub fn print_sync_time(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let median = median(&times);
    writeln!(io::stdout(), "disk     {median:.2} ms for a sync of 4 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[4.0]), 4.0);
        assert_eq!(median(&[9.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(&[9.0, 1.0, 4.0, 5.0]), 4.5);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 0.5), 101.0);
        assert_eq!(percentile(&values, 0.99), 199.0);
        assert_eq!(percentile(&values, 1.0), 200.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn goals_bound_the_median_and_its_ratio_to_the_floor() {
        let cases = [
            ("<= 5", 5.0, None, true),
            ("<= 5", 5.1, None, false),
            (">= 3500", 3500.0, None, true),
            (">= 3500", 3499.0, None, false),
            ("3", 3.0, None, true),
            ("0", 0.1, None, false),
            ("<= 0.35, <= 3 x floor", 0.3, Some(3.0), true),
            ("<= 0.35, <= 3 x floor", 0.3, Some(3.1), false),
            ("<= 0.35, <= 3 x floor", 0.4, Some(2.0), false),
            ("<= 3 x floor", 9.0, None, true),
        ];
        for (goal, median, ratio, met) in cases {
            assert_eq!(
                is_met(goal, median, ratio),
                met,
                "{goal} {median} {ratio:?}"
            );
            let text = verdict(goal, median, ratio);
            assert_eq!(text.ends_with("MISSED"), !met, "{text}");
        }
    }

    #[test]
    fn figures_are_written_as_a_list_of_objects() {
        let mut report = Report::default();
        report.scenario("one poll").unwrap();
        let figure = Figure::new("CPU", "ms per operation", "<= 0.35, <= 3 x floor");
        report
            .compare(&figure, &[0.3, 0.2, 0.4], &[0.1, 0.15, 0.1])
            .unwrap();
        report.row("lost", "callbacks", 0.0, "0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench/figures.json");
        report.write(&path).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let entry = |subject, figure, unit, values: Value, median, goal, ratio: Value| {
            json!({ "scenario": "one poll", "figure": figure, "unit": unit, "subject": subject,
                    "values": values, "median": median, "goal": goal, "ratio_to_floor": ratio })
        };
        let unit = "ms per operation";
        let expected = json!([
            entry(
                "courier",
                "CPU",
                unit,
                json!([0.3, 0.2, 0.4]),
                0.3,
                figure.goal,
                json!(0.3 / 0.1)
            ),
            entry(
                "floor",
                "CPU",
                unit,
                json!([0.1, 0.15, 0.1]),
                0.1,
                "",
                json!(null)
            ),
            entry(
                "courier",
                "lost",
                "callbacks",
                json!([0.0]),
                0.0,
                "0",
                json!(null)
            ),
        ]);
        assert_eq!(written, expected);
    }
}
