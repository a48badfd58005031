//! The real functions die at every crash point of every operation; the queue and the caller come again, and the work is
//! finished. What came of it is `docs/crash-matrix.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloud_testkit::function::Function;
use cloud_testkit::gateway::{Answer, Gateway};
use cloud_testkit::mapping::Mapping;
use courier_core::engine::crash_points::{TOLD, VARIABLE};
use courier_testkit::crash_matrix::{self, Death, Fate, Fates, Host, POINTS};
use courier_testkit::journals::{Asked, Journals};
use courier_testkit::tenants::{self, OPERATIONS, TICKETS_KEY};
use graph_simulator::Options;
use jiff::Timestamp;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{interval, timeout};

use crate::binaries::{FUNCTIONS, binary, crashing_binary};
use crate::cloud::{Cloud, is_closed};

/// Only the caller knows this moment: it has the answer.
const ANSWERED: &str = "request.answer.after";
/// Before each life: the poll message (40 s, and up to 10 s of jitter), the watchdog, the second poll are due.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(55),
    Duration::from_secs(50),
    Duration::from_secs(360),
];
/// Between two looks after a death. A message that were a minute late would be taken for lost, and followed by two.
pub(crate) const LATER: Duration = Duration::from_secs(50);
/// An hour of them: longer than the hold of a lost start and what the queue hides from a consumer that has died.
pub(crate) const LOOKS: usize = 72;
/// What a function may take to be heard.
const PATIENCE: Duration = Duration::from_secs(40);
/// A job outlasts a lease, and is polled twice.
const JOB_SECONDS: f64 = 300.0;

#[tokio::test(flavor = "multi_thread")]
async fn functions_dead_at_any_point_go_on_as_the_crash_matrix_says() {
    crash_matrix::document("Lambda functions", &measured(false).await, false);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes docs/crash-matrix.md"]
async fn writes_the_crash_matrix() {
    crash_matrix::document("Lambda functions", &measured(true).await, true);
}

#[test]
fn what_is_deployed_has_no_crash_points() {
    let text = |program| {
        let bytes = std::fs::read(program).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    for name in FUNCTIONS {
        let crashing = text(crashing_binary(name));
        let deployed = text(binary(name));
        for text in [VARIABLE, TOLD, "start.call"] {
            assert!(crashing.contains(text), "{name} knows no {text:?}");
            assert!(!deployed.contains(text), "{name} knows {text:?}");
        }
        let point = POINTS.iter().find(|point| deployed.contains(*point));
        assert_eq!(point, None, "{name}");
    }
}

/// `both`: dead by itself and by SIGKILL, for every operation; else by itself only where there is most to pass.
async fn measured(both: bool) -> String {
    let deaths = |operation| match operation {
        _ if both => Death::ALL.as_slice(),
        "goals" => &Death::ALL,
        _ => &[Death::Kill],
    };
    let operations = OPERATIONS.map(|operation| tokio::spawn(of_one(operation, deaths(operation))));
    let mut all = vec![Fates::new(); Host::Lambda.lives().len()];
    for operation in operations {
        for (fates, more) in all.iter_mut().zip(operation.await.unwrap()) {
            fates.extend(more);
        }
    }
    let mut text = String::new();
    for (life, fates) in Host::Lambda.lives().iter().zip(&all) {
        crash_matrix::compare(&Host::Lambda.expected(life), fates);
        text.push_str(&crash_matrix::part(life, fates));
    }
    text
}

/// The fates of this operation by life, in a cloud of its own.
async fn of_one(operation: &'static str, deaths: &'static [Death]) -> Vec<Fates> {
    let mut stage = Stage::new(operation).await;
    let passed = stage.passed().await;
    let mut all = Vec::new();
    for (life, passed) in passed.iter().enumerate() {
        let mut fates = Fates::new();
        for point in passed.iter().filter(|point| crash_matrix::is_listed(point)) {
            for death in deaths {
                let fate = stage.dies_in(life, *death, point).await;
                let cell = fates.entry((point.clone(), operation));
                let other = cell.or_insert_with(|| fate.clone());
                assert_eq!(
                    *other, fate,
                    "abort and SIGKILL differ: {point} {operation}"
                );
            }
        }
        all.push(fates);
    }
    all
}

pub(crate) struct Stage {
    pub(crate) cloud: Cloud,
    operation: &'static str,
    pub(crate) mapping: Mapping,
    played: u32,
    /// Where it dies, for what fails.
    pub(crate) at: String,
}

/// Whatever fails, says of what.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} {}", self.operation, self.at);
        }
    }
}

/// The earlier events, which the journals have too.
pub(crate) struct Before {
    calls: u64,
    callbacks: usize,
}

