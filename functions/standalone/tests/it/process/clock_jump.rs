//! The wall clock of the server jumps two hours ahead and back under load, while the clocks of Graph and the receiver do
//! not; four journals must agree in the end. What was postponed while the clock was ahead is due at that time of the
//! clock: after the clock is set back the operation waits, and is not lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use courier_testkit::journals::Journals;
use courier_testkit::receiver::{Answer as Reply, Callback};
use courier_testkit::tenants;
use graph_simulator::Entry;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use crate::process::deployment::{QUICK, Site, is_closed, variables};
use crate::process::load::{Callers, DEADLINE, settled};
use crate::process::program::now;

const JUMP: Duration = Duration::from_secs(2 * 3600);
const ID: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
/// Number of requests answered between two jumps.
const ANSWERS_BETWEEN_JUMPS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_jumping_under_load_loses_no_operation_and_starts_none_twice() {
    let began = Instant::now();
    let site = Arc::new(Site::new(&format!("{QUICK}{FAULTS}")).await);
    for _ in 0..10 {
        site.receiver.answer_next(Reply::status(503));
    }
    let mut clock = Jumping::new();
    let (server, api) = site.serve(&variables(&clock.clock.environment())).await;
    let callers = Callers::start(&site, &api);
    for jump in [
        Jump::Ahead,
        Jump::Back,
        Jump::Ahead,
        Jump::Back,
        Jump::Back,
        Jump::Ahead,
    ] {
        callers.answered(ANSWERS_BETWEEN_JUMPS).await;
        clock.jump(jump);
    }
    callers.answered(ANSWERS_BETWEEN_JUMPS).await;
    assert_eq!(callers.refusals(), 0);
    let asked = callers.all_answered().await;

    let documents = loop {
        let documents = settled(&site, &api).await;
        let open: Vec<_> = documents.values().filter(|one| !is_closed(one)).collect();
        if open.is_empty() {
            break documents;
        }
        println!("{} of {} wait for the clock", open.len(), documents.len());
        assert!(began.elapsed() < DEADLINE, "still open: {open:#?}");
        clock.jump(Jump::Ahead);
    };
    server.signal("TERM").await;
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    for (outcome, count) in outcomes(&documents) {
        println!("{count} {outcome}");
    }
    let callbacks = site.receiver.journal().into_iter();
    Journals {
        asked,
        documents,
        calls: clock.without_jumped_pauses(site.calls()),
        jobs: site.jobs().await,
        callbacks: callbacks.map(|callback| clock.as_sent(callback)).collect(),
        lives: Vec::new(),
    }
    .agree();
    println!("{:.1?} in all", began.elapsed());
}

/// By the server's clock the lease of the start is over before Graph has answered.
#[tokio::test]
async fn a_start_unanswered_when_the_clock_jumps_leads_to_one_polled_job() {
    let slow = "[[faults]]\non = \"*.start\"\naction = { delay = { ms = 5000 } }\n";
    for kind in ["export", "goals"] {
        let site = Site::new(&format!("{QUICK}{slow}")).await;
        let clock = ShiftedClock::new();
        let (server, api) = site.serve(&variables(&clock.environment())).await;
        let body = match kind {
            "export" => tenants::export(&site.receiver, ID, "dsar"),
            _ => tenants::goals(&site.receiver, ID, ID),
        };
        let jump = async {
            site.asked(&format!("{kind}.start")).await;
            clock.advance(JUMP);
        };
        let (sent, ()) = tokio::join!(site.post(&api, "air", &body), jump);
        let answer = sent.unwrap();
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"running".into())
        );
        let path = format!("/v1/operations/{}/history", answer.id());
        let history = site.get(&api, &path).await.unwrap().body.to_string();
        let takeover = if kind == "export" {
            "lease over"
        } else {
            "adopted"
        };
        assert!(
            history.contains(takeover),
            "the start was not taken over: {history}"
        );
        // An adopted job is polled after the catalogue's first pause.
        clock.advance(JUMP);
        let closed = site.closed(&api, &answer.id()).await;
        assert_eq!(closed["status"], "succeeded", "{closed}");
        assert_eq!(site.jobs().await.len(), 1, "{kind}");
        let calls = site.calls();
        let starts = calls.iter().filter(|call| call.call.ends_with(".start"));
        assert_eq!(starts.count(), if kind == "export" { 1 } else { 2 });
        server.kill().await;
    }
}

/// Faults that make starts wait for their answer while the clock jumps, and some starts repeat.
const FAULTS: &str = r#"
[[faults]]
on = "*.start"
skip = 10
times = 60
action = { delay = { ms = 150 } }
[[faults]]
on = "goals.start"
times = 5
action = "lost_after"
[[faults]]
on = "*.poll"
skip = 20
times = 20
action = { status = { status = 503, retry_after = 1 } }
"#;

fn outcomes(documents: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut outcomes = BTreeMap::new();
    for document in documents.values() {
        *outcomes.entry(document["status"].to_string()).or_default() += 1;
    }
    outcomes
}

#[derive(Clone, Copy)]
enum Jump {
    Ahead,
    Back,
}

/// The server's clock, and the times of its jumps by the clocks of Graph and the receiver.
struct Jumping {
    clock: ShiftedClock,
    ahead: Vec<Timestamp>,
    /// All differences to the other clocks, in hours, that the clock has had.
    hours_off: BTreeSet<i64>,
    hours: i64,
}

impl Jumping {
    fn new() -> Self {
        Self {
            clock: ShiftedClock::new(),
            ahead: Vec::new(),
            hours_off: [0].into(),
            hours: 0,
        }
    }

    fn jump(&mut self, jump: Jump) {
        match jump {
            Jump::Ahead => {
                self.ahead.push(now());
                self.clock.advance(JUMP);
                self.hours += 2;
            }
            Jump::Back => {
                self.clock.set_back(JUMP);
                self.hours -= 2;
            }
        }
        self.hours_off.insert(self.hours);
    }

    /// Removes `not_before` where the clock jumped over the end of a pause that Graph requested.
    ///
    /// By the server's clock that pause was over, so the poll is no violation.
    fn without_jumped_pauses(&self, mut calls: Vec<Entry>) -> Vec<Entry> {
        for call in &mut calls {
            let (at, over) = (call.at, call.not_before);
            let jumped = |jump: &Timestamp| over.is_some_and(|over| (at..=over).contains(jump));
            if self.ahead.iter().any(jumped) {
                call.not_before = None;
            }
        }
        calls
    }

    /// Returns the callback with the time of the sender's clock, which must be at one of the differences it has had.
    fn as_sent(&self, mut callback: Callback) -> Callback {
        let timestamp = callback.header("webhook-timestamp").unwrap_or_default();
        let sent: i64 = timestamp.parse().unwrap();
        let mut shown = self.hours_off.iter().map(|hours| {
            callback
                .at
                .saturating_add(SignedDuration::from_hours(*hours))
                .unwrap()
        });
        let at = shown.find(|at| at.as_second().abs_diff(sent) <= 2);
        callback.at = at.unwrap_or_else(|| panic!("{sent} was never the time: {callback:?}"));
        callback
    }
}
