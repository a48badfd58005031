//! The disk fails under the running server while it is asked for operations, and recovers. Afterwards four journals are
//! held against each other: what callers were told, what Graph saw, what the receiver got, what the API says.
//!
//! Server, Graph and receiver share one clock. What waits for minutes (a lease, the hold of a lost start, a message that
//! could not be put back) is not waited for: once nothing happens any more the clock moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::disk::FailingDisk;
use cloud_testkit::preload;
use courier_testkit::journals::Journals;
use courier_testkit::tenants;
use courier_testkit::world::Answer;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use crate::process::deployment::{QUICK, Site, is_closed, variables};
use crate::process::load::{Callers, DEADLINE, documents, settled};
use crate::process::program::{Courier, Ended, run};

/// What happens to the disk.
type Failure = fn(&FailingDisk);

/// An outage lasts until so many requests were refused in it.
const REFUSALS: usize = 25;
/// So many requests are answered before each outage.
const ANSWERS: usize = 20;
/// Longer than a lease and the hold of a lost start.
const LATER: Duration = Duration::from_secs(17 * 60);
/// An answer of Graph is offered to a disk that takes nothing for a little longer.
const REPEATED: SignedDuration = SignedDuration::from_secs(7);
/// What Graph's answer may take: its call came before the outage.
const BEFORE: SignedDuration = SignedDuration::from_secs(5);
const USER: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

/// Tokens live for seconds: to renew one the server writes, too.
const STORM: &str = "access_token_seconds = 2\n";
/// Graph takes its time to answer the start of an export.
const SLOW: &str = r#"
[[faults]]
on = "export.start"
action = { delay = { ms = 2000 } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_under_load_costs_no_operation_and_starts_none_twice() {
    let began = Instant::now();
    let stand = Stand::new(&QUICK.replace("[durations]\n", &format!("[durations]\n{STORM}"))).await;
    let callers = Callers::start(&stand.site, &stand.api);
    let outages: [(&str, Failure); 6] = [
        ("full", |disk| disk.is_full_after(0)),
        ("full within a page", |disk| disk.is_full_after(30_000)),
        ("read-only", FailingDisk::is_read_only),
        ("unable to keep", FailingDisk::syncs_in_vain),
        ("full within a header", |disk| disk.is_full_after(4_130)),
        ("read-only again", FailingDisk::is_read_only),
    ];
    let mut long = Vec::new();
    for (name, fail) in outages {
        callers.answered(ANSWERS).await;
        let (refused, born) = (stand.disk.refused(), stand.clock.now());
        fail(&stand.disk);
        callers.refused(REFUSALS).await;
        let known = documents(&stand.site, &stand.api).await.len();
        assert!(stand.disk.refused() > refused, "{name}: not the disk");
        stand.disk.works();
        let ended = stand.clock.now();
        // Graph's answers that came in it were repeated to the disk for eight seconds: longer outages lose some.
        if ended.duration_since(born) > REPEATED {
            long.push((born - BEFORE, ended));
        }
        println!(
            "{name}: {known} known, {} calls refused",
            stand.disk.refused() - refused
        );
    }
    let asked = callers.all_answered().await;
    let asking = began.elapsed();

    let documents = stand.all_closed().await;
    let (site, ended) = stand.end().await;
    // SQLite's words for a full disk, a write and a sync that failed.
    for words in ["database or disk is full", "code 778", "code 1034"] {
        assert!(ended.stderr.contains(words), "it does not log {words:?}");
    }
    let unknown = documents.values();
    let unknown = unknown.filter(|one| one["status"] == "unknown").count();
    let journals = Journals {
        asked,
        documents,
        calls: site.calls(),
        jobs: site.jobs().await,
        callbacks: site.receiver.journal(),
        lives: long,
    };
    journals.agree();
    println!(
        "{} operations in {asking:.1?}, {unknown} unknown, {} calls to Graph, {:.1?} in all",
        journals.asked.len(),
        journals.calls.len(),
        began.elapsed()
    );
}

/// Graph has answered 202 and the disk takes nothing: the answer is repeated to the disk for eight seconds.
#[tokio::test]
async fn an_answer_that_the_disk_takes_late_is_not_lost() {
    let stand = Stand::new(&format!("{QUICK}{SLOW}")).await;
    let body = tenants::export(&stand.site.receiver, USER, "dsar");
    let outage = async {
        stand.site.asked("export.start").await;
        stand.disk.is_full_after(0);
        stand.server.says("the monitor is not stored yet").await;
        stand.disk.works();
    };
    let (answer, ()) = tokio::join!(stand.post("late", &body), outage);
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"running".into())
    );
    let closed = stand.site.closed(&stand.api, &answer.id()).await;
    assert_eq!(closed["status"], "succeeded", "{closed}");
    assert_eq!(exports(&stand.site), 1);
    stand.end().await;
}

