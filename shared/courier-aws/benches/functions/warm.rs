//! Warm invocations: what a request costs, and a batch of messages whose operations run, are done, or have long been reported.

use std::time::Duration;

use anyhow::{Result, ensure};
use cloud_testkit::function::{Function, Outcome};
use cloud_testkit::mapping::{Batch, Mapping};
use graph_simulator::Options as GraphOptions;
use serde_json::{Value, json};

use crate::OPERATIONS;
use crate::cloud::Cloud;
use crate::meter::{Meter, living};
use crate::table::Table;

/// The time that a job of Graph takes. An export's progress, which is news, changes every hundredth of it.
const JOB: Duration = Duration::from_secs(600);
/// Pauses between looks of which the second finds nothing new.
const RUNNING: Duration = Duration::from_millis(2_200);
/// Later than the watchdog.
const LATE: Duration = Duration::from_secs(80);
/// Later than the end of a job by so much that nothing is learnt of its length: the looks at later operations would follow
/// from it.
const OVER: Duration = Duration::from_secs(1_300);
/// A configuration is read anew after so long.
const STALE: Duration = Duration::from_secs(15 * 60);
const MB: f64 = 1e6;

/// Milliseconds of the processor.
#[derive(Default)]
struct Spent {
    starts: [Vec<f64>; 3],
    first: Vec<f64>,
    running: Vec<f64>,
    done: Vec<f64>,
    closed: Vec<f64>,
}

struct Bench {
    cloud: Cloud,
    mapping: Mapping,
    start: Meter,
    poll: Meter,
    index: usize,
    /// The number of calls of the journal that have been read.
    seen: usize,
}

pub(crate) async fn measure(invocations: usize, table: &mut Table) -> Result<()> {
    let mut bench = Bench::new().await?;
    let mut starts = Spent::default().starts;
    for size in [1, 10] {
        // Six invocations each of the poll function, one or ten and one more of the other: together a thousand.
        let rounds = match size {
            1 => invocations * 12 / 100,
            _ => invocations * 7 / 100,
        };
        let mut spent = Spent::default();
        for _ in 0..rounds.max(2) {
            bench.round(size, &mut spent).await?;
        }
        let title = format!("poll-operation, warm, batch of {size}");
        table.title(&title, "CPU ms")?;
        let (unchanged, done) = match size {
            10 => ("<= 1.5", "<= 5"),
            _ => ("", ""),
        };
        table.spread("all running, first look: written down", &spent.first, "")?;
        table.spread("all running, nothing new", &spent.running, unchanged)?;
        table.spread("all done: reported and closed", &spent.done, done)?;
        table.spread("all closed before: dropped", &spent.closed, "")?;
        for (all, more) in starts.iter_mut().zip(spent.starts) {
            all.extend(more);
        }
    }
    table.title("start-operation, warm", "CPU ms")?;
    for (name, spent) in OPERATIONS.iter().zip(&starts) {
        table.spread(name, spent, "<= 1.0")?;
    }
    table.spread("all", &starts.concat(), "<= 1.0")?;
    bench.rereads((invocations / 33).max(2), table).await?;
    let sweeps = bench.sweeps(invocations).await?;
    table.title("sweep-operations, warm", "CPU ms")?;
    table.spread("nothing overdue", &sweeps, "")?;
    bench.memory(table)
}

fn graph(options: &mut GraphOptions) {
    let soon = Some("1".to_owned());
    options.durations.export_seconds = JOB.as_secs_f64();
    options.durations.goals_seconds = JOB.as_secs_f64();
    options.durations.schedule_seconds = JOB.as_secs_f64();
    // Tokens have their own row.
    options.durations.access_token_seconds = 30 * 24 * 3600;
    let behaviour = &mut options.behaviour;
    behaviour.export.retry_after_start.clone_from(&soon);
    behaviour.export.retry_after_poll.clone_from(&soon);
    behaviour.goals.retry_after_start.clone_from(&soon);
    behaviour.goals.retry_after_poll.clone_from(&soon);
    behaviour.schedule.retry_after_start.clone_from(&soon);
    behaviour.schedule.retry_after_poll = soon;
}

impl Bench {
    /// With both functions warm: connections open, tokens fetched.
    async fn new() -> Result<Self> {
        let cloud = Cloud::with(graph).await;
        let mapping = cloud.mapping().await;
        for index in 0..6 {
            let body = crate::body(&cloud, index);
            let answer = cloud.post(&format!("bench-{index}"), &body).await;
            ensure!(answer.status == 202, "{answer:?}");
        }
        for pause in [RUNNING, RUNNING, LATE, OVER] {
            cloud.clock.advance(pause);
            mapping.drain().await;
        }
        Ok(Self {
            start: Meter::new(&cloud.start)?,
            poll: Meter::new(&cloud.poll)?,
            seen: cloud.proxy.journal().len(),
            cloud,
            mapping,
            index: 6,
        })
    }

