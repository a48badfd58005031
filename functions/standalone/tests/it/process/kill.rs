//! The server is killed repeatedly while callers send requests; afterwards four journals must agree: the answers that
//! callers got, the calls that Graph saw, the callbacks that the receiver got, and the documents of the API. Instead of
//! waiting for leases, holds and claimed messages, the test moves their times into the past while the server is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use courier_core::operation::{Record, State};
use courier_core::ports::{Filter, Store, Write};
use courier_local::Database;
use courier_testkit::journals::{Asked, Journals};
use courier_testkit::receiver::Answer as Reply;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval, sleep};

use crate::process::deployment::{QUICK, Site, address, is_closed};
use crate::process::load::{DEADLINE, key, request, settled};
use crate::process::program::{Courier, now};

const OPERATIONS: usize = 200;
const KILLS: usize = 30;
const CLIENTS: usize = 8;
/// Range of the time, in milliseconds, from a server's answer to /healthz to its kill.
const LIFETIME_MS: std::ops::Range<u64> = 20..400;
/// Range of the time, in milliseconds, before the kill at which the second half of the requests is sent.
///
/// It is short, so that some requests are interrupted by the kill.
const LAST_REQUESTS_MS: std::ops::Range<u64> = 0..20;
/// Simulated time without power; longer than a lease, the hold of a lost start and the first pauses of a callback.
const POWER_CUT: SignedDuration = SignedDuration::from_mins(17);
/// Key of the stored document with the tenant's refresh token.
const ROTATION_DOCUMENT: &str = "refresh-token/contoso";
/// Key of the stored document that says how far the dead process had come.
const TIMETABLE_DOCUMENT: &str = "timetable";
/// Seed of the random times; set it to the printed seed to repeat a run's times.
const SEED: Option<u64> = None;

/// Faults that never make an export's start uncertain, so that an outcome `unknown` is due to a kill.
const FAULTS: &str = r#"
[[faults]]
on = "export.start"
skip = 5
times = 4
action = { status = { status = 429, retry_after = 1 } }
[[faults]]
on = "goals.start"
skip = 4
times = 3
action = "lost_after"
[[faults]]
on = "schedule.start"
skip = 6
times = 3
action = "reset_before"
[[faults]]
on = "*.poll"
skip = 30
times = 20
action = { status = { status = 503, retry_after = 1 } }
"#;

/// Times at which a server was started and killed.
type Life = (Timestamp, Timestamp);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_loses_and_repeats_nothing() {
    let seed = SEED.unwrap_or_else(|| now().as_nanosecond() as u64);
    println!("seed {seed}");
    let failing: Vec<String> = (0..OPERATIONS).step_by(17).map(key).collect();
    let site = Arc::new(Site::new(&script(&failing)).await);
    for _ in 0..15 {
        site.receiver.answer_next(Reply::status(503));
    }
    let began = Instant::now();
    let port = free_port();
    let api = format!("http://127.0.0.1:{port}");
    let (asked, lives) = send_and_kill(&site, &api, port, seed).await;
    let asking = began.elapsed();

    let mut outages = 0;
    let documents = loop {
        power_cut(&site).await;
        outages += 1;
        let server = start_server(&site, port).await;
        let documents = settled(&site, &api).await;
        if documents.values().all(is_closed) {
            server.signal("TERM").await;
            assert_eq!(server.ended().await.code, Some(0));
            break documents;
        }
        server.kill().await;
        let open: Vec<_> = documents.values().filter(|one| !is_closed(one)).collect();
        assert!(began.elapsed() < DEADLINE, "still open: {open:#?}");
    };

    let journals = Journals {
        asked,
        documents,
        calls: site.calls(),
        jobs: site.jobs().await,
        callbacks: site.receiver.journal(),
        lives,
    };
    journals.agree();
    let outcomes = journals.documents.values();
    let unknown = outcomes.filter(|one| one["status"] == "unknown").count();
    let retried = journals.asked.iter().filter(|one| one.requests > 1).count();
    println!(
        "{} kills in {asking:.1?}, {retried} of {OPERATIONS} asked for again, {unknown} unknown, {outages} power cuts, {} calls to Graph, {} callbacks, {:.1?} in all",
        journals.lives.len(),
        journals.calls.len(),
        journals.callbacks.len(),
        began.elapsed(),
    );
    assert!(retried > 0, "no kill struck a request");
}

fn script(failing: &[String]) -> String {
    format!("{QUICK}{FAULTS}\n[behaviour]\nfailing = {failing:?}\n")
}