/// The same, but the disk stays full: what Graph answered is lost with the start's id, and nobody may ask Graph again.
#[tokio::test]
async fn an_answer_that_the_disk_never_takes_is_a_lost_start_and_is_not_sent_again() {
    let stand = Stand::new(&format!("{QUICK}{SLOW}")).await;
    let body = tenants::export(&stand.site.receiver, USER, "dsar");
    let outage = async {
        stand.site.asked("export.start").await;
        stand.disk.is_full_after(0);
    };
    let began = Instant::now();
    let (answer, ()) = tokio::join!(stand.post("lost", &body), outage);
    // Graph has accepted, so it is no 503.
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"starting".into())
    );
    assert!(
        began.elapsed() > Duration::from_secs(7),
        "{:?}",
        began.elapsed()
    );
    let fresh = tenants::schedule(&stand.site.receiver, TEAM);
    let refused = stand.post("fresh", &fresh).await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    stand.disk.works();

    let documents = stand.all_closed().await;
    let lost = &documents[&answer.id()];
    assert_eq!(lost["status"], "unknown", "{lost}");
    assert_eq!(lost["reason"], "start_outcome_unknown", "{lost}");
    assert_eq!(lost["callback"]["status"], "delivered", "{lost}");
    assert_eq!(exports(&stand.site), 1);
    let (site, _) = stand.end().await;
    let jobs = site.jobs().await;
    assert_eq!(jobs.len(), 1);
    courier_testkit::invariants::check(&site.calls(), &jobs, &site.receiver.journal());
}

/// Wherever in a page the disk fills up: what was acknowledged is there when the process dies before there is room again.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_on_a_full_disk() {
    let site = Arc::new(Site::new(QUICK).await);
    std::fs::create_dir(site.path("data")).unwrap();
    let mut acknowledged: Vec<(usize, String)> = Vec::new();
    let mut number = 0;
    // The log's header has 32 bytes, a page's header in it 24, a page 4096.
    for room in [
        0, 31, 33, 55, 57, 4_151, 4_153, 70_001, 200_003, 500_017, 900_001,
    ] {
        let disk = FailingDisk::new(&site.path("data"));
        let (server, api) = site.serve(&variables(&disk.environment())).await;
        disk.is_full_after(room);
        loop {
            number += 1;
            let answer = post(&site, &api, number).await;
            if answer.status == 503 {
                break;
            }
            assert_eq!(answer.status, 202, "{answer:?}");
            assert!(number < 500, "the disk is never full");
            acknowledged.push((number, answer.id()));
        }
        assert!(disk.refused() > 0);
        server.kill().await;

        let (server, api) = site.serve(&[]).await;
        for (number, id) in &acknowledged {
            let answer = post(&site, &api, *number).await;
            assert!(
                answer.header("idempotency-replayed").is_some(),
                "{room}: {answer:?}"
            );
            assert_eq!(answer.id(), *id);
        }
        server.kill().await;
    }
    // How much an operation writes depends on what else is in its commit.
    assert!(acknowledged.len() > 5, "{}", acknowledged.len());
}

#[tokio::test]
async fn a_server_that_starts_on_a_disk_that_takes_nothing_says_why_it_cannot() {
    let outages: [(&str, Failure); 2] = [
        ("No space left on device", |disk| disk.is_full_after(0)),
        ("Read-only file system", FailingDisk::is_read_only),
    ];
    for (words, fail) in outages {
        for used in [false, true] {
            let site = Site::new(QUICK).await;
            std::fs::create_dir(site.path("data")).unwrap();
            if used {
                let (server, _) = site.serve(&[]).await;
                server.signal("TERM").await;
                assert_eq!(server.ended().await.code, Some(0));
            }
            let disk = FailingDisk::new(&site.path("data"));
            fail(&disk);
            let arguments = site.arguments("127.0.0.1:0");
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let environment = disk.environment();
            let ended = run(&arguments, &variables(&environment)).await;
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stderr.contains(words), "{used}: {ended:?}");
            disk.works();
            let (server, api) = site.serve(&variables(&environment)).await;
            assert_eq!(post(&site, &api, 1).await.status, 202);
            server.kill().await;
        }
    }
}

async fn post(site: &Site, api: &str, number: usize) -> Answer {
    let team = format!("871dbd5c-3a6a-4392-bfe1-{number:012}");
    let body = tenants::schedule(&site.receiver, &team);
    let answer = site.post(api, &format!("room-{number}"), &body).await;
    answer.expect("the request got no answer")
}

fn exports(site: &Site) -> usize {
    let calls = site.calls();
    calls
        .iter()
        .filter(|call| call.call == "export.start")
        .count()
}

/// A server on a disk that fails on demand.
struct Stand {
    clock: ShiftedClock,
    disk: FailingDisk,
    site: Arc<Site>,
    server: Courier,
    api: String,
}

impl Stand {
    async fn new(script: &str) -> Self {
        let clock = ShiftedClock::new();
        let site = Site::at(script, &clock).await;
        std::fs::create_dir(site.path("data")).unwrap();
        let disk = FailingDisk::new(&site.path("data"));
        let environment = preload::together(&[clock.environment(), disk.environment()]);
        let (server, api) = site.serve(&variables(&environment)).await;
        Self {
            clock,
            disk,
            site: Arc::new(site),
            server,
            api,
        }
    }

    async fn post(&self, key: &str, body: &Value) -> Answer {
        let answer = self.site.post(&self.api, key, body).await;
        answer.expect("the request got no answer")
    }

    /// Lets time pass until everything is closed; the API's documents.
    async fn all_closed(&self) -> BTreeMap<String, Value> {
        let began = Instant::now();
        loop {
            let documents = settled(&self.site, &self.api).await;
            let open: Vec<_> = documents.values().filter(|one| !is_closed(one)).collect();
            if open.is_empty() {
                return documents;
            }
            assert!(began.elapsed() < DEADLINE, "still open: {open:#?}");
            self.clock.advance(LATER);
        }
    }

    /// Stops the server.
    async fn end(self) -> (Arc<Site>, Ended) {
        self.server.signal("TERM").await;
        let ended = self.server.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        (self.site, ended)
    }
}
