//! Load of many callers on one server, and the documents of its API afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use courier_testkit::journals::Asked;
use courier_testkit::tenants;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};

use crate::process::deployment::{Site, is_closed};
use crate::process::program::now;

/// Time without a change after which everything still open is taken to wait for minutes.
const QUIET_TIME: Duration = Duration::from_secs(3);
/// Time after which a wait for answers or documents has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
const CALLERS: usize = 8;

/// Callers that send one request after the other, each repeated with its idempotency key until it is answered.
pub(crate) struct Callers {
    answered: watch::Receiver<usize>,
    refused: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Vec<Asked>>>,
}

impl Callers {
    pub(crate) fn start(site: &Arc<Site>, api: &str) -> Self {
        let (answer_sender, answered) = watch::channel(0);
        let (refusal_sender, refused) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let shared_next: Arc<AtomicUsize> = Arc::default();
        let answer_counter = Arc::new(answer_sender);
        let refusal_counter = Arc::new(refusal_sender);
        let tasks = (0..CALLERS).map(|_| {
            let (site, api, stopped) = (Arc::clone(site), api.to_owned(), stopped.clone());
            let next = Arc::clone(&shared_next);
            let (answers, refusals) = (Arc::clone(&answer_counter), Arc::clone(&refusal_counter));
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !*stopped.borrow() {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    asked.push(send_until_answered(&site, &api, index, &refusals).await);
                    answers.send_modify(|count| *count += 1);
                }
                asked
            })
        });
        Self {
            answered,
            refused,
            stop,
            tasks: tasks.collect(),
        }
    }

    /// Waits until `count` more requests are answered.
    pub(crate) async fn answered(&self, count: usize) {
        more(self.answered.clone(), count).await;
    }

    /// Waits until `count` more requests are refused.
    pub(crate) async fn refused(&self, count: usize) {
        more(self.refused.clone(), count).await;
    }

    pub(crate) fn refusals(&self) -> usize {
        *self.refused.borrow()
    }

    /// Stops the callers after their current requests; returns all requests with their answers.
    pub(crate) async fn all_answered(self) -> Vec<Asked> {
        self.stop.send_replace(true);
        let mut asked = Vec::new();
        for task in self.tasks {
            let one = timeout(DEADLINE, task).await;
            asked.extend(one.expect("a request was never answered").unwrap());
        }
        asked
    }
}

async fn more(mut counter: watch::Receiver<usize>, count: usize) {
    let enough = *counter.borrow() + count;
    let reached = timeout(DEADLINE, counter.wait_for(|now| *now >= enough)).await;
    reached.expect("not in time").expect("a caller has failed");
}

/// Sends a request until it is answered, and checks that each refusal is 503 with `Retry-After`.
async fn send_until_answered(
    site: &Site,
    api: &str,
    index: usize,
    refused: &watch::Sender<usize>,
) -> Asked {
    let (mut asked, body) = request(site, index);
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        asked.requests += 1;
        let sent = site.post(api, &format!("key-{index}"), &body).await;
        let answer = sent.expect("a request got no answer");
        if answer.status == 503 {
            assert_eq!(answer.problem(), "unavailable");
            assert_eq!(answer.header("retry-after"), Some("5"));
            refused.send_modify(|count| *count += 1);
            continue;
        }
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        asked.id = answer.id();
        return asked;
    }
}

/// Returns the request of this index: three kinds in turn.
///
/// Of every eight requests of a kind the last two are for the same resource, except for exports.
pub(crate) fn request(site: &Site, index: usize) -> (Asked, Value) {
    let twin = match index / 3 % 8 {
        6 => Some(index + 3),
        7 => Some(index - 3),
        _ => None,
    };
    let pair = key(twin.map_or(index, |twin| twin.min(index)));
    let organization = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
    let (kind, resource, mut body) = match index % 3 {
        0 => (
            "export",
            format!("dsar-{index}"),
            tenants::export(&site.receiver, &key(index), &format!("dsar-{index}")),
        ),
        1 => (
            "goals",
            format!("{organization}/{pair}"),
            tenants::goals(&site.receiver, organization, &pair),
        ),
        _ => (
            "schedule",
            pair.clone(),
            tenants::schedule(&site.receiver, &pair),
        ),
    };
    // The default deadline of a schedule would pass when the test moves the clock.
    let deadline = now() + SignedDuration::from_hours(240);
    body["deadline"] = deadline.to_string().into();
    let asked = Asked {
        kind,
        resource,
        shared: kind != "export" && twin.is_some(),
        id: String::new(),
        requests: 0,
    };
    (asked, body)
}

pub(crate) fn key(index: usize) -> String {
    format!("6e7b768e-07e2-4810-8459-{index:012}")
}

/// Returns the API's documents by id, once all are closed or nothing has changed for [`QUIET_TIME`].
pub(crate) async fn settled(site: &Site, api: &str) -> BTreeMap<String, Value> {
    let mut ticks = interval(Duration::from_millis(100));
    let mut last = (documents(site, api).await, Instant::now());
    let settled = timeout(DEADLINE, async {
        while !last.0.values().all(is_closed) && last.1.elapsed() < QUIET_TIME {
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

pub(crate) async fn documents(site: &Site, api: &str) -> BTreeMap<String, Value> {
    let mut documents = BTreeMap::new();
    let mut path = "/v1/operations".to_owned();
    loop {
        let page = site
            .get(api, &path)
            .await
            .expect("the list was not answered");
        assert_eq!(page.status, 200, "{page:?}");
        for document in page.body["operations"].as_array().unwrap() {
            documents.insert(
                document["id"].as_str().unwrap().to_owned(),
                document.clone(),
            );
        }
        match page.body["next"].as_str() {
            Some(next) => path = format!("/v1/operations?cursor={next}"),
            None => return documents,
        }
    }
}
