//! Very many operations that wait at once: measures what holding them costs and how late their polls are, and checks
//! that none is lost.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use courier_testkit::bench_report::{Report, percentile};
use graph_simulator::Entry;
use jiff::Timestamp;
use tokio::time::{Instant, interval, sleep_until};

use crate::machine::{Machine, TENANTS};
use crate::process::Late;
use crate::traffic::now;
use crate::{CLIENTS, script};

/// Seconds between polls that Graph asks for in `Retry-After`.
const RETRY_AFTER_SECONDS: u32 = 60;
/// Time allowed for sending all requests; the first job ends only after the hold.
const FILL_TIME: Duration = Duration::from_secs(180);
/// Time without a poll after which an operation counts as lost: the longest pause with its jitter, and a margin.
const LOST_AFTER: Duration = Duration::from_secs(90);
/// Time allowed from the end of the first job to the callback of the last.
const END_TIME: Duration = Duration::from_secs(600);
/// Journal setting: it holds this many lines, so that none is dropped between two reads.
const JOURNAL_SIZE: &str = "journal_keep = 50000";

/// Fills `count` operations, holds them for `seconds`, then lets all of them end.
pub(crate) async fn hold(count: usize, seconds: u64, report: &mut Report) -> Result<()> {
    let lives = (FILL_TIME + Duration::from_secs(seconds)).as_secs_f64();
    let script = script(lives, RETRY_AFTER_SECONDS).replace("journal_keep = 512", JOURNAL_SIZE);
    let machine = Machine::with_graph_logging_lateness(&script).await?;
    let began = Instant::now();
    // The first requests fetch the tokens, so they are not part of the measurement.
    machine.send(0..TENANTS * 3, CLIENTS).await?;
    let idle = machine.server.memory_mb("VmRSS")?;
    let all = TENANTS * 3 + count;
    let accepted = machine.send(TENANTS * 3..all, CLIENTS).await?;
    let filled = began.elapsed();
    report.scenario(&format!("{count} operations held for {seconds} s"))?;
    report.row("filled within", "s", filled.as_secs_f64(), "")?;
    report.row(
        "202 after, p99",
        "ms",
        percentile(&accepted, 0.99),
        "<= 300",
    )?;
    ensure!(
        filled < FILL_TIME,
        "the first jobs end before the hold does"
    );

    let before = Meter::read(&machine)?;
    let polls = watch(&machine, Instant::now() + Duration::from_secs(seconds)).await?;
    let after = Meter::read(&machine)?;
    let late = machine.late();
    describe(&before, &after, &polls, &late, report)?;
    let each = (after.memory_mb - idle) * 1024.0 / count as f64;
    report.row("RSS", "KB per operation", each, "<= 3")?;
    report.row(
        "forgotten by its end",
        "operations",
        polls.forgotten(all) as f64,
        "0",
    )?;

    let arrived = machine.receiver.arrived_within(all, END_TIME).await;
    let missing = all - machine.receiver.arrivals().len();
    report.row("lost", "callbacks", missing as f64, "0")?;
    report.row("peak RSS", "MB", machine.server.memory_mb("VmHWM")?, "")?;
    arrived?;
    machine.stop().await
}

/// Resources that the server has used up to one moment.
struct Meter {
    at: Instant,
    cpu_seconds: f64,
    memory_mb: f64,
    file_mb: f64,
    written_mb: f64,
}

impl Meter {
    fn read(machine: &Machine) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            cpu_seconds: machine.server.cpu_seconds()?,
            memory_mb: machine.server.memory_mb("VmRSS")?,
            file_mb: machine.file_mb()?,
            written_mb: machine.server.written_bytes()? / 1e6,
        })
    }
}

