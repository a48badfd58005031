//! A whole graph-courier of the cloud on loopback, with a clock that a test moves: the three functions, their queue and
//! table behind a proxy that keeps a journal, Graph and a receiver.

use std::path::PathBuf;
use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use cloud_testkit::function::{Function, Options};
use cloud_testkit::gateway::{Answer, Gateway};
use cloud_testkit::mapping::Mapping;
use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::proxy::Proxy;
use courier_testkit::invariants;
use courier_testkit::receiver::Receiver;
use courier_testkit::redaction::Sightings;
use courier_testkit::tenants::{
    CONFIG, GRAPH_SECRET, REFRESH_TOKEN, SEAL_KEY, SIGNING_SECRETS, TICKETS_KEY,
};
use graph_simulator::{Options as GraphOptions, STORAGE_KEY, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::binaries::{binary, crashing_binary};

pub(crate) const TABLE: &str = "courier";
/// The timeouts of `infra/template.yaml`.
const START_TIMEOUT: Duration = Duration::from_secs(29);
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Cloud {
    pub(crate) clock: ShiftedClock,
    pub(crate) ministack: MiniStack,
    pub(crate) proxy: Proxy,
    pub(crate) simulator: Simulator,
    pub(crate) receiver: Receiver,
    pub(crate) start: Function,
    pub(crate) poll: Function,
    pub(crate) sweep: Function,
    pub(crate) api: Gateway,
    pub(crate) queue_url: String,
    pub(crate) dead_letter_url: String,
    /// The configuration document.
    pub(crate) config: String,
    pub(crate) variables: Variables,
    binary: Binary,
}

/// Where the program of a function is.
type Binary = fn(&str) -> PathBuf;

pub(crate) type Variables = [(&'static str, String); 5];

impl Cloud {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A cloud whose Graph `change` has changed.
    pub(crate) async fn with(change: impl FnOnce(&mut GraphOptions)) -> Self {
        Self::of(binary, change).await
    }

    /// A cloud of programs with crash points, which are no release builds.
    pub(crate) async fn crashing(change: impl FnOnce(&mut GraphOptions)) -> Self {
        Self::of(crashing_binary, change).await
    }

    async fn of(binary: Binary, change: impl FnOnce(&mut GraphOptions)) -> Self {
        let clock = ShiftedClock::new();
        let setup = Setup {
            clock: Some(clock.clone()),
            ..Setup::default()
        };
        let ministack = MiniStack::start_with(setup).await;
        let proxy = Proxy::start(ministack.url(), clock.function()).await;
        let mut options = GraphOptions::new(clock.function());
        options.client_secret = Some(GRAPH_SECRET.to_owned());
        options.refresh_token = Some(REFRESH_TOKEN.to_owned());
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, options).await.unwrap();
        let receiver = Receiver::start(clock.function()).await.unwrap();
        ministack.create_courier_table(TABLE).await;
        let (queue_url, dead_letter_url) = ministack.create_courier_queue("courier").await;
        let (arn, config) = config(&ministack, &simulator.base_url(), &receiver.origin()).await;
        let variables = [
            ("COURIER_CONFIG", format!("aws-secret:{arn}")),
            ("COURIER_QUEUE_URL", proxy.through(&queue_url)),
            ("COURIER_TABLE", TABLE.to_owned()),
            ("COURIER_LOG", "trace".to_owned()),
            ("AWS_ENDPOINT_URL", proxy.url()),
        ];
        let start = function(binary, "start-operation", &variables, &clock);
        let poll = function(binary, "poll-operation", &variables, &clock);
        let sweep = function(binary, "sweep-operations", &variables, &clock);
        let api = Gateway::http_api(&start);
        Self {
            clock,
            ministack,
            proxy,
            simulator,
            receiver,
            start,
            poll,
            sweep,
            api,
            queue_url,
            dead_letter_url,
            config,
            variables,
            binary,
        }
    }

    /// The same functions at another log level.
    pub(crate) fn logging(mut self, level: &str) -> Self {
        let level = [("COURIER_LOG", level)];
        self.start = self.function("start-operation", &level);
        self.poll = self.function("poll-operation", &level);
        self.api = Gateway::http_api(&self.start);
        self
    }

    /// A function of this cloud with other values for some of its variables.
    pub(crate) fn function(&self, name: &str, changes: &[(&str, &str)]) -> Function {
        let mut variables = self.variables.clone();
        for (name, value) in &mut variables {
            if let Some((_, other)) = changes.iter().find(|(changed, _)| changed == name) {
                *value = (*other).to_owned();
            }
        }
        function(self.binary, name, &variables, &self.clock)
    }

    /// A function of this cloud with one more variable.
    pub(crate) fn function_with(&self, name: &str, variable: (&str, &str)) -> Function {
        let variables = self.variables.iter();
        let variables = variables.map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = variables.chain([variable]).collect();
        Function::start(&(self.binary)(name), &variables, options(name, &self.clock))
    }

    /// Gives a secret another value.
    pub(crate) async fn replace_secret(&self, name: &str, value: &str) {
        let request = json!({ "SecretId": name, "SecretString": value });
        let replaced = self
            .ministack
            .call("secretsmanager.PutSecretValue", &request);
        replaced.await.unwrap();
    }

    /// Feeds the queue to the poll function, which may send to its own queue (`infra/template.yaml`).
    pub(crate) async fn mapping(&self) -> Mapping {
        let mapping = Mapping::start(&self.ministack, &self.queue_url, &self.poll).await;
        mapping.with_lineage(&self.proxy).allowing_loops()
    }

    /// A request of the tickets client with an idempotency key.
    pub(crate) async fn post(&self, key: &str, body: &Value) -> Answer {
        let headers = [
            ("x-api-key", TICKETS_KEY),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let body = body.to_string();
        self.api
            .request("POST", "/v1/operations", &headers, body.as_bytes())
            .await
    }

    /// The same, but Graph is left to the queue.
    pub(crate) async fn post_later(&self, key: &str, body: &Value) -> Answer {
        let headers = [
            ("x-api-key", TICKETS_KEY),
            ("content-type", "application/json"),
            ("idempotency-key", key),
            ("prefer", "respond-async"),
        ];
        let body = body.to_string();
        self.api
            .request("POST", "/v1/operations", &headers, body.as_bytes())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.api
            .request("GET", path, &[("x-api-key", TICKETS_KEY)], b"")
            .await
    }

    pub(crate) async fn operation(&self, id: &str) -> Value {
        self.get(&format!("/v1/operations/{id}")).await.json()
    }

    /// Moves the clock on by `pause` again and again, and does what is due, until nothing more is owed for the operation.
    pub(crate) async fn closed(&self, id: &str, pause: Duration) -> Value {
        let mapping = self.mapping().await;
        for _ in 0..5_000 {
            mapping.drain().await;
            let operation = self.operation(id).await;
            if is_closed(&operation) {
                return operation;
            }
            self.clock.advance(pause);
        }
        panic!("it never came to an end: {}", self.operation(id).await);
    }

    /// I11: what the functions logged, queued (dead letters too) and kept holds no secret of a test. Only Secrets Manager
    /// is asked for them.
    fn look_for_secrets(&self) {
        let sightings = Sightings::default();
        for function in [&self.start, &self.poll, &self.sweep] {
            sightings.scan("the logs", function.logs().as_bytes());
        }
        let calls = self.proxy.journal();
        for call in calls
            .iter()
            .filter(|call| call.operation != "GetSecretValue")
        {
            sightings.scan(&call.operation, &call.request);
            sightings.scan(&call.operation, &call.response);
        }
        assert!(sightings.seen().is_empty(), "I11: {:#?}", sightings.seen());
    }

    /// Holds the journals of Graph and of the receiver against the invariants, looks for secrets, and for faults that
    /// never struck.
    pub(crate) fn check(&self) {
        self.look_for_secrets();
        let faults = self.proxy.unused_faults();
        assert!(faults.is_empty(), "left over: {faults:?}");
        invariants::check_ended(&self.simulator, &self.receiver);
    }
}

pub(crate) fn is_closed(operation: &Value) -> bool {
    let open = ["pending", "retrying"].map(Value::from);
    operation["endedAt"].is_string() && !open.contains(&operation["callback"]["status"])
}

/// Puts the configuration and its secrets where the functions find them; the document's ARN and text.
async fn config(ministack: &MiniStack, graph: &str, receiver: &str) -> (String, String) {
    let secrets = secrets().to_string();
    let arn = ministack.put_secret("courier/secrets", &secrets).await;
    let text = CONFIG
        .replace("{graph}", graph)
        .replace("{receiver}", receiver)
        .replace("env:", &format!("aws-secret:{arn}#"));
    (ministack.put_secret("courier/config", &text).await, text)
}

/// The secrets by name, as they are kept in one secret.
pub(crate) fn secrets() -> Value {
    json!({
        "GRAPH_SECRET": GRAPH_SECRET,
        "REFRESH_TOKEN": REFRESH_TOKEN,
        "SIGNING_NEW": SIGNING_SECRETS[0],
        "SIGNING_OLD": SIGNING_SECRETS[1],
        "SEAL_KEY": SEAL_KEY,
        "STORAGE_KEY": STORAGE_KEY,
    })
}

fn function(binary: Binary, name: &str, variables: &Variables, clock: &ShiftedClock) -> Function {
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Function::start(&binary(name), &variables, options(name, clock))
}

fn options(name: &str, clock: &ShiftedClock) -> Options {
    let timeout = if name == "start-operation" {
        START_TIMEOUT
    } else {
        POLL_TIMEOUT
    };
    Options {
        name: name.to_owned(),
        timeout,
        memory_mb: 128,
        clock: Some(clock.clone()),
        ..Options::default()
    }
}
