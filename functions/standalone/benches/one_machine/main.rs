//! Benchmarks of one machine, measured from outside: `courier serve` and the simulator are separate processes, and this
//! one sends requests and receives callbacks. Load, Graph and server share the machine's cores, so operations per
//! second are a lower bound; CPU time is the server's alone.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use graph_simulator::{Entry, Options, Simulator};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval};

mod hold;
mod machine;
mod rude;
mod traffic;

use self::machine::{Machine, TENANTS, number};
use self::traffic::{Connection, now};

const SIZES: [usize; 2] = [2_000, 20_000];
const CLIENTS: usize = 32;
const WAITING: usize = 10_000;
const HELD: usize = 50_000;
const HELD_SECONDS: usize = 600;
const LATENCY_RATE: usize = 50;
const LATENCY_SECONDS: usize = 20;

/// Runs the benchmarks that the command line selects.
///
/// `cargo bench -p courier` runs all but `hold` and `rude`; numbers after `--` replace the sizes of the throughput
/// runs.
/// `cargo bench -p courier -- hold [OPERATIONS] [SECONDS]` holds 50,000 operations for ten minutes, `-- rude` connects
/// thousands of hostile clients.
#[tokio::main]
async fn main() -> Result<()> {
    let given: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    let mut table = Table;
    if std::env::args().any(|text| text == "hold") {
        let count = given.first().copied().unwrap_or(HELD);
        let seconds = given.get(1).copied().unwrap_or(HELD_SECONDS);
        return hold::hold(count, seconds as u64, &mut table).await;
    }
    if std::env::args().any(|text| text == "rude") {
        return rude::rude(&mut table).await;
    }
    let sizes = if given.is_empty() {
        SIZES.to_vec()
    } else {
        given
    };
    for size in sizes {
        throughput(size, &mut table).await?;
    }
    latency(&mut table).await?;
    memory(&mut table).await?;
    Ok(())
}

/// Measures complete operations with all clients sending, and what they cost the server.
async fn throughput(size: usize, table: &mut Table) -> Result<()> {
    let machine = Machine::with_graph(&script(0.5, 1)).await?;
    // The first requests fetch the tokens, so they are not counted.
    machine.send(0..TENANTS * 3, CLIENTS).await?;
    machine.receiver.arrived(TENANTS * 3).await?;

    let (cpu, written) = (machine.cpu_seconds()?, machine.written_bytes()?);
    let began = Instant::now();
    let first = TENANTS * 3;
    let accepted = machine.send(first..first + size, CLIENTS).await?;
    machine.receiver.arrived(first + size).await?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (machine.cpu_seconds()? - cpu) * 1e3 / size as f64;
    let written = (machine.written_bytes()? - written) / 1024.0 / size as f64;

    let goal = |text| if size >= 20_000 { text } else { "" };
    let rate = size as f64 / seconds;
    table.title(&format!("{size} operations, {CLIENTS} clients"))?;
    table.row("completed, operations/s", rate, goal(">= 1500"))?;
    table.row("CPU, ms per operation", cpu, goal("<= 0.6"))?;
    table.row("202 after, ms, p50", percentile(&accepted, 0.5), "")?;
    table.row("202 after, ms, p99", percentile(&accepted, 0.99), "<= 300")?;
    table.row("written, KiB per operation", written, "")?;
    table.row("peak RSS, MB", machine.memory_mb("VmHWM")?, "")?;
    machine.stop().await
}

/// Measures the time from Graph's answer that the job has ended to the callback.
///
/// The simulator runs in this process, so that its journal has nanoseconds and one clock times both ends. It records a
/// poll when the request arrives, so the time that the simulator needs is included.
async fn latency(table: &mut Table) -> Result<()> {
    let mut options = Options::from_toml(&script(0.5, 1), Arc::new(now))?;
    options.journal_keep = None;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let simulator = Simulator::start(listener, options).await?;
    let machine = Machine::start(None, simulator.address().to_string()).await?;
    let count = LATENCY_RATE * LATENCY_SECONDS;
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(Connection::open(&machine.api).await?);
    }
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(LATENCY_RATE)?);
    let mut ids = Vec::new();
    for index in 0..count {
        ticks.tick().await;
        let turn = index % connections.len();
        ids.push(connections[turn].post(machine.request(index)).await?.0);
    }
    machine.receiver.arrived(count).await?;
    let arrivals = machine.receiver.arrivals().clone();
    let polls = last_polls(&simulator.journal());
    let mut late = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let done = polls.get(&index).context("an operation without a poll")?;
        let arrived = arrivals
            .get(id)
            .context("an operation without a callback")?;
        late.push(arrived.duration_since(*done).as_secs_f64() * 1e3);
    }
    table.title(&format!("{count} operations, {LATENCY_RATE}/s"))?;
    table.row("poll to callback, ms, p50", percentile(&late, 0.5), "<= 1")?;
    table.row(
        "poll to callback, ms, p99",
        percentile(&late, 0.99),
        "<= 10",
    )?;
    machine.stop().await
}

/// Returns the time of each operation's last poll, by the index in its request.
fn last_polls(journal: &[Entry]) -> HashMap<usize, Timestamp> {
    let mut jobs = HashMap::new();
    let mut polls = HashMap::new();
    for entry in journal {
        let Some(job) = &entry.job else { continue };
        if entry.call.ends_with(".start") {
            let body = entry.body.as_ref().map(ToString::to_string);
            let text = format!("{}{}", entry.path, body.unwrap_or_default());
            jobs.insert(job.clone(), number(&text));
        } else if let Some(Some(index)) = jobs.get(job) {
            polls.insert(*index, entry.at);
        }
    }
    polls
}

/// Measures resident memory, idle and with many operations waiting.
async fn memory(table: &mut Table) -> Result<()> {
    let machine = Machine::with_graph(&script(86_400.0, 10)).await?;
    table.title(&format!("{WAITING} operations waiting"))?;
    let idle = machine.memory_mb("VmRSS")?;
    table.row("idle RSS, MB", idle, "<= 15")?;
    machine.send(0..WAITING, CLIENTS).await?;
    table.row(
        "more once accepted, MB",
        machine.memory_mb("VmRSS")? - idle,
        "",
    )?;
    for polls in [1, 3] {
        machine.graph_requests((1 + polls) * WAITING).await?;
        let text = format!("more after {polls} poll(s), MB");
        table.row(&text, machine.memory_mb("VmRSS")? - idle, "<= 15")?;
    }
    let before = machine.cpu_seconds()?;
    machine.graph_requests(5 * WAITING).await?;
    let cpu = (machine.cpu_seconds()? - before) * 1e3 / WAITING as f64;
    table.row("CPU, ms per unchanged poll", cpu, "")?;
    machine.stop().await
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

fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// Prints a figure, its value, and the project's goal for it, as soon as it is measured.
struct Table;

impl Table {
    fn title(&mut self, text: &str) -> std::io::Result<()> {
        writeln!(std::io::stdout(), "\n{text}")
    }

    fn row(&mut self, figure: &str, value: f64, goal: &str) -> std::io::Result<()> {
        let goal = if goal.is_empty() {
            String::new()
        } else {
            format!("   goal {goal}")
        };
        writeln!(std::io::stdout(), "  {figure:<28}{value:>12.2}{goal}")
    }
}
