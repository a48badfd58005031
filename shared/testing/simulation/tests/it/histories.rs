//! Histories that keep every promise.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use courier_simulation::{Broken, Plan, Report, run};

const SEEDS: u64 = 100;

#[test]
fn many_histories_keep_every_promise() {
    let next = AtomicU64::new(0);
    let (reports, broken) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            match run(Plan::of(seed), false) {
                Ok(report) => reports.lock().unwrap().push(report),
                Err(error) => broken.lock().unwrap().push(error),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let broken: Vec<Broken> = broken.into_inner().unwrap();
    let all: Vec<String> = broken.iter().map(Broken::to_string).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
    let reports: Vec<Report> = reports.into_inner().unwrap();
    assert_eq!(reports.len() as u64, SEEDS);
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let (kills, callbacks) = (
        sum(|report| report.kills),
        sum(|report| report.callbacks as u64),
    );
    println!(
        "{} operations, {kills} deaths of processes, {} calls to Graph, {callbacks} callbacks",
        sum(|report| report.operations as u64),
        sum(|report| report.calls as u64),
    );
    // Histories in which nothing happens would keep every promise too.
    assert!(kills > 10 * SEEDS && callbacks > 5 * SEEDS);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (word, count) in reports.iter().flat_map(|report| &report.ends) {
        *ends.entry(word).or_default() += count;
    }
    println!("{ends:?}");
    for word in [
        "succeeded",
        "failed",
        "expired",
        "unknown",
        "cancelled",
        "delivered",
        "undeliverable",
        "adopted",
        "claimedAgain",
        "lookedFor",
        "found",
        "startedAgain",
        "tooEarly",
        "followed",
        "announced",
    ] {
        assert!(ends.contains_key(word), "no history has seen {word}");
    }
}

#[test]
fn a_seed_has_one_history() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        let once = run(Plan::of(seed), false).unwrap();
        let twice = run(Plan::of(seed), false).unwrap();
        assert_eq!(once, twice, "trace and figures of seed {seed}");
    }
}

#[test]
fn seeds_have_different_histories() {
    let first = run(Plan::of(1), false).unwrap();
    let second = run(Plan::of(2), false).unwrap();
    assert_ne!(first.hash, second.hash);
}
