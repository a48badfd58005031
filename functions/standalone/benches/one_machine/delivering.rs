//! Deliveries at a steady rate: the time from Graph's answer that the job has ended to the callback.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use courier_testkit::bench_report::{Figure, Report, percentile};
use graph_simulator::{Entry, Options, Simulator};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::time::interval;

use crate::machine::{Machine, Subject, number};
use crate::traffic::{Connection, now};
use crate::{compare, script};

/// Requests a second.
const RATE: usize = 50;
const SECONDS: usize = 20;

const FIGURES: [Figure; 2] = [
    Figure::new("poll to callback, p50", "ms", "<= 0.4"),
    Figure::new("poll to callback, p99", "ms", "<= 10"),
];

/// Measures goals exports that come at a steady rate, of `courier serve` and of the floor.
pub(crate) async fn paced(runs: usize, report: &mut Report) -> Result<()> {
    let scenario = format!("{} goals exports, {RATE}/s", RATE * SECONDS);
    compare(&scenario, &FIGURES, runs, report, run).await
}

/// The simulator runs in this process, so that its journal has nanoseconds and one clock times both ends. It records a
/// poll when the request arrives, so the time that the simulator needs is included.
async fn run(subject: Subject) -> Result<Vec<f64>> {
    let mut options = Options::from_toml(&script(0.5, 1), Arc::new(now))?;
    options.journal_keep = None;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let simulator = Simulator::start(listener, options).await?;
    let machine = Machine::for_graph(subject, simulator.address().to_string()).await?;
    let count = RATE * SECONDS;
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(Connection::open(&machine.api).await?);
    }
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(RATE)?);
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
    machine.stop().await?;
    Ok(vec![percentile(&late, 0.5), percentile(&late, 0.99)])
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
