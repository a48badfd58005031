//! The functions are killed in the middle of their work, a hundred operations each; afterwards four journals are held
//! against each other: what callers were answered, what Graph saw, what the receiver got, what the API says.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud_testkit::function::Outcome;
use courier_testkit::journals::{Asked, Journals};
use courier_testkit::tenants;
use graph_simulator::{Action, Fault};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::cloud::{Cloud, is_closed};

const OPERATIONS: usize = 100;
/// The time that an invocation takes, before one has been measured.
const FIRST_GUESS: Duration = Duration::from_millis(20);
/// Set to the printed seed to strike after the same times again.
const SEED: Option<u64> = None;

/// From the beginning of a killed invocation to its death.
type Life = (Timestamp, Timestamp);

#[tokio::test(flavor = "multi_thread")]
async fn starts_killed_at_any_moment_lose_nothing_and_do_nothing_twice() {
    let cloud = Cloud::new().await;
    let mut random = Random::new();
    let mut asked = Vec::new();
    let mut lives = Vec::new();
    let mut takes = FIRST_GUESS;
    for index in 0..OPERATIONS {
        let (mut one, body) = request(&cloud, index);
        let born = cloud.clock.now();
        let key = format!("kill-{index}");
        let post = cloud.post(&key, &body);
        tokio::pin!(post);
        let began = Instant::now();
        let mut answer = match timeout(random.within(takes), &mut post).await {
            Ok(answer) => {
                takes = began.elapsed();
                answer
            }
            Err(_) => {
                let died = cloud.start.kill_running().await;
                if died > 0 {
                    lives.push((born, cloud.clock.now()));
                }
                let answer = post.await;
                if died == 0 {
                    takes = began.elapsed();
                }
                answer
            }
        };
        one.requests += 1;
        while answer.status >= 500 {
            assert!(one.requests < 10, "{answer:?}");
            one.requests += 1;
            let began = Instant::now();
            answer = cloud.post(&key, &body).await;
            takes = began.elapsed();
        }
        one.id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
        asked.push(one);
    }
    assert!(lives.len() > OPERATIONS / 4, "only {} kills", lives.len());
    let documents = settled(&cloud, async || cloud.mapping().await.drain().await.len()).await;
    agree(&cloud, asked, documents, lives);
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_killed_at_any_moment_lose_nothing_and_do_nothing_twice() {
    let cloud = Cloud::new().await;
    for (call, action, times) in [
        ("*.poll", Action::throttled(503, Some("1")), 20),
        ("goals.start", Action::LostAfter, 3),
    ] {
        cloud
            .simulator
            .script(Fault::new(call, action).skip(10).times(times));
    }
    let mut asked = Vec::new();
    for index in 0..OPERATIONS {
        let (mut one, body) = request(&cloud, index);
        let answer = cloud.post(&format!("kill-{index}"), &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        one.id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
        one.requests = 1;
        asked.push(one);
    }
    let random = tokio::sync::Mutex::new(Random::new());
    let kills = std::sync::atomic::AtomicUsize::new(0);
    // Small batches: more to kill.
    let mapping = cloud.mapping().await.with_batch_size(2);
    let takes = tokio::sync::Mutex::new(FIRST_GUESS);
    let work = async || {
        let mut batches = 0;
        loop {
            let strike = random.lock().await.within(*takes.lock().await);
            let began = Instant::now();
            let batch = mapping.poll_once();
            tokio::pin!(batch);
            let killed = kills.load(std::sync::atomic::Ordering::Relaxed);
            let mut died = 0;
            let batch = if killed < OPERATIONS {
                match timeout(strike, &mut batch).await {
                    Ok(batch) => batch,
                    Err(_) => {
                        died = cloud.poll.kill_running().await;
                        batch.await
                    }
                }
            } else {
                batch.await
            };
            kills.fetch_add(died, std::sync::atomic::Ordering::Relaxed);
            if batch.received == 0 {
                return batches;
            }
            // Neither an empty batch nor one cut short shows how long one takes; a strike that came too early does.
            if died == 0 {
                *takes.lock().await = began.elapsed();
            }
            batches += 1;
        }
    };
    let documents = settled(&cloud, work).await;
    let kills = kills.into_inner();
    println!("{kills} kills");
    assert!(kills > OPERATIONS / 4, "only {kills} kills");
    agree(&cloud, asked, documents, Vec::new());
}

/// Moves the clock on and works until nothing more is owed; the API's documents by id.
///
/// A sweep comes every five minutes: only it finds a start that was claimed at once and killed.
async fn settled(cloud: &Cloud, work: impl AsyncFn() -> usize) -> BTreeMap<String, Value> {
    for minute in 0..2_000 {
        if minute % 5 == 0 {
            let swept = cloud.sweep.invoke(&json!({})).await;
            assert!(matches!(swept, Outcome::Answer(_)), "{swept:?}");
        }
        work().await;
        let documents = documents(cloud).await;
        if documents.values().all(is_closed) {
            return documents;
        }
        cloud.clock.advance(Duration::from_secs(60));
    }
    panic!("it never came to rest");
}

async fn documents(cloud: &Cloud) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    let mut path = "/v1/operations".to_owned();
    loop {
        let page = cloud.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        for document in page["operations"].as_array().unwrap() {
            let id = document["id"].as_str().unwrap().to_owned();
            documents.insert(id, document.clone());
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/operations?cursor={next}"),
            None => return documents,
        }
    }
}

fn agree(cloud: &Cloud, asked: Vec<Asked>, documents: BTreeMap<String, Value>, lives: Vec<Life>) {
    let count = |word: &str| {
        documents
            .values()
            .filter(|one| one["status"] == word)
            .count()
    };
    let retried = asked.iter().filter(|one| one.requests > 1).count();
    println!(
        "{} lives cut short, {retried} of {OPERATIONS} asked for again, {} succeeded, {} unknown",
        lives.len(),
        count("succeeded"),
        count("unknown"),
    );
    let journals = Journals {
        asked,
        documents,
        calls: cloud.simulator.journal(),
        jobs: cloud.simulator.jobs(),
        callbacks: cloud.receiver.journal(),
        lives,
    };
    journals.agree();
    cloud.check();
}

/// Three kinds in turn, each for a resource of its own.
fn request(cloud: &Cloud, index: usize) -> (Asked, Value) {
    let receiver = &cloud.receiver;
    let key = format!("6e7b768e-07e2-4810-8459-{index:012}");
    let organization = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
    let container = format!("dsar-{index}");
    let (kind, resource, body) = match index % 3 {
        0 => (
            "export",
            container.clone(),
            tenants::export(receiver, &key, &container),
        ),
        1 => (
            "goals",
            format!("{organization}/{key}"),
            tenants::goals(receiver, organization, &key),
        ),
        _ => ("schedule", key.clone(), tenants::schedule(receiver, &key)),
    };
    let asked = Asked {
        kind,
        resource,
        shared: false,
        id: String::new(),
        requests: 0,
    };
    (asked, body)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = SEED.unwrap_or_else(|| courier_aws::clock()().as_nanosecond() as u64);
        println!("seed {seed}");
        Self(seed)
    }

    /// A moment before `end`.
    fn within(&mut self, end: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (mixed ^ (mixed >> 31)) % 1000;
        end.mul_f64(share as f64 / 1000.0)
    }
}
