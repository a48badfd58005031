//! The disk of the running server fails under load and recovers; afterwards four journals must agree: the answers that
//! callers got, the calls that Graph saw, the callbacks that the receiver got, and the documents of the API. Server,
//! Graph and receiver share one clock; instead of waiting for leases, holds and messages that could not be put back,
//! the test moves it once nothing happens any more.

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

/// Makes the disk fail in one way.
type Failure = fn(&FailingDisk);

/// Number of refused requests after which an outage ends.
const REFUSALS_PER_OUTAGE: usize = 25;
/// Number of requests answered before each outage.
const ANSWERS_BEFORE_OUTAGE: usize = 20;
/// Time by which the clock moves; longer than a lease and the hold of a lost start.
const CLOCK_STEP: Duration = Duration::from_secs(17 * 60);
/// Length of outage that loses no answer of Graph; a write of it is repeated for a little longer than this.
const HARMLESS_OUTAGE: SignedDuration = SignedDuration::from_secs(7);
/// Time before an outage in which calls may have been made whose answers came during it.
const ANSWER_DELAY: SignedDuration = SignedDuration::from_secs(5);
const USER: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

/// Makes tokens expire within seconds, because the server also writes when it renews one.
const SHORT_TOKENS: &str = "access_token_seconds = 2\n";
/// Makes Graph answer the start of an export only after two seconds.
const SLOW_START: &str = r#"
[[faults]]
on = "export.start"
action = { delay = { ms = 2000 } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_failing_under_load_loses_no_operation_and_starts_none_twice() {
    let began = Instant::now();
    let setup = FailingServer::new(
        &QUICK.replace("[durations]\n", &format!("[durations]\n{SHORT_TOKENS}")),
    )
    .await;
    let callers = Callers::start(&setup.site, &setup.api);
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
        callers.answered(ANSWERS_BEFORE_OUTAGE).await;
        let (refused, born) = (setup.disk.refused(), setup.clock.now());
        fail(&setup.disk);
        callers.refused(REFUSALS_PER_OUTAGE).await;
        let known = documents(&setup.site, &setup.api).await.len();
        assert!(setup.disk.refused() > refused, "{name}: not the disk");
        setup.disk.works();
        let ended = setup.clock.now();
        // Writes of Graph's answers are repeated for eight seconds, so a longer outage may lose some.
        if ended.duration_since(born) > HARMLESS_OUTAGE {
            long.push((born - ANSWER_DELAY, ended));
        }
        println!(
            "{name}: {known} known, {} calls refused",
            setup.disk.refused() - refused
        );
    }
    let asked = callers.all_answered().await;
    let asking = began.elapsed();

    let documents = setup.all_closed().await;
    let (site, ended) = setup.end().await;
    // SQLite's messages for a full disk, a failed write and a failed sync.
    for message in ["database or disk is full", "code 778", "code 1034"] {
        assert!(
            ended.stderr.contains(message),
            "it does not log {message:?}"
        );
    }
    let outcomes = documents.values();
    let unknown = outcomes.filter(|one| one["status"] == "unknown").count();
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

/// The disk fails when Graph has answered 202; the write of the answer is repeated for eight seconds.
#[tokio::test]
async fn graphs_answer_is_not_lost_when_the_disk_recovers_in_time() {
    let setup = FailingServer::new(&format!("{QUICK}{SLOW_START}")).await;
    let body = tenants::export(&setup.site.receiver, USER, "dsar");
    let outage = async {
        setup.site.asked("export.start").await;
        setup.disk.is_full_after(0);
        setup.server.says("the monitor is not stored yet").await;
        setup.disk.works();
    };
    let (answer, ()) = tokio::join!(setup.post("late", &body), outage);
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"running".into())
    );
    let closed = setup.site.closed(&setup.api, &answer.id()).await;
    assert_eq!(closed["status"], "succeeded", "{closed}");
    assert_eq!(exports(&setup.site), 1);
    setup.end().await;
}

/// The disk stays full, so Graph's answer and its monitor are lost, and Graph must not be called again.
#[tokio::test]
async fn graphs_answer_that_cannot_be_stored_is_a_lost_start_and_not_repeated() {
    let setup = FailingServer::new(&format!("{QUICK}{SLOW_START}")).await;
    let body = tenants::export(&setup.site.receiver, USER, "dsar");
    let outage = async {
        setup.site.asked("export.start").await;
        setup.disk.is_full_after(0);
    };
    let began = Instant::now();
    let (answer, ()) = tokio::join!(setup.post("lost", &body), outage);
    // The caller gets no 503, because Graph has accepted the start.
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &"starting".into())
    );
    assert!(
        began.elapsed() > Duration::from_secs(7),
        "{:?}",
        began.elapsed()
    );
    let fresh = tenants::schedule(&setup.site.receiver, TEAM);
    let refused = setup.post("fresh", &fresh).await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    setup.disk.works();

    let documents = setup.all_closed().await;
    let lost = &documents[&answer.id()];
    assert_eq!(lost["status"], "unknown", "{lost}");
    assert_eq!(lost["reason"], "start_outcome_unknown", "{lost}");
    assert_eq!(lost["callback"]["status"], "delivered", "{lost}");
    assert_eq!(exports(&setup.site), 1);
    let (site, _) = setup.end().await;
    let jobs = site.jobs().await;
    assert_eq!(jobs.len(), 1);
    courier_testkit::invariants::check(&site.calls(), &jobs, &site.receiver.journal());
}

/// The disk fills up at different places of a page, and the process is killed before there is room again.
#[tokio::test]
async fn acknowledged_operations_survive_a_kill_on_a_full_disk() {
    let site = Arc::new(Site::new(QUICK).await);
    std::fs::create_dir(site.path("data")).unwrap();
    let mut acknowledged: Vec<(usize, String)> = Vec::new();
    let mut number = 0;
    // The write-ahead log has a header of 32 bytes; each page in it has a header of 24 bytes and 4096 bytes of data.
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
    // The count is not exact, because an operation's bytes depend on what else is in its commit.
    assert!(acknowledged.len() > 5, "{}", acknowledged.len());
}

#[tokio::test]
async fn a_server_that_cannot_write_at_start_exits_with_the_reason() {
    let outages: [(&str, Failure); 2] = [
        ("No space left on device", |disk| disk.is_full_after(0)),
        ("Read-only file system", FailingDisk::is_read_only),
    ];
    for (message, fail) in outages {
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
            let owned = site.arguments("127.0.0.1:0");
            let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
            let environment = disk.environment();
            let ended = run(&arguments, &variables(&environment)).await;
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stderr.contains(message), "{used}: {ended:?}");
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
struct FailingServer {
    clock: ShiftedClock,
    disk: FailingDisk,
    site: Arc<Site>,
    server: Courier,
    api: String,
}

impl FailingServer {
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

    /// Moves the clock until every operation is closed; returns the API's documents.
    async fn all_closed(&self) -> BTreeMap<String, Value> {
        let began = Instant::now();
        loop {
            let documents = settled(&self.site, &self.api).await;
            let open: Vec<_> = documents.values().filter(|one| !is_closed(one)).collect();
            if open.is_empty() {
                return documents;
            }
            assert!(began.elapsed() < DEADLINE, "still open: {open:#?}");
            self.clock.advance(CLOCK_STEP);
        }
    }

    /// Stops the server and checks that it ended well.
    async fn end(self) -> (Arc<Site>, Ended) {
        self.server.signal("TERM").await;
        let ended = self.server.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        (self.site, ended)
    }
}