impl Stage {
    pub(crate) async fn new(operation: &'static str) -> Self {
        Self::with(operation, graph).await
    }

    /// A stage whose Graph `change` has changed.
    pub(crate) async fn with(operation: &'static str, change: impl FnOnce(&mut Options)) -> Self {
        let cloud = Cloud::crashing(change).await;
        cloud.clock.stand_at(cloud.clock.now());
        Self {
            mapping: cloud.mapping().await,
            cloud,
            operation,
            played: 0,
            at: String::new(),
        }
    }

    /// The points that an operation passes in each life when nothing befalls it.
    async fn passed(&mut self) -> Vec<BTreeSet<String>> {
        let (before, mut asked, body) = self.next();
        let mut passed: Vec<BTreeSet<String>> = Vec::new();
        for (life, pause) in PAUSES.into_iter().enumerate() {
            self.wait(pause);
            let armed = self.armed_in(life, "say *");
            let last = if life == 0 {
                let answer = self.post(&armed, &body).await;
                answered(&mut asked, &answer);
                "request.answer.before"
            } else {
                self.mapping_of(&armed).await.drain().await;
                "message.settle.after"
            };
            let logs = logs(&armed, last).await;
            let points = logs.lines().filter_map(|line| line.strip_prefix(TOLD));
            passed.push(points.map(str::to_owned).collect());
        }
        passed[0].insert(ANSWERED.to_owned());
        let fate = self.end(&before, asked, Vec::new(), None).await;
        assert_eq!(fate, Fate::usual());
        passed
    }

    /// The operation's function dies at this point of this life.
    async fn dies_in(&mut self, life: usize, death: Death, point: &str) -> Fate {
        self.at = format!("{life} {death:?} {point}");
        let (before, mut asked, body) = self.next();
        let born = self.cloud.clock.now();
        let armed = self.armed_in(life, &format!("{} {point}", death.as_str()));
        if life == 0 {
            let answer = self.struck(&armed, death, point, self.post(&armed, &body));
            let answer = answer.await;
            assert_eq!(
                answer.is_some(),
                point == ANSWERED,
                "{point} was not passed"
            );
            match answer {
                Some(answer) => answered(&mut asked, &answer),
                None => asked.requests += 1,
            }
        }
        while asked.id.is_empty() {
            let answer = self.post(&self.cloud.start, &body).await;
            answered(&mut asked, &answer);
        }
        for pause in &PAUSES[..life] {
            self.wait(*pause);
            self.mapping.drain().await;
        }
        if life > 0 {
            self.wait(PAUSES[life]);
            let mapping = self.mapping_of(&armed).await;
            let worked = self.struck(&armed, death, point, mapping.drain()).await;
            assert!(worked.is_none(), "{point} was not passed");
        }
        let lives = vec![(born, self.cloud.clock.now())];
        let forgotten = ["poll.call.after", "status.write.before"].contains(&point);
        let calls = self.cloud.simulator.journal_since(before.calls);
        let forgotten = calls.last().map(|call| call.seq).filter(|_| forgotten);
        self.end(&before, asked, lives, forgotten).await
    }

    /// Lets `work` go on until the function has died of it; its result when it was over before.
    pub(crate) async fn struck<T>(
        &self,
        armed: &Function,
        death: Death,
        point: &str,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let passed_point = format!("{TOLD}{point}\n");
        let mut ticks = interval(Duration::from_millis(2));
        let standing = async {
            while death == Death::Abort || !armed.logs().contains(&passed_point) {
                ticks.tick().await;
            }
        };
        let mut work = std::pin::pin!(work);
        let done = tokio::select! {
            done = &mut work => Some(done),
            () = standing => None,
        };
        if point == ANSWERED {
            let id = armed.processes().last().unwrap().id.to_string();
            let signal = format!("-{}", death.signal());
            let sent = Command::new("kill").args([&signal, &id]).status().await;
            assert!(sent.unwrap().success());
            return done;
        }
        if done.is_none() {
            assert_eq!(armed.kill_running().await, 1, "{point}");
            work.await;
        }
        let process = armed.processes().into_iter().next()?;
        if !process.logs.contains(&passed_point) {
            return done;
        }
        let signal = format!("signal: {} ", death.signal());
        assert!(process.ended.unwrap().starts_with(&signal), "{point}");
        None
    }

