//! The server is killed again and again while it is asked for operations; afterwards four journals are held against
//! each other: what callers were told, what Graph saw, what the receiver got, what the API says.
//!
//! Some promises wait for minutes (a lease, the hold of a lost start, a message that a dead process had claimed). The
//! test does not: while the server is down it moves these times into the past, as if the machine had been off so long.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use courier_core::ports::{Filter, Store, Write};
use courier_core::record::{Record, State};
use courier_local::database::Database;
use courier_testkit::invariants;
use courier_testkit::receiver::{Answer as Reply, Callback};
use graph_simulator::{Entry, Job};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::process::{Courier, QUICK, Site, address, is_closed, now};

const OPERATIONS: usize = 200;
const KILLS: usize = 25;
const CLIENTS: usize = 8;
/// How long a server lives after it has answered /healthz.
const LIFE: std::ops::Range<u64> = 20..400;
/// Longer than a lease, the hold of a lost start and the pauses of a callback's first attempts.
const OFF: SignedDuration = SignedDuration::from_mins(17);
/// Where the refresh token of the tenant is kept.
const ROTATION: &str = "refresh-token/contoso";
/// Nothing happens for so long: what is still open waits for minutes.
const QUIET: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(120);
/// Set to the printed seed to kill after the same times again.
const SEED: Option<u64> = None;

/// Faults that leave no doubt about an export: what is `unknown` in the end is due to a kill.
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

/// One operation as its caller knows it.
#[derive(Debug, Clone)]
struct Asked {
    kind: &'static str,
    /// The container, `organization/view` or the team: how Graph knows it.
    resource: String,
    shared: bool,
    id: String,
    requests: usize,
}

/// From the start of a server to its death.
type Life = (Timestamp, Timestamp);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_nothing_and_does_nothing_twice() {
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
    let (asked, lives) = ask_and_kill(&site, &api, port, seed).await;
    let asking = began.elapsed();

    let mut outages = 0;
    let documents = loop {
        power_cut(&site).await;
        outages += 1;
        let server = started(&site, port).await;
        let documents = settled(&site, &api).await;
        if documents.values().all(is_closed) {
            server.signal("TERM").await;
            assert_eq!(server.ended().await.code, Some(0));
            break documents;
        }
        server.kill().await;
        let open: Vec<_> = documents.values().filter(|one| !is_closed(one)).collect();
        println!("OPEN {} {:.1?}", open.len(), began.elapsed());
        assert!(began.elapsed() < DEADLINE, "still open: {open:#?}");
    };

    let (calls, jobs, callbacks) = (site.calls(), site.jobs().await, site.receiver.journal());
    every_acknowledged_operation_has_one_outcome(&asked, &documents, &callbacks);
    outcomes_are_true(&asked, &documents, &calls, &jobs, &lives);
    no_export_was_started_twice(&asked, &calls, &jobs);
    let shared: BTreeSet<_> = asked.iter().filter(|one| one.shared).map(|one| &one.resource).collect();
    let of_one: Vec<_> = calls.iter().filter(|call| !followed_by_many(call, &jobs, &shared)).cloned().collect();
    invariants::check(&of_one, &jobs, &callbacks);

    let unknown = documents.values().filter(|one| one["status"] == "unknown").count();
    let retried = asked.iter().filter(|one| one.requests > 1).count();
    println!(
        "{} operations, {} kills in {asking:.1?}, {retried} asked for again, {unknown} unknown, {outages} outages, {} calls to Graph, {} callbacks, {:.1?} in all",
        asked.len(), lives.len(), calls.len(), callbacks.len(), began.elapsed(),
    );
    assert!(retried > 0, "no kill struck a request");
}

fn script(failing: &[String]) -> String {
    format!("{QUICK}{FAULTS}\n[behaviour]\nfailing = {failing:?}\n")
}

/// Sends all requests while servers come and go. Every client repeats a request, with its key, until it is answered.
async fn ask_and_kill(site: &Arc<Site>, api: &str, port: u16, seed: u64) -> (Vec<Asked>, Vec<Life>) {
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
                    asked.push(ask(&site, &api, index).await);
                }
            })
        })
        .collect();
    let mut random = Random(seed);
    let mut lives = Vec::new();
    while lives.len() < KILLS || !clients.iter().all(|client| client.is_finished()) {
        assert!(lives.len() < 10 * KILLS, "the requests are never all answered");
        let born = now();
        let server = started(site, port).await;
        // Each server gets its share, so that every kill has something to strike.
        allowed.add_permits((OPERATIONS + CLIENTS).div_ceil(KILLS));
        sleep(Duration::from_millis(random.within(LIFE))).await;
        server.kill().await;
        lives.push((born, now()));
    }
    let mut asked = Vec::new();
    for client in clients {
        asked.extend(client.await.unwrap());
    }
    (asked, lives)
}

