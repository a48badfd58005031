//! One operation, from its request to Closed, by a program that dies at crash points
//! (`courier_core::engine::crash_points`) and is started again. The clock stands still while a process runs; between
//! two processes it advances to what is due next.

use std::collections::{BTreeMap, BTreeSet};

use cloud_testkit::clock::ShiftedClock;
use courier_core::engine::crash_points::{TOLD, VARIABLE};
use courier_local::Database;
use courier_testkit::crash_matrix::{self, Death, Fate};
use courier_testkit::invariants;
use courier_testkit::journals::{Asked, Journals};
use courier_testkit::receiver::{Answer as Reply, Receiver};
use courier_testkit::tenants;
use courier_testkit::world::{Answer, GRAPH_SECRET, REFRESH_TOKEN, TICKETS_KEY};
use graph_simulator::{Fault, Options, Simulator};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::process::deployment::{EVENTS, address, config, is_closed};
use crate::process::program::{Courier, Ended};

/// Upper bound of the number of processes that any operation needs.
const MAX_PROCESSES: usize = 40;
/// Time by which the clock advances when nothing tells how long the process would have waited.
const SLOW_STEP: SignedDuration = SignedDuration::from_secs(10);
/// Crash point that is passed whenever the worker has finished everything that is due.
const IDLE: &str = "worker.sleep.before";
/// Moment at which the caller has the answer; only the caller can observe it, so it is no crash point of the program.
pub(crate) const ANSWERED: &str = "request.answer.after";
/// Simulator script in which a job outlasts a lease and a hold, and is polled twice.
const GRAPH: &str = r#"
client_secret = "canary-graph-client-secret"
[durations]
export_seconds = 1200.0
goals_seconds = 1200.0
schedule_seconds = 1200.0
[behaviour.export]
retry_after_start = 40
retry_after_poll = 1400
[behaviour.goals]
retry_after_start = 40
retry_after_poll = 1400
[behaviour.schedule]
retry_after_start = 40
retry_after_poll = 1400
"#;

/// The crashes and faults that one operation meets.
#[derive(Clone, Default)]
pub(crate) struct Scenario {
    /// One of [`tenants::OPERATIONS`], or what is looked for or followed: `ediscovery` or `team`.
    pub(crate) operation: &'static str,
    /// Crashes, one after the other; afterwards the program runs on.
    pub(crate) crashes: Vec<Crash>,
    pub(crate) fault: Option<Fault>,
    /// How the jobs of an operation depart from the ordinary case, by its name in the catalogue.
    pub(crate) variant: Option<(&'static str, &'static str)>,
    /// First answer of the receiver.
    pub(crate) receiver: Option<Reply>,
    /// The end is announced as an event, to a receiver of its own.
    pub(crate) announced: bool,
}

/// One crash of the program.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    pub(crate) death: Death,
    pub(crate) point: String,
    /// Number of times that the clock advances between the previous crash and this one.
    pub(crate) skip: usize,
}

/// Result of a scenario.
pub(crate) struct Finished {
    pub(crate) fate: Fate,
    /// Number of times that the end was announced.
    pub(crate) announcements: usize,
    /// Crash points passed since the last crash; a new set begins whenever the clock advances.
    pub(crate) passed: Vec<BTreeSet<String>>,
}

struct Run {
    scenario: Scenario,
    directory: TempDir,
    clock: ShiftedClock,
    simulator: Simulator,
    receiver: Receiver,
    /// The target of events.
    target: Receiver,
    http: reqwest::Client,
    asked: Asked,
    body: Value,
    /// True if the current process has answered the request.
    answered: bool,
    /// Number of times that the clock has advanced since the last crash.
    advances: usize,
    /// The last process has worked off what was due.
    idle: bool,
    passed: Vec<BTreeSet<String>>,
    died: usize,
    lives: Vec<(Timestamp, Timestamp)>,
    /// Number of the poll whose answer, and with it Graph's Retry-After, was lost in a crash (the limit of I12).
    lost_poll: Option<u64>,
}

/// Runs the scenario to its end; panics if the journals contradict each other.
pub(crate) async fn run_scenario(scenario: Scenario) -> Finished {
    let mut run = Run::new(scenario).await;
    for _ in 0..MAX_PROCESSES {
        if run.run_process().await && !run.advance_clock().await {
            return run.end().await;
        }
    }
    panic!("it never comes to an end");
}