fn describe(
    before: &Meter,
    after: &Meter,
    polls: &Polls,
    late: &[Late],
    report: &mut Report,
) -> Result<()> {
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    let cpu = after.cpu_seconds - before.cpu_seconds;
    report.row("polls", "/s", polls.count as f64 / seconds, "")?;
    report.row("polls", "in all", polls.count as f64, "")?;
    report.row("missed", "lines of the journal", polls.missed as f64, "0")?;
    let late = lateness_of_each(late);
    report.row("late by at most, p50", "ms", percentile(&late, 0.5), "")?;
    report.row(
        "late by at most, p99",
        "ms",
        percentile(&late, 0.99),
        "<= 2000",
    )?;
    report.row("late by at most, max", "ms", percentile(&late, 1.0), "")?;
    // Jitter is upward only: a tenth of the pause.
    report.row(
        "after Retry-After, p50",
        "s",
        percentile(&polls.after, 0.5),
        "",
    )?;
    report.row(
        "after Retry-After, p99",
        "s",
        percentile(&polls.after, 0.99),
        "",
    )?;
    report.row(
        "after Retry-After, max",
        "s",
        percentile(&polls.after, 1.0),
        "",
    )?;
    report.row("before Retry-After", "polls", polls.early as f64, "0")?;
    report.row("CPU", "s", cpu, "")?;
    report.row("CPU share", "cores", cpu / seconds, "<= 0.1")?;
    report.row("CPU", "ms per poll", cpu * 1e3 / polls.count as f64, "")?;
    report.row("RSS at its begin", "MB", before.memory_mb, "")?;
    report.row("RSS at its end", "MB", after.memory_mb, "")?;
    report.row("file at its begin", "MB", before.file_mb, "")?;
    report.row("file at its end", "MB", after.file_mb, "")?;
    let written = (after.written_mb - before.written_mb) / seconds;
    Ok(report.row("written", "MB/s", written, "")?)
}

/// Returns an upper bound of how late each message was, in milliseconds.
///
/// The server logs only the latest of the messages that it receives together.
fn lateness_of_each(late: &[Late]) -> Vec<f64> {
    let each = late.iter();
    each.flat_map(|late| std::iter::repeat_n(late.milliseconds, late.count))
        .collect()
}

/// Figures about the polls, gathered from the simulator's journal.
#[derive(Default)]
struct Polls {
    count: usize,
    /// Seconds between the earliest time that Graph allowed and the poll.
    after: Vec<f64>,
    early: usize,
    /// Number of lines that the journal had dropped before they were read.
    missed: u64,
    seen: u64,
    jobs: HashMap<String, LastPoll>,
}

/// The last poll of a job.
struct LastPoll {
    at: Timestamp,
    not_before: Option<Timestamp>,
}

async fn watch(machine: &Machine, until: Instant) -> Result<Polls> {
    let mut journal = machine.journal().await?;
    let mut polls = Polls {
        seen: journal.last().await?,
        ..Polls::default()
    };
    machine.clear_late();
    let mut ticks = interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                for entry in journal.since(polls.seen).await? {
                    polls.note(entry);
                }
            }
            () = sleep_until(until) => return Ok(polls),
        }
    }
}

impl Polls {
    fn note(&mut self, entry: Entry) {
        self.missed += entry.seq.saturating_sub(self.seen + 1);
        self.seen = entry.seq;
        let polled = entry.call.ends_with(".poll");
        let Some(job) = entry.job.filter(|_| polled) else {
            return;
        };
        self.count += 1;
        let poll = LastPoll {
            at: entry.at,
            not_before: entry.not_before,
        };
        let last = self.jobs.insert(job, poll);
        if let Some(allowed) = last.and_then(|last| last.not_before) {
            let after = entry.at.duration_since(allowed).as_secs_f64();
            self.early += usize::from(after < 0.0);
            self.after.push(after);
        }
    }

    /// Returns how many of `all` operations were not polled in the last [`LOST_AFTER`].
    fn forgotten(&self, all: usize) -> usize {
        let since = now().saturating_sub(LOST_AFTER).unwrap_or_default();
        let last_polls = self.jobs.values();
        all.saturating_sub(last_polls.filter(|poll| poll.at >= since).count())
    }
}
