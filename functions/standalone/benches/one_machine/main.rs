//! Benchmarks of one machine, measured from outside: the measured program and the simulator are separate processes, and
//! this one sends requests and receives callbacks. Load, Graph and program share the machine's cores, so operations per
//! second are a lower bound; CPU time is the program's alone.
//!
//! Most scenarios measure `courier serve` and the floor in turn. docs/performance.md says how to read the figures.

use std::path::Path;

use anyhow::{Context, Result};
use courier_testkit::bench_report::{Figure, Report, print_origin, print_sync_time};

mod completing;
mod delivering;
mod floor;
mod hold;
mod machine;
mod process;
mod rude;
mod traffic;
mod waiting;

use self::machine::Subject;

pub(crate) const CLIENTS: usize = 32;
const SIZES: [usize; 2] = [2_000, 20_000];
const HELD: usize = 50_000;
const HELD_SECONDS: usize = 600;

/// Runs the scenarios that the command line names, and writes target/bench/one-machine.json.
///
/// `cargo bench -p courier` runs `goals`, `paced` and `memory`, the scenarios with a floor. `-- --runs R` repeats each of
/// them for the medians. Others run when they are named: `-- mixed [OPERATIONS …]`, `-- hold [OPERATIONS] [SECONDS]`
/// (50,000 for ten minutes) and `-- rude` (thousands of hostile clients).
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, graph, journal] = arguments.as_slice()
        && role == "floor"
    {
        return floor::run(graph, Path::new(journal));
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(measure(&arguments))
}

async fn measure(arguments: &[String]) -> Result<()> {
    let mut runs = 1;
    let mut names = Vec::new();
    let mut numbers = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--runs" {
            runs = rest.next().context("--runs needs a number")?.parse()?;
        } else if let Ok(number) = argument.parse() {
            numbers.push(number);
        } else if !argument.starts_with("--") {
            names.push(argument.as_str());
        }
    }
    if names.is_empty() {
        names = vec!["goals", "paced", "memory"];
    }
    print_origin(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    print_sync_time(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let mut report = Report::default();
    for name in names {
        match name {
            "goals" => completing::goals(runs, &mut report).await?,
            "paced" => delivering::paced(runs, &mut report).await?,
            "memory" => waiting::memory(runs, &mut report).await?,
            "mixed" if numbers.is_empty() => completing::mixed(&SIZES, &mut report).await?,
            "mixed" => completing::mixed(&numbers, &mut report).await?,
            "hold" => {
                let count = numbers.first().copied().unwrap_or(HELD);
                let seconds = numbers.get(1).copied().unwrap_or(HELD_SECONDS);
                hold::hold(count, seconds as u64, &mut report).await?;
            }
            "rude" => rude::rude(&mut report).await?,
            other => anyhow::bail!(
                "there is no scenario {other}: goals, paced, memory, mixed, hold, rude"
            ),
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    Ok(report.write(&folder.join("one-machine.json"))?)
}

/// Measures `courier serve` and the floor in turn, so many times, and reports each figure's medians.
///
/// `measure` returns a value for each of `figures`, in their order.
async fn compare(
    scenario: &str,
    figures: &[Figure],
    runs: usize,
    report: &mut Report,
    measure: impl AsyncFn(Subject) -> Result<Vec<f64>>,
) -> Result<()> {
    let mut courier = Vec::new();
    let mut floor = Vec::new();
    for _ in 0..runs {
        courier.push(measure(Subject::Courier).await?);
        floor.push(measure(Subject::Floor).await?);
    }
    report.scenario(scenario)?;
    report.columns(runs)?;
    for (index, figure) in figures.iter().enumerate() {
        let of_each = |all: &[Vec<f64>]| all.iter().map(|run| run[index]).collect::<Vec<_>>();
        report.compare(figure, &of_each(&courier), &of_each(&floor))?;
    }
    Ok(())
}

/// Returns a simulator script in which every job takes `seconds` and Graph asks for a poll every `retry_after` seconds.
fn script(seconds: f64, retry_after: u32) -> String {
    let mut script = format!(
        "journal_keep = 512\n[durations]\nexport_seconds = {seconds:.1}\ngoals_seconds = {seconds:.1}\nschedule_seconds = {seconds:.1}\n"
    );
    for operation in ["export", "goals", "schedule"] {
        script.push_str(&format!(
            "[behaviour.{operation}]\nretry_after_start = {retry_after}\nretry_after_poll = {retry_after}\n"
        ));
    }
    script
}
