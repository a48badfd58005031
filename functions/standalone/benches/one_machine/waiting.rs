//! Operations that wait: the memory that they need, and what a look at Graph costs that learns nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use courier_testkit::bench_report::{Figure, Report};
use tokio::time::{Instant, sleep, sleep_until};

use crate::machine::{Load, Machine, Subject};
use crate::{CLIENTS, compare, script};

const WAITING: usize = 10_000;
/// Seconds between polls that Graph asks for in `Retry-After`.
const RETRY_AFTER_SECONDS: u32 = 10;
/// Looks at an operation before the window in which looks are measured: the first writes down what it has learned.
const LOOKS_BEFORE: usize = 3;
/// Time from the last 202 until the program has done all that follows an acceptance: its watchdogs come after 75 s.
const SETTLED_AFTER: Duration = Duration::from_secs(80);
/// The window: about two looks at each operation, and nothing else.
const WINDOW: Duration = Duration::from_secs(20);

const FIGURES: [Figure; 6] = [
    Figure::new("idle RSS", "MB", "<= 15"),
    Figure::new("more RSS once accepted", "MB", ""),
    Figure::new("more RSS after three looks", "MB", "<= 15"),
    Figure::new("CPU of an unchanged look", "ms", "<= 0.08"),
    Figure::new("written for an unchanged look", "bytes", "0"),
    Figure::new("looks in the window", "per operation", ""),
];

/// Measures many operations that wait, of `courier serve` and of the floor.
pub(crate) async fn memory(runs: usize, report: &mut Report) -> Result<()> {
    let scenario = format!("{WAITING} goals exports waiting, Retry-After {RETRY_AFTER_SECONDS} s");
    compare(&scenario, &FIGURES, runs, report, run).await
}

async fn run(subject: Subject) -> Result<Vec<f64>> {
    let script = script(86_400.0, RETRY_AFTER_SECONDS);
    let machine = Machine::with_graph(subject, Load::Goals, &script).await?;
    let idle = machine.server.memory_mb("VmRSS")?;
    machine.send(0..WAITING, CLIENTS).await?;
    let sent = Instant::now();
    let accepted = machine.server.memory_mb("VmRSS")? - idle;
    machine.graph_requests((1 + LOOKS_BEFORE) * WAITING).await?;
    let waiting = machine.server.memory_mb("VmRSS")? - idle;
    if subject == Subject::Courier {
        sleep_until(sent + SETTLED_AFTER).await;
    }

    let mut journal = machine.journal().await?;
    let (cpu, written) = (
        machine.server.cpu_seconds()?,
        machine.server.written_bytes()?,
    );
    let seen = journal.last().await?;
    sleep(WINDOW).await;
    let looks = (journal.last().await? - seen) as f64;
    let cpu = (machine.server.cpu_seconds()? - cpu) * 1e3 / looks;
    let written = (machine.server.written_bytes()? - written) / looks;
    ensure!(looks > 0.0, "nobody looked");
    machine.stop().await?;
    let each = looks / WAITING as f64;
    Ok(vec![idle, accepted, waiting, cpu, written, each])
}
