//! One operation, from its request to Closed, by a program that dies at named points (`courier_core::engine::crash_points`) and is
//! started again. The clock stands still while it lives; between two lives it jumps to what is due next.

use std::collections::{BTreeMap, BTreeSet};

use cloud_testkit::clock::ShiftedClock;
use courier_core::engine::crash_points::{TOLD, VARIABLE};
use courier_local::Database;
use courier_testkit::crash_matrix::{self, Death, Fate};
use courier_testkit::journals::{Asked, Journals};
use courier_testkit::receiver::{Answer as Reply, Receiver};
use courier_testkit::tenants;
use courier_testkit::world::{Answer, GRAPH_SECRET, REFRESH_TOKEN, TICKETS_KEY};
use graph_simulator::{Fault, Options, Simulator};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::process::deployment::{address, config, is_closed};
use crate::process::program::{Courier, Ended};

/// More lives than any operation needs.
const LIVES: usize = 40;
/// Told whenever the worker has taken everything that is due.
const IDLE: &str = "worker.sleep.before";
/// Only the caller knows this moment: it has the answer.
pub(crate) const ANSWERED: &str = "request.answer.after";
/// A job outlasts a lease and a hold, and is polled twice.
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

/// What happens to one operation.
#[derive(Clone, Default)]
pub(crate) struct Scene {
    /// One of [`tenants::OPERATIONS`].
    pub(crate) operation: &'static str,
    /// One after the other; then it lives on.
    pub(crate) strikes: Vec<Strike>,
    pub(crate) fault: Option<Fault>,
    /// What the receiver answers first.
    pub(crate) receiver: Option<Reply>,
}

/// One death.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub(crate) death: Death,
    pub(crate) point: String,
    /// So often time has passed, since the strike before.
    pub(crate) skip: usize,
}

/// What is left of it.
pub(crate) struct Played {
    pub(crate) fate: Fate,
    /// The points that were passed after the last strike, until time passed, then until it passed again, …
    pub(crate) passed: Vec<BTreeSet<String>>,
}

struct Stage {
    scene: Scene,
    directory: TempDir,
    clock: ShiftedClock,
    simulator: Simulator,
    receiver: Receiver,
    http: reqwest::Client,
    asked: Asked,
    body: Value,
    /// Of this life.
    answered: bool,
    /// How often time has passed since the last strike.
    age: usize,
    passed: Vec<BTreeSet<String>>,
    died: usize,
    lives: Vec<(Timestamp, Timestamp)>,
    /// The poll whose answer died with the program, and the pause that Graph asked for with it (the limit of I12).
    forgotten: Option<u64>,
}

/// Plays the scene to its end; panics when journals contradict each other.
pub(crate) async fn play(scene: Scene) -> Played {
    let mut stage = Stage::new(scene).await;
    for _ in 0..LIVES {
        if stage.live().await && !stage.time_passes().await {
            return stage.end().await;
        }
    }
    panic!("it never comes to an end");
}

impl Stage {
    async fn new(scene: Scene) -> Self {
        let clock = ShiftedClock::new();
        clock.stand_at(clock.now());
        let mut options = Options::from_toml(GRAPH, clock.function()).unwrap();
        options.client_secret = Some(GRAPH_SECRET.to_owned());
        options.refresh_token = Some(REFRESH_TOKEN.to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, options).await.unwrap();
        scene
            .fault
            .iter()
            .for_each(|fault| simulator.script(fault.clone()));
        let receiver = Receiver::start(clock.function()).await.unwrap();
        scene
            .receiver
            .iter()
            .for_each(|reply| receiver.answer_next(reply.clone()));
        let directory = tempfile::tempdir().unwrap();
        let config = config(&simulator.base_url(), &receiver.origin());
        std::fs::write(directory.path().join("courier.toml"), config).unwrap();
        let (resource, body) = tenants::request(&receiver, scene.operation);
        Self {
            asked: Asked {
                kind: scene.operation,
                resource,
                shared: false,
                id: String::new(),
                requests: 0,
            },
            scene,
            directory,
            clock,
            simulator,
            receiver,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            body,
            answered: false,
            age: 0,
            passed: Vec::new(),
            died: 0,
            lives: Vec::new(),
            forgotten: None,
        }
    }

    /// Starts the program, asks if the caller has no answer yet, lets it do what is due and stops it. `false` if it died
    /// at its point.
    async fn live(&mut self) -> bool {
        let born = self.clock.now();
        let strike = self.scene.strikes.get(self.died).cloned();
        let strike = strike.filter(|strike| self.age >= strike.skip);
        let points = match &strike {
            Some(strike) => format!("say {IDLE},{} {}", strike.death.as_str(), strike.point),
            None => "say *".to_owned(),
        };
        let mut server = self.start(&points);
        let Some(Strike { death, point, .. }) = strike else {
            self.work(&mut server, None).await;
            self.ended_well(server.ended().await);
            return true;
        };
        let struck = server.tells(&format!("{TOLD}{point}"));
        let lived = tokio::select! {
            biased;
            // When it ends without, the other branch knows why.
            true = struck => false,
            lived = self.work(&mut server, Some(&point)) => lived,
        };
        if lived {
            self.ended_well(server.ended().await);
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
        self.age = 0;
        self.lives.push((born, self.clock.now()));
        if ["poll.call.after", "status.write.before"].contains(&point.as_str()) {
            self.forgotten = self.simulator.journal().last().map(|call| call.seq);
        }
        false
    }

    /// What a life is for. `false` when the caller is to kill it.
    async fn work(&mut self, server: &mut Courier, point: Option<&str>) -> bool {
        let api = address(server).await;
        assert!(
            server.tells(&format!("{TOLD}{IDLE}")).await,
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
        // It may just have died; then this is the end of what it says.
        server.try_signal("TERM").await;
        server.silent().await;
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
        let clock = self.clock.environment();
        let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/process/nobody.pem");
        // Reading all of the machine's certificates would take longer than the rest of a life.
        let mut variables = vec![(VARIABLE, points), ("SSL_CERT_FILE", certificate)];
        let clock = clock
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

    fn ended_well(&mut self, ended: Ended) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let told = ended.stderr.lines();
        let told = told.filter_map(|line| line.strip_prefix(TOLD));
        self.passed.resize(self.age + 1, BTreeSet::new());
        let passed = &mut self.passed[self.age];
        passed.extend(told.map(str::to_owned));
        if self.answered {
            passed.insert(ANSWERED.to_owned());
        }
    }

    /// Moves the clock to what is due next; `false` when nothing is.
    async fn time_passes(&mut self) -> bool {
        let database = Database::open(&self.directory.path().join("data/courier.db")).unwrap();
        let due = database.next_due().await.unwrap();
        database.close().await;
        let Some(due) = due else {
            return false;
        };
        // What was sent to be done at once is done in the next life, before time passes.
        if due > self.clock.now() {
            // Clocks are cut to milliseconds.
            self.clock.stand_at(due + SignedDuration::from_millis(1));
            self.age += 1;
        }
        true
    }

    /// What the journals say.
    async fn end(mut self) -> Played {
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
        let mut calls = self.simulator.journal();
        for call in &mut calls {
            call.not_before = call.not_before.filter(|_| self.forgotten != Some(call.seq));
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
        let missed = self.scene.strikes.get(self.died);
        assert!(missed.is_none(), "{missed:?} was never passed");
        Played {
            fate: Fate::of(&journals),
            passed: std::mem::take(&mut self.passed),
        }
    }
}

/// Whatever fails, says of what.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} {:?}", self.scene.operation, self.scene.strikes);
        }
    }
}