async fn ask(site: &Site, api: &str, index: usize) -> Asked {
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

/// Three kinds in turn. Every eighth of a kind asks for what the one before it asked for.
fn request(site: &Site, index: usize) -> (Asked, Value) {
    let twin = match index / 3 % 8 {
        6 => Some(index + 3),
        7 => Some(index - 3),
        _ => None,
    };
    let pair = key(twin.map_or(index, |twin| twin.min(index)));
    let organization = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
    let (kind, resource, body) = match index % 3 {
        0 => ("export", format!("dsar-{index}"), site.export(&key(index), &format!("dsar-{index}"))),
        1 => ("goals", format!("{organization}/{pair}"), site.goals(organization, &pair)),
        _ => ("schedule", pair.clone(), site.schedule(&pair)),
    };
    let asked = Asked {
        kind,
        resource,
        shared: kind != "export" && twin.is_some(),
        id: String::new(),
        requests: 0,
    };
    (asked, body)
}

fn key(index: usize) -> String {
    format!("6e7b768e-07e2-4810-8459-{index:012}")
}

/// A server that has answered /healthz.
async fn started(site: &Site, port: u16) -> Courier {
    let arguments = site.arguments(&format!("127.0.0.1:{port}"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Courier::start(&arguments, &[]);
    let api = address(&mut server).await;
    let health = site.get(&api, "/healthz").await;
    assert_eq!(health.map(|answer| answer.status), Some(200), "{}", server.said());
    server
}

/// While nobody runs: every lease, hold and pause is over, as after [`OFF`] without power.
///
/// Graph's clock has not moved, so this waits until Graph may be asked again: a second at most.
async fn power_cut(site: &Site) {
    let mut ticks = interval(Duration::from_millis(20));
    while site.calls().iter().filter_map(|call| call.not_before).any(|allowed| now() <= allowed) {
        ticks.tick().await;
    }
    let database = Database::open(&site.path("data/courier.db")).unwrap();
    for mut record in records(&database).await {
        let before = record.clone();
        let back = |time: &mut Timestamp| *time = time.saturating_sub(OFF).unwrap();
        match &mut record.state {
            State::Accepted { not_before } => back(not_before),
            State::Starting { lease_until } => back(lease_until),
            State::StartUnknown { hold_until } => back(hold_until),
            State::Ended { .. } => record.delivery.next_attempt_at.iter_mut().for_each(back),
            State::Running { .. } | State::Closed { .. } => {}
        }
        if record != before {
            record.revision += 1;
            assert_eq!(database.update(&record).await.unwrap(), Write::Applied);
        }
    }
    // Somebody died while it renewed the user's token.
    if let Some(document) = database.load_document(ROTATION).await.unwrap() {
        let mut rotation: Value = serde_json::from_str(&document.body).unwrap();
        rotation["leased_until"] = Value::Null;
        let body = rotation.to_string();
        let swapped = database.swap_document(ROTATION, document.revision, &body);
        assert!(swapped.await.unwrap());
    }
    let due = now() + OFF;
    database.receive(due, 10 * OPERATIONS, now()).await.unwrap();
    database.close().await;
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

/// The API's documents by id, once all are closed or nothing has happened for a while.
async fn settled(site: &Site, api: &str) -> BTreeMap<String, Value> {
    let mut ticks = interval(Duration::from_millis(100));
    let mut last = (documents(site, api).await, Instant::now());
    let settled = timeout(DEADLINE, async {
        while !last.0.values().all(is_closed) && last.1.elapsed() < QUIET {
            ticks.tick().await;
            let new = documents(site, api).await;
            if new != last.0 {
                last = (new, Instant::now());
            }
        }
    });
    settled.await.expect("it never came to rest");
    last.0
}

async fn documents(site: &Site, api: &str) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    let mut path = "/v1/operations".to_owned();
    loop {
        let page = site.get(api, &path).await.expect("the list was not answered");
        assert_eq!(page.status, 200, "{page:?}");
        for document in page.body["operations"].as_array().unwrap() {
            documents.insert(document["id"].as_str().unwrap().to_owned(), document.clone());
        }
        match page.body["next"].as_str() {
            Some(next) => path = format!("/v1/operations?cursor={next}"),
            None => return documents,
        }
    }
}

/// Caller, API and receiver agree: as many operations as were asked for, each with one event that says its status.
fn every_acknowledged_operation_has_one_outcome(
    asked: &[Asked],
    documents: &BTreeMap<String, Value>,
    callbacks: &[Callback],
) {
    let told: BTreeSet<_> = asked.iter().map(|one| &one.id).collect();
    assert_eq!(told.len(), OPERATIONS, "a key led to another operation's id");
    assert_eq!(told, documents.keys().collect(), "acknowledged, and known to the API");
    let mut events: HashMap<String, BTreeSet<(String, Vec<u8>)>> = HashMap::new();
    for callback in callbacks {
        let body: Value = serde_json::from_slice(&callback.body).unwrap();
        let id = body["data"]["id"].as_str().unwrap().to_owned();
        assert_eq!(body["data"]["status"], documents[&id]["status"], "{id}");
        let event = callback.header("webhook-id").unwrap().to_owned();
        events.entry(id).or_default().insert((event, callback.body.to_vec()));
    }
    for (id, document) in documents {
        assert_eq!(document["callback"]["status"], "delivered", "{document}");
        let events = events.get(id).map_or(0, BTreeSet::len);
        assert_eq!(events, 1, "{id} has {events} events");
    }
}

/// What was told is what happened behind Graph; only a start that a kill cut off is `unknown`.
fn outcomes_are_true(
    asked: &[Asked],
    documents: &BTreeMap<String, Value>,
    calls: &[Entry],
    jobs: &[Job],
    lives: &[Life],
) {
    for one in asked {
        let document = &documents[&one.id];
        let ran = |status: &str| of(one, calls, jobs).iter().any(|job| job.status == status);
        match document["status"].as_str().unwrap() {
            "succeeded" => assert!(ran("succeeded"), "{document}"),
            "failed" => assert!(ran("failed") && document["reason"] == "operation_failed", "{document}"),
            "unknown" => {
                assert_eq!(document["reason"], "start_outcome_unknown", "{document}");
                assert_eq!(one.kind, "export", "{document}");
                assert!(cut_off(one, document, calls, lives), "{document}");
            }
            other => panic!("{other}: {document}"),
        }
    }
}

/// The server that made the export's last call to Graph, or that claimed it without a call, died before it could
/// write the answer down: no later server did anything for it but wait.
fn cut_off(one: &Asked, document: &Value, calls: &[Entry], lives: &[Life]) -> bool {
    let last = starts(one, calls).map(|call| call.at).max();
    let claimed = last.or_else(|| document["createdAt"].as_str().unwrap().parse().ok()).unwrap();
    lives.iter().any(|(born, died)| (*born..=*died).contains(&claimed))
}

/// I1, and more: after a call that may have started an export there is no other.
fn no_export_was_started_twice(asked: &[Asked], calls: &[Entry], jobs: &[Job]) {
    for one in asked.iter().filter(|one| one.kind == "export") {
        let sent: Vec<_> = starts(one, calls).map(|call| call.status).collect();
        let (last, before) = sent.split_last().map_or((None, &sent[..]), |(last, before)| (*last, before));
        assert!(before.iter().all(|status| *status == Some(429)), "{one:?}: {sent:?} {last:?}");
        assert!(of(one, calls, jobs).len() <= 1, "I1: {one:?}");
    }
}

fn starts<'a>(one: &'a Asked, calls: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
    let container = format!("https://contoso.blob.core.windows.net/{}?", one.resource);
    let named = move |call: &&Entry| {
        let location = call.body.as_ref().and_then(|body| body["storageLocation"].as_str());
        call.call == "export.start" && location.is_some_and(|url| url.starts_with(&container))
    };
    calls.iter().filter(named)
}

/// The jobs behind an operation.
fn of<'a>(one: &Asked, calls: &[Entry], jobs: &'a [Job]) -> Vec<&'a Job> {
    if one.kind != "export" {
        return jobs.iter().filter(|job| job.key == one.resource).collect();
    }
    let started: BTreeSet<_> = starts(one, calls).filter_map(|call| call.job.clone()).collect();
    jobs.iter().filter(|job| started.contains(&job.id)).collect()
}

/// Two operations follow one job, each at its own pace: Graph's `Retry-After` to one says nothing to the other.
fn followed_by_many(call: &Entry, jobs: &[Job], shared: &BTreeSet<&String>) -> bool {
    let job = jobs.iter().find(|job| Some(&job.id) == call.job.as_ref());
    job.is_some_and(|job| shared.contains(&job.key))
}

/// Below the range from which outgoing connections take theirs: otherwise a client that calls a dead server may sit on
/// the port that the next server needs.
fn free_port() -> u16 {
    let mut random = Random(now().as_nanosecond() as u64);
    loop {
        let port = random.within(20_000..32_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// SplitMix64.
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
