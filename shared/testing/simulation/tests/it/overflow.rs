//! More operations wait than the queue may have messages in flight.

use std::collections::HashSet;
use std::time::Duration;

use courier_simulation::{History, Plan, history};

const HOUR: Duration = Duration::from_secs(3600);
/// Exports of 24 hours that begin within 24 hours: at the height nearly all of them wait at the same time.
const OPERATIONS: u64 = 500;

fn exports(in_flight_limit: Option<u64>) -> History {
    let mut plan = Plan::calm(OPERATIONS, 24 * HOUR);
    plan.operation = Some("export");
    plan.curious = false;
    plan.slow = 0.0;
    plan.durations.export_seconds = 24.0 * 3600.0;
    plan.in_flight_limit = in_flight_limit;
    history(plan, false)
        .unwrap_or_else(|broken| panic!("{}\n{}", broken.promise, broken.trace.join("\n")))
}

/// A limit of an eighth of the operations, as 120,000 is of a million.
#[test]
fn a_queue_stays_below_its_limit_with_eight_times_as_many_operations() {
    let limit = OPERATIONS / 8;
    let (plain, bounded) = (exports(None), exports(Some(limit)));
    println!("unbounded: {:?}, {} looks", plain.effort, plain.looks.len());
    println!(
        "bounded: {:?}, {} looks",
        bounded.effort,
        bounded.looks.len()
    );
    assert!(plain.effort.most_in_flight as u64 > OPERATIONS / 2);
    let most = bounded.effort.most_in_flight as u64;
    assert!(most < limit, "{most} messages, {limit} allowed");
    let looks = bounded.looks.len().abs_diff(plain.looks.len());
    assert!(
        looks * 50 < plain.looks.len(),
        "{looks} looks more or fewer"
    );
    // Each operation that has a callback has a URL of its own. Some receivers refuse deliveries, which are then repeated.
    let urls = |history: &History| -> HashSet<String> {
        let callbacks = history.callbacks.iter();
        callbacks.map(|callback| callback.path.clone()).collect()
    };
    assert_eq!(urls(&bounded), urls(&plain));
    let ended = bounded
        .report
        .ends
        .get("succeeded")
        .map(|count| *count as u64);
    assert_eq!(ended, Some(OPERATIONS));
}
