//! Runs seeds until one breaks a promise: `cargo run --release -p courier-simulation -- --seeds 1000000`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::Parser;
use courier_simulation::timetable::{cases, simulate};
use courier_simulation::{Plan, Report, run};

/// Simulates graph-courier: one seed, one history.
#[derive(Parser)]
struct Arguments {
    /// The first seed, or the only one.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of seeds to run.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Threads, each with seeds of its own.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Prints what happens.
    #[arg(long)]
    trace: bool,
    /// Prints how many looks the learned timetable needs and how late they are, instead of running seeds.
    #[arg(long)]
    timetable: bool,
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.timetable {
        println!(
            "| durations, deviation of ln | operations | longest pause | learned: looks, lag, mean of lag / duration | a tenth of the age |"
        );
        println!("| --- | --- | --- | --- | --- |");
        cases()
            .into_iter()
            .map(simulate)
            .for_each(|row| println!("{row}"));
        return ExitCode::SUCCESS;
    }
    let next = AtomicU64::new(arguments.seed);
    let end = arguments.seed.saturating_add(arguments.seeds);
    let work = || {
        let (mut sum, mut broken) = (Sum::default(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return (sum, broken);
            }
            match run(Plan::of(seed), arguments.trace) {
                Ok(report) => sum.add(&report),
                Err(error) => {
                    println!("{error}");
                    broken += 1;
                }
            }
        }
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().filter_map(|thread| thread.join().ok());
        joined.collect()
    });
    let whole = parts.len() == arguments.threads;
    let broken: u64 = parts.iter().map(|(_, broken)| broken).sum();
    let sum = parts
        .iter()
        .fold(Sum::default(), |all, (sum, _)| all.and(sum));
    println!(
        "{} seeds kept every promise, {broken} did not: {} operations, {} deaths of processes, {} calls to Graph, {} callbacks; {:?}",
        sum.seeds, sum.operations, sum.kills, sum.calls, sum.callbacks, sum.ends
    );
    if whole && broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    operations: u64,
    kills: u64,
    calls: u64,
    callbacks: u64,
    ends: BTreeMap<&'static str, usize>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.operations += report.operations as u64;
        self.kills += report.kills;
        self.calls += report.calls as u64;
        self.callbacks += report.callbacks as u64;
        self.add_ends(&report.ends);
    }

    fn add_ends(&mut self, ends: &BTreeMap<&'static str, usize>) {
        for (word, count) in ends {
            *self.ends.entry(word).or_default() += count;
        }
    }

    fn and(mut self, other: &Self) -> Self {
        self.add_ends(&other.ends);
        Self {
            ends: self.ends,
            seeds: self.seeds + other.seeds,
            operations: self.operations + other.operations,
            kills: self.kills + other.kills,
            calls: self.calls + other.calls,
            callbacks: self.callbacks + other.callbacks,
        }
    }
}