impl Run {
    async fn new(scenario: Scenario) -> Self {
        let clock = ShiftedClock::new();
        clock.stand_at(clock.now());
        let mut options = Options::from_toml(GRAPH, clock.function()).unwrap();
        options.client_secret = Some(GRAPH_SECRET.to_owned());
        options.refresh_token = Some(REFRESH_TOKEN.to_owned());
        let variants = scenario.variant.iter();
        options.variants = variants
            .map(|(operation, variant)| ((*operation).to_owned(), (*variant).to_owned()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, options).await.unwrap();
        scenario
            .fault
            .iter()
            .for_each(|fault| simulator.script(fault.clone()));
        let receiver = Receiver::start(clock.function()).await.unwrap();
        scenario
            .receiver
            .iter()
            .for_each(|reply| receiver.answer_next(reply.clone()));
        let target = Receiver::start(clock.function()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = config(&simulator.base_url(), &receiver.origin());
        let more = r#"operations = ["ediscovery.exportResult", "team.fromGroup", "#;
        let mut config = config.replacen("operations = [", more, 1);
        if scenario.announced {
            config.push_str(&EVENTS.replace("{target}", &target.origin()));
        }
        std::fs::write(directory.path().join("courier.toml"), config).unwrap();
        let (resource, body) = tenants::request(&receiver, scenario.operation);
        Self {
            asked: Asked {
                kind: scenario.operation,
                resource,
                shared: false,
                id: String::new(),
                requests: 0,
            },
            scenario,
            directory,
            clock,
            simulator,
            receiver,
            target,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            body,
            answered: false,
            advances: 0,
            idle: false,
            passed: Vec::new(),
            died: 0,
            lives: Vec::new(),
            lost_poll: None,
        }
    }

    /// Runs one process: sends the request if it is unanswered, lets the process do what is due, and stops it.
    ///
    /// Returns `false` if the process died at its crash point.
    async fn run_process(&mut self) -> bool {
        let born = self.clock.now();
        let next = self.scenario.crashes.get(self.died).cloned();
        let crash = next.filter(|crash| self.advances >= crash.skip);
        let points = match &crash {
            Some(crash) => format!("say {IDLE},{} {}", crash.death.as_str(), crash.point),
            None => "say *".to_owned(),
        };
        let mut server = self.start(&points);
        let Some(Crash { death, point, .. }) = crash else {
            self.work(&mut server, None).await;
            self.record_passed_points(server.ended().await);
            return true;
        };
        let passed = format!("{TOLD}{}", point.split(':').next().unwrap_or_default());
        let crashed = server.logs(&passed);
        let lived = tokio::select! {
            biased;
            // If the process ends without passing the point, the other branch reports why.
            true = crashed => false,
            lived = self.work(&mut server, Some(&point)) => lived,
        };
        // The process may have written its last line and ended between the polls of the two branches.
        if lived && !server.said().contains(&passed) {
            self.record_passed_points(server.ended().await);
            return true;
        }
        if death == Death::Abort && point == ANSWERED {
            server.signal("ABRT").await;
        }
        let ended = match death {
            Death::Abort => server.ended().await,
            Death::Kill => server.kill().await,
        };
        assert_eq!(ended.signal, Some(death.signal()), "{point}: {ended:?}");
        self.died += 1;
        self.passed.clear();
        self.advances = 0;
        self.idle = false;
        self.lives.push((born, self.clock.now()));
        if ["poll.call.after", "status.write.before"].contains(&point.as_str()) {
            self.lost_poll = self.simulator.journal().last().map(|call| call.seq);
        }
        false
    }

    /// Sends the request if needed and waits until the process has ended its work.
    ///
    /// Returns `false` if the caller of this function must kill the process.
    async fn work(&mut self, server: &mut Courier, point: Option<&str>) -> bool {
        let api = address(server).await;
        assert!(
            server.logs(&format!("{TOLD}{IDLE}")).await,
            "{}",
            server.said()
        );
        self.answered = false;
        if self.asked.id.is_empty() {
            self.asked.requests += 1;
            if let Some(answer) = self.post(&api).await {
                assert!([200, 202].contains(&answer.status), "{answer:?}");
                self.asked.id = answer.id();
                self.answered = true;
                if point == Some(ANSWERED) {
                    return false;
                }
            }
        }
        // The process may have died just now; then the signal fails and its output ends.
        server.try_signal("TERM").await;
        server.output_ended().await;
        true
    }

    fn start(&self, points: &str) -> Courier {
        let place = |name: &str| {
            self.directory
                .path()
                .join(name)
                .to_str()
                .unwrap()
                .to_owned()
        };
        let config = format!("--config={}", place("courier.toml"));
        let data = format!("--data={}", place("data"));
        let arguments = ["serve", "--listen=127.0.0.1:0", &config, &data];
        let environment = self.clock.environment();
        let certificate = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/process/unused_ca.pem"
        );
        // Loading all root certificates of the machine would take longer than everything else in a process.
        let mut variables = vec![(VARIABLE, points), ("SSL_CERT_FILE", certificate)];
        let clock = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        variables.extend(clock);
        Courier::start(&arguments, &variables)
    }

    async fn post(&self, api: &str) -> Option<Answer> {
        let request = self
            .http
            .post(format!("{api}/v1/operations"))
            .header("content-type", "application/json")
            .header("idempotency-key", "crash")
            .body(self.body.to_string());
        self.send(request).await
    }

    async fn get(&self, api: &str, path: &str) -> Value {
        let request = self.http.get(format!("{api}/v1/operations{path}"));
        self.send(request).await.expect("no answer").body
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Option<Answer> {
        let answer = request.header("x-api-key", TICKETS_KEY).send().await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default();
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    fn record_passed_points(&mut self, ended: Ended) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let lines = ended.stderr.lines();
        let points = lines.filter_map(|line| line.strip_prefix(TOLD));
        self.passed.resize(self.advances + 1, BTreeSet::new());
        let passed = &mut self.passed[self.advances];
        passed.extend(points.map(str::to_owned));
        if self.answered {
            passed.insert(ANSWERED.to_owned());
        }
    }

    /// Moves the clock to what is due next; returns `false` if nothing is due.
    async fn advance_clock(&mut self) -> bool {
        let database = Database::open(&self.directory.path().join("data/courier.db")).unwrap();
        let next_due = database.next_due();
        database.close().await;
        let Some(due) = next_due else {
            return false;
        };
        let now = self.clock.now();
        // A message that is due already is worked off by the next process before the clock moves. If that has left it
        // waiting for something, for how long is known to no process but itself.
        let due = match due > now {
            true => due,
            false if self.idle => now + SLOW_STEP,
            false => {
                self.idle = true;
                return true;
            }
        };
        self.idle = false;
        // Clocks are truncated to milliseconds.
        self.clock.stand_at(due + SignedDuration::from_millis(1));
        self.advances += 1;
        true
    }

    /// Compares the journals and returns the result.
    async fn end(mut self) -> Finished {
        let server = self.start("say *");
        let api = address(&server).await;
        let page = self.get(&api, "").await;
        let history = self.get(&api, &format!("/{}/history", self.asked.id)).await;
        drop(server);
        let documents: BTreeMap<_, _> = page["operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|document| {
                (
                    document["id"].as_str().unwrap().to_owned(),
                    document.clone(),
                )
            })
            .collect();
        assert!(documents.values().all(is_closed), "{page}");
        crash_matrix::ended_once(&history);
        assert!(self.simulator.unused_faults().is_empty());
        assert_eq!(self.receiver.unused(), 0);
        let announcements = self.target.journal();
        assert_eq!(!announcements.is_empty(), self.scenario.announced);
        invariants::one_event(&announcements);
        let mut calls = self.simulator.journal();
        for call in &mut calls {
            call.not_before = call.not_before.filter(|_| self.lost_poll != Some(call.seq));
        }
        let journals = Journals {
            asked: vec![self.asked.clone()],
            documents,
            calls,
            jobs: self.simulator.jobs(),
            callbacks: self.receiver.journal(),
            lives: std::mem::take(&mut self.lives),
        };
        journals.agree();
        let missed = self.scenario.crashes.get(self.died);
        assert!(missed.is_none(), "{missed:?} was never passed");
        Finished {
            fate: Fate::of(&journals),
            announcements: announcements.len(),
            passed: std::mem::take(&mut self.passed),
        }
    }
}

/// Prints the scenario when a check fails.
impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} {:?}", self.scenario.operation, self.scenario.crashes);
        }
    }
}
