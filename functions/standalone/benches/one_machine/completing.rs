//! Operations from request to callback with all callers sending: how many a second, and what each costs.

use std::time::Instant;

use anyhow::{Result, ensure};
use courier_testkit::bench_report::{Figure, Report, percentile};

use crate::machine::{Load, Machine, Subject};
use crate::{CLIENTS, compare, script};

/// Operations that are killed while they wait, to see that the program goes on with them.
const KILLED: usize = 100;

/// Operations in which Graph asks for a poll every second, and how long each of their jobs takes.
struct Case {
    operations: usize,
    /// The polls of each operation. Jitter makes a pause up to a tenth longer.
    polls: usize,
    job_seconds: f64,
    figures: [Figure; 7],
}

/// One poll: the job has long ended when it comes.
const ONE_POLL: Case = Case {
    operations: 20_000,
    polls: 1,
    job_seconds: 0.5,
    figures: [
        Figure::new("completed", "operations/s", ">= 3500, >= 0.5 x floor"),
        Figure::new("CPU", "ms per operation", "<= 0.35, <= 3 x floor"),
        Figure::new("202 after, p50", "ms", "<= 5"),
        Figure::new("202 after, p99", "ms", ""),
        Figure::new("written", "KiB per operation", "<= 15"),
        Figure::new("peak RSS", "MB", ""),
        Figure::new("polls", "per operation", "1"),
    ],
};

/// Three polls: the second comes after 2.2 s at the latest if it is on time, and the third not before 3 s have passed.
const THREE_POLLS: Case = Case {
    operations: 3_000,
    polls: 3,
    job_seconds: 2.9,
    figures: [
        Figure::new("completed", "operations/s", ""),
        Figure::new("CPU", "ms per operation", "<= 2.5 x floor"),
        Figure::new("202 after, p50", "ms", ""),
        Figure::new("202 after, p99", "ms", ""),
        Figure::new("written", "KiB per operation", ""),
        Figure::new("peak RSS", "MB", ""),
        Figure::new("polls", "per operation", "3"),
    ],
};

/// Measures goals exports with one poll each and with three, of `courier serve` and of the floor.
pub(crate) async fn goals(runs: usize, report: &mut Report) -> Result<()> {
    for case in [&ONE_POLL, &THREE_POLLS] {
        let scenario = format!(
            "{} goals exports, polls: {}, Retry-After 1 s, {CLIENTS} callers",
            case.operations, case.polls
        );
        let script = script(case.job_seconds, 1);
        let measure = async |subject| {
            let machine = Machine::with_graph(subject, Load::Goals, &script).await?;
            let figures = run(&machine, case.operations).await?;
            machine.stop().await?;
            Ok(figures)
        };
        compare(&scenario, &case.figures, runs, report, measure).await?;
    }
    let figures = [Figure::new("callbacks", "of 100", "100")];
    let scenario = "killed after the last 202 of 100, started again";
    compare(scenario, &figures, 1, report, survivors).await
}

/// Kills a program that has accepted operations; returns how many of them it delivers when it has been started again.
async fn survivors(subject: Subject) -> Result<Vec<f64>> {
    let mut machine = Machine::with_graph(subject, Load::Goals, &script(1.5, 1)).await?;
    let first = machine.warm_up(CLIENTS).await?;
    machine.send(first..first + KILLED, CLIENTS).await?;
    let early = machine.receiver.arrivals().len() - first;
    ensure!(early == 0, "{early} callbacks before the kill");
    machine.restart().await?;
    machine.receiver.arrived(first + KILLED).await?;
    let arrived = machine.receiver.arrivals().len() - first;
    machine.stop().await?;
    Ok(vec![arrived as f64])
}

/// Measures `courier serve` with exports, goals exports and schedules in turn.
pub(crate) async fn mixed(sizes: &[usize], report: &mut Report) -> Result<()> {
    for size in sizes {
        let machine = Machine::with_graph(Subject::Courier, Load::Mixed, &script(0.5, 1)).await?;
        let values = run(&machine, *size).await?;
        machine.stop().await?;
        let goals = match *size >= 20_000 {
            true => [">= 1500", "<= 0.6", "", "<= 300"],
            false => ["", "", "", "<= 300"],
        };
        report.scenario(&format!("{size} mixed operations, {CLIENTS} callers"))?;
        let goals = goals.into_iter().chain(std::iter::repeat(""));
        for ((figure, value), goal) in ONE_POLL.figures.iter().zip(values).zip(goals) {
            report.row(figure.name, figure.unit, value, goal)?;
        }
    }
    Ok(())
}

/// Has operations completed; returns the figures of a [`Case`].
async fn run(machine: &Machine, size: usize) -> Result<Vec<f64>> {
    // The first requests fetch the tokens, so they are not counted.
    let first = machine.warm_up(CLIENTS).await?;
    let mut journal = machine.journal().await?;
    let asked = journal.last().await?;
    let (cpu, written) = (
        machine.server.cpu_seconds()?,
        machine.server.written_bytes()?,
    );
    let began = Instant::now();
    let accepted = machine.send(first..first + size, CLIENTS).await?;
    machine.receiver.arrived(first + size).await?;
    let seconds = began.elapsed().as_secs_f64();
    let size = size as f64;
    let cpu = (machine.server.cpu_seconds()? - cpu) * 1e3 / size;
    let written = (machine.server.written_bytes()? - written) / 1024.0 / size;
    let asked = (journal.last().await? - asked) as f64;
    Ok(vec![
        size / seconds,
        cpu,
        percentile(&accepted, 0.5),
        percentile(&accepted, 0.99),
        written,
        machine.server.memory_mb("VmHWM")?,
        // All other requests to Graph are the starts.
        asked / size - 1.0,
    ])
}