    /// Time passes and everybody works until the operation is closed; what four journals say.
    pub(crate) async fn end(
        &mut self,
        before: &Before,
        asked: Asked,
        lives: Vec<(Timestamp, Timestamp)>,
        forgotten: Option<u64>,
    ) -> Fate {
        let mut document = self.cloud.operation(&asked.id).await;
        for _ in 0..LOOKS {
            if is_closed(&document) {
                break;
            }
            self.wait(LATER);
            if !self.mapping.drain().await.is_empty() {
                document = self.cloud.operation(&asked.id).await;
            }
        }
        let path = format!("/v1/operations/{}/history", asked.id);
        crash_matrix::ended_once(&self.cloud.get(&path).await.json());
        let mut calls = self.cloud.simulator.journal_since(before.calls);
        for call in &mut calls {
            call.not_before = call.not_before.filter(|_| forgotten != Some(call.seq));
        }
        let mut jobs = self.cloud.simulator.jobs();
        jobs.retain(|job| asked.resource.ends_with(&job.key));
        let journals = Journals {
            documents: BTreeMap::from([(asked.id.clone(), document)]),
            asked: vec![asked],
            calls,
            jobs,
            callbacks: self.cloud.receiver.journal().split_off(before.callbacks),
            lives,
        };
        journals.agree();
        Fate::of(&journals)
    }

    /// Moves the clock, which stands still otherwise.
    pub(crate) fn wait(&self, pause: Duration) {
        let clock = &self.cloud.clock;
        clock.stand_at(clock.now() + pause);
    }

    /// Another request of the same kind, for a resource of its own.
    pub(crate) fn next(&mut self) -> (Before, Asked, Value) {
        self.played += 1;
        let key = format!("6e7b768e-07e2-4810-8459-{:012}", self.played);
        let receiver = &self.cloud.receiver;
        let organization = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
        let (resource, body) = match self.operation {
            "export" => (key.clone(), tenants::export(receiver, &key, &key)),
            "goals" => (
                format!("{organization}/{key}"),
                tenants::goals(receiver, organization, &key),
            ),
            "schedule" => (key.clone(), tenants::schedule(receiver, &key)),
            other => tenants::request_for(receiver, other, &key),
        };
        let journal = self.cloud.simulator.journal();
        let before = Before {
            calls: journal.last().map_or(0, |call| call.seq),
            callbacks: receiver.journal().len(),
        };
        let asked = Asked {
            kind: self.operation,
            resource,
            shared: false,
            id: String::new(),
            requests: 0,
        };
        (before, asked, body)
    }

    /// The function of this life, in a process of its own that does this.
    fn armed_in(&self, life: usize, points: &str) -> Function {
        let name = ["start-operation", "poll-operation"][life.min(1)];
        self.cloud.function_with(name, (VARIABLE, points))
    }

    pub(crate) async fn mapping_of(&self, poll: &Function) -> Mapping {
        Mapping::start(&self.cloud.ministack, &self.cloud.queue_url, poll).await
    }

    pub(crate) async fn post(&self, start: &Function, body: &Value) -> Answer {
        let key = format!("crash-{}", self.played);
        let headers = [
            ("x-api-key", TICKETS_KEY),
            ("content-type", "application/json"),
            ("idempotency-key", &key),
        ];
        let body = body.to_string();
        Gateway::http_api(start)
            .request("POST", "/v1/operations", &headers, body.as_bytes())
            .await
    }
}

/// Waits until the function has logged this point and returns its log: the answer may be here before.
async fn logs(function: &Function, point: &str) -> String {
    let passed_point = format!("{TOLD}{point}\n");
    let mut ticks = interval(Duration::from_millis(2));
    let written = timeout(PATIENCE, async {
        while !function.logs().contains(&passed_point) {
            ticks.tick().await;
        }
        function.logs()
    });
    let written = written.await;
    written.unwrap_or_else(|_| panic!("{point} was not passed: {}", function.logs()))
}

pub(crate) fn answered(asked: &mut Asked, answer: &Answer) {
    asked.requests += 1;
    if answer.status < 500 {
        let id = answer.json()["id"].as_str().map(str::to_owned);
        asked.id = id.unwrap_or_else(|| panic!("{answer:?}"));
    }
}

fn graph(options: &mut Options) {
    options.durations.export_seconds = JOB_SECONDS;
    options.durations.goals_seconds = JOB_SECONDS;
    options.durations.schedule_seconds = JOB_SECONDS;
    let (first, second) = (Some("40".to_owned()), Some("300".to_owned()));
    let behaviour = &mut options.behaviour;
    behaviour.export.retry_after_start.clone_from(&first);
    behaviour.export.retry_after_poll.clone_from(&second);
    behaviour.goals.retry_after_start.clone_from(&first);
    behaviour.goals.retry_after_poll.clone_from(&second);
    behaviour.schedule.retry_after_start = first;
    behaviour.schedule.retry_after_poll = second;
}