    /// So many operations from the request to the end, and the messages of all of them once more.
    async fn round(&mut self, size: usize, spent: &mut Spent) -> Result<()> {
        for _ in 0..size {
            let body = crate::body(&self.cloud, self.index);
            let key = format!("bench-{}", self.index);
            let (cpu, answer) = self.start.measure(self.cloud.post(&key, &body)).await?;
            ensure!(answer.status == 202, "{answer:?}");
            spent.starts[self.index % OPERATIONS.len()].push(cpu);
            self.index += 1;
        }
        let bodies = self.polls_sent()?;
        for times in [&mut spent.first, &mut spent.running] {
            self.cloud.clock.advance(RUNNING);
            let (cpu, batch) = self.batch(size).await?;
            ensure!(batch.kept.len() == size, "{batch:?}");
            times.push(cpu);
        }
        self.cloud.clock.advance(LATE);
        self.mapping.drain().await;

        self.cloud.clock.advance(OVER);
        self.refresh().await?;
        let (cpu, batch) = self.batch(size).await?;
        ensure!(batch.deleted.len() == size, "{batch:?}");
        spent.done.push(cpu);

        for body in bodies {
            let cloud = &self.cloud;
            cloud.ministack.send(&cloud.queue_url, &body).await;
        }
        let (cpu, batch) = self.batch(size).await?;
        ensure!(batch.deleted.len() == size, "{batch:?}");
        spent.closed.push(cpu);
        Ok(())
    }

    /// Has a configuration that grew old read anew, outside of every figure.
    async fn refresh(&self) -> Result<()> {
        let outcome = self.cloud.poll.invoke(&json!({ "Records": [] })).await;
        ensure!(matches!(outcome, Outcome::Answer(_)), "{outcome:?}");
        let answer = self.cloud.get("/healthz").await;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    async fn batch(&self, size: usize) -> Result<(f64, Batch)> {
        let mapping = self.mapping.clone().with_batch_size(size);
        let (cpu, batch) = self.poll.measure(mapping.poll_once()).await?;
        ensure!(batch.received == size && !batch.failed, "{batch:?}");
        Ok((cpu, batch))
    }

    /// The bodies of the poll messages that were sent since the last time.
    fn polls_sent(&mut self) -> Result<Vec<String>> {
        let journal = self.cloud.proxy.journal();
        let mut bodies = Vec::new();
        for call in &journal[self.seen..] {
            if call.operation != "SendMessage" {
                continue;
            }
            let request: Value = serde_json::from_slice(&call.request)?;
            let body = request["MessageBody"].as_str().unwrap_or_default();
            if body.contains("PollV1") {
                bodies.push(body.to_owned());
            }
        }
        self.seen = journal.len();
        Ok(bodies)
    }

    /// The cost of reading the configuration anew: once in 15 minutes for each process.
    async fn rereads(&self, count: usize, table: &mut Table) -> Result<()> {
        let mut plain = Vec::new();
        let mut rereads = Vec::new();
        for _ in 0..count {
            self.cloud.clock.advance(STALE);
            rereads.push(self.start.measure(self.cloud.get("/healthz")).await?.0);
            plain.push(self.start.measure(self.cloud.get("/healthz")).await?.0);
        }
        table.spread("/healthz", &plain, "")?;
        let text = "/healthz with the configuration read anew";
        table.spread(text, &rereads, "")?;
        Ok(())
    }

    async fn sweeps(&self, count: usize) -> Result<Vec<f64>> {
        let event = json!({});
        let sweep = &self.cloud.sweep;
        ensure!(matches!(sweep.invoke(&event).await, Outcome::Answer(_)));
        let meter = Meter::new(sweep)?;
        let mut spent = Vec::new();
        for _ in 0..count {
            let (cpu, outcome) = meter.measure(sweep.invoke(&event)).await?;
            ensure!(matches!(outcome, Outcome::Answer(_)), "{outcome:?}");
            spent.push(cpu);
        }
        Ok(spent)
    }

    fn memory(&self, table: &mut Table) -> Result<()> {
        table.title("peak RSS", "MB")?;
        let cloud = &self.cloud;
        for (name, function) in [
            ("start-operation", &cloud.start),
            ("poll-operation", &cloud.poll),
            ("sweep-operations", &cloud.sweep),
        ] {
            let (peak, invocations) = peak(function)?;
            let text = format!("{name}, after {invocations} invocations");
            table.row(&text, peak, "<= 16")?;
        }
        Ok(())
    }
}

fn peak(function: &Function) -> Result<(f64, u64)> {
    let process = living(function)?;
    Ok((process.peak_rss_bytes as f64 / MB, process.invocations))
}
