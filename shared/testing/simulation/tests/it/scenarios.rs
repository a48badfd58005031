//! Histories with one kind of trouble: storms, outages, and every bug that a seed has found.

use std::collections::BTreeMap;
use std::time::Duration;

use courier_core::callback::DELIVERY_WINDOW;
use courier_core::lifecycle::schedule::CALLBACK_PAUSES;
use courier_simulation::{History, Host, Plan, Storm, history};
use jiff::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn whole(plan: Plan) -> History {
    history(plan, false).unwrap_or_else(|broken| {
        // A scenario has a plan of its own: its seed alone does not repeat it.
        panic!("{}\n{}", broken.promise, broken.trace.join("\n"))
    })
}

/// Seed 1314 of an early version: a store that refused the result of a poll sent the next one five seconds later.
#[test]
fn an_unrecorded_poll_is_not_repeated_before_retry_after() {
    let mut looks = 0;
    for seed in 0..10 {
        let plan = Plan {
            seed,
            store_refuses: 0.3,
            faults_for: 2 * HOUR,
            host: Host::Machine,
            ..Plan::calm(20, MINUTE)
        };
        looks += whole(plan).looks.len();
    }
    assert!(looks > 500, "{looks}");
}

/// A process stands still between its claim and its call, and wakes when others have found out what became of the start.
#[test]
fn a_start_is_not_sent_after_its_lease() {
    for seed in 0..10 {
        let plan = Plan {
            seed,
            freeze: 0.2,
            freeze_at: Some("record.update"),
            faults_for: 2 * HOUR,
            host: Host::Machine,
            ..Plan::calm(20, MINUTE)
        };
        whole(plan);
    }
}

/// Minutes of 429: nobody asks too early (checked at every call), and afterwards no ten seconds see more than 1.2 times
/// the steady rate.
fn storm(operations: u64, minutes: u32, retry_after: Option<u32>) {
    let (from, until) = (4 * MINUTE, (4 + minutes) * MINUTE);
    let mut plan = Plan::calm(operations, MINUTE);
    plan.operation = Some("goals");
    plan.curious = false;
    plan.slow = 0.0;
    plan.durations.goals_seconds = 1500.0;
    plan.storm = Some(Storm {
        from,
        until,
        retry_after,
    });
    plan.faults_for = until;
    let history = whole(plan);
    let mut buckets: BTreeMap<u64, u32> = BTreeMap::new();
    for look in &history.looks {
        let age = look.duration_since(history.began).as_secs() as u64;
        *buckets.entry(age / 10).or_default() += 1;
    }
    let most = |from: Duration, until: Duration| {
        let range = from.as_secs() / 10..until.as_secs() / 10;
        buckets
            .range(range)
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
    };
    let steady = most(2 * MINUTE, from);
    let after = most(until, 40 * MINUTE);
    println!("{retry_after:?}: at most {steady} looks in ten seconds before, {after} after");
    assert!(u64::from(steady) > operations / 10, "{steady}");
    assert!(
        f64::from(after) <= 1.2 * f64::from(steady),
        "{after} after {steady}"
    );
}

#[test]
fn polls_are_spread_after_a_throttling_storm() {
    storm(2_000, 10, Some(60));
}

#[test]
fn polls_are_spread_after_a_storm_with_one_retry_date() {
    storm(4_000, 10, None);
}

/// A tenth of a short pause would be seconds.
#[test]
fn polls_are_spread_after_a_short_storm_with_one_retry_date() {
    storm(2_000, 2, None);
}

#[test]
fn a_receiver_that_is_down_for_three_hours_is_left_alone_and_then_gets_everything() {
    let mut plan = Plan::calm(30, MINUTE);
    plan.curious = false;
    plan.receivers_down_for = 3 * HOUR;
    plan.durations.export_seconds = 1.0;
    plan.durations.goals_seconds = 1.0;
    let history = whole(plan);
    let mut attempts: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for callback in &history.callbacks {
        let id = callback.header("webhook-id").unwrap();
        attempts.entry(id).or_default().push(callback.at);
    }
    assert!(attempts.len() > 10);
    for times in attempts.values() {
        for (pair, pause) in times.windows(2).zip(CALLBACK_PAUSES) {
            let waited = pair[1].duration_since(pair[0]).as_secs_f64();
            let least = pause.as_secs_f64() * 0.8;
            // The last attempt falls on the end of the window, which may cut its pause off.
            let since_first = pair[1].duration_since(times[0]).as_secs_f64();
            let is_last = since_first >= DELIVERY_WINDOW.as_secs_f64();
            assert!(waited >= least || is_last, "{waited} s, not {pause:?}");
        }
    }
    // By the schedule alone each would have tried five times: 150. A probe every five minutes is 36 for each client.
    let tried: usize = attempts.values().map(Vec::len).sum();
    let failed = tried - attempts.len();
    assert!(
        (72..=110).contains(&failed),
        "{failed} attempts in three hours"
    );
}

/// Login, Graph and receivers all answer, and each only after nine tenths of its time limit.
#[test]
fn peers_that_are_slow_cost_time_and_nothing_else() {
    for (host, seed) in [(Host::Machine, 1), (Host::Functions, 2)] {
        let plan = Plan {
            seed,
            host,
            slow_peers: 1.0,
            curious: false,
            ..Plan::calm(200, MINUTE)
        };
        let history = whole(plan);
        let ends = &history.report.ends;
        assert_eq!(ends["succeeded"], 200, "{ends:?}");
        assert_eq!(ends.get("claimedAgain"), None, "{ends:?}");
        // Some receivers refuse every time. Of the others a few are called twice: where a first poll is over a minute
        // late, the watchdog takes over, and both messages may deliver once.
        let mut attempts: BTreeMap<&str, usize> = BTreeMap::new();
        for callback in &history.callbacks {
            let id = callback.header("webhook-id").unwrap();
            *attempts.entry(id).or_default() += 1;
        }
        let often = attempts.values().filter(|count| **count > 1).count();
        assert!(often <= ends["undeliverable"] + 10, "{often} {ends:?}");
    }
}