/// Sends all requests while servers are started and killed.
///
/// Every client repeats a request, with its idempotency key, until it is answered.
async fn send_and_kill(
    site: &Arc<Site>,
    api: &str,
    port: u16,
    seed: u64,
) -> (Vec<Asked>, Vec<Life>) {
    let allowed = Arc::new(Semaphore::new(0));
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (site, api) = (Arc::clone(site), api.to_owned());
            let (allowed, next) = (Arc::clone(&allowed), Arc::clone(&next));
            tokio::spawn(async move {
                let mut asked = Vec::new();
                loop {
                    allowed.acquire().await.unwrap().forget();
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= OPERATIONS {
                        return asked;
                    }
                    asked.push(send_until_answered(&site, &api, index).await);
                }
            })
        })
        .collect();
    let mut random = Random(seed);
    let share = (OPERATIONS + CLIENTS).div_ceil(KILLS);
    let mut lives = Vec::new();
    while lives.len() < KILLS || !clients.iter().all(|client| client.is_finished()) {
        assert!(
            lives.len() < 10 * KILLS,
            "the requests are never all answered"
        );
        let born = now();
        let server = start_server(site, port).await;
        let life = random.within(LIFETIME_MS);
        let last = random.within(LAST_REQUESTS_MS).min(life);
        allowed.add_permits(share / 2);
        sleep(Duration::from_millis(life - last)).await;
        allowed.add_permits(share - share / 2);
        sleep(Duration::from_millis(last)).await;
        server.kill().await;
        lives.push((born, now()));
    }
    let mut asked = Vec::new();
    for client in clients {
        asked.extend(client.await.unwrap());
    }
    (asked, lives)
}

async fn send_until_answered(site: &Site, api: &str, index: usize) -> Asked {
    let (mut asked, body) = request(site, index);
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        asked.requests += 1;
        let answer = site.post(api, &format!("kill-{index}"), &body).await;
        let Some(answer) = answer.filter(|answer| answer.status != 503) else {
            continue;
        };
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        asked.id = answer.id();
        return asked;
    }
}

/// Starts a server and waits until it has answered /healthz.
async fn start_server(site: &Site, port: u16) -> Courier {
    let owned = site.arguments(&format!("127.0.0.1:{port}"));
    let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
    let server = Courier::start(&arguments, &[]);
    let api = address(&server).await;
    let health = site.get(&api, "/healthz").await;
    assert_eq!(
        health.map(|answer| answer.status),
        Some(200),
        "{}",
        server.said()
    );
    server
}

/// Ends every lease, hold and pause, as after [`POWER_CUT`] without power; the server must not be running.
///
/// Graph's clock does not move, so this waits until Graph may be called again, at most a second.
async fn power_cut(site: &Site) {
    let mut ticks = interval(Duration::from_millis(20));
    while site
        .calls()
        .iter()
        .filter_map(|call| call.not_before)
        .any(|allowed| now() <= allowed)
    {
        ticks.tick().await;
    }
    let database = Database::open(&site.path("data/courier.db")).unwrap();
    for mut record in records(&database).await {
        let before = record.clone();
        let back = |time: &mut Timestamp| *time = time.saturating_sub(POWER_CUT).unwrap();
        match &mut record.state {
            State::Accepted { not_before } => back(not_before),
            State::Starting { lease_until } => back(lease_until),
            State::StartUnknown { hold_until } => back(hold_until),
            State::Locating { next_look_at, .. } => back(next_look_at),
            State::Running { .. } => record.graph.next_poll_at.iter_mut().for_each(back),
            State::Ended { .. } => record.delivery.next_attempt_at.iter_mut().for_each(back),
            State::Closed { .. } => {}
        }
        if record != before {
            record.revision += 1;
            assert_eq!(database.update(&record).await.unwrap(), Write::Applied);
        }
    }
    // A process may have died while it held the lease for renewing the user's token.
    change_document(&database, ROTATION_DOCUMENT, |rotation| {
        rotation["leased_until"] = Value::Null;
    })
    .await;
    // Otherwise a poll that the dead process may just have made would wait for its whole pause.
    change_document(&database, TIMETABLE_DOCUMENT, |last_seen| {
        for name in ["settled", "aliveUntil"] {
            let time: Timestamp = last_seen[name].as_str().unwrap().parse().unwrap();
            last_seen[name] = time.saturating_sub(POWER_CUT).unwrap().to_string().into();
        }
    })
    .await;
    database.close().await;
}

/// Changes a stored document, if there is one.
async fn change_document(database: &Database, key: &str, change: impl Fn(&mut Value)) {
    let Some(document) = database.load_document(key).await.unwrap() else {
        return;
    };
    let mut body = serde_json::from_str(&document.body).unwrap();
    change(&mut body);
    let body = body.to_string();
    let swapped = database.swap_document(key, document.revision, &body);
    assert!(swapped.await.unwrap());
}

async fn records(database: &Database) -> Vec<Record> {
    let mut filter = Filter {
        limit: 100,
        ..Filter::default()
    };
    let mut records = Vec::new();
    loop {
        let page = database.list("tickets", &filter).await.unwrap();
        records.extend(page.records);
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            return records;
        }
    }
}

/// Returns a free port below the range that outgoing connections use.
///
/// Otherwise a client that calls a dead server could occupy the port that the next server needs.
fn free_port() -> u16 {
    let mut random = Random(now().as_nanosecond() as u64);
    loop {
        let port = random.within(20_000..32_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The random generator SplitMix64.
struct Random(u64);

impl Random {
    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start + (mixed ^ (mixed >> 31)) % (range.end - range.start)
    }
}
