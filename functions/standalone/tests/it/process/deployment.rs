//! The environment of a `courier` process under test: directory, configuration, simulated Graph, and receiver.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cloud_testkit::clock::ShiftedClock;
use courier_core::time::Clock;
use courier_testkit::leak_scan;
use courier_testkit::receiver::Receiver;
use courier_testkit::redaction::Sightings;
use courier_testkit::world::{Answer, TICKETS_KEY};
use graph_simulator::{Entry, Job};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use crate::process::program::{Courier, PATIENCE, clock};

/// A directory with configuration and data, a simulated Graph in its own process, and a receiver in this process.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    /// Runs until the site is dropped.
    _graph: Courier,
    pub(crate) graph_url: String,
    pub(crate) receiver: Receiver,
    pub(crate) http: reqwest::Client,
}

/// Simulator script in which every job and every `Retry-After` takes seconds.
pub(crate) const QUICK: &str = r#"
client_secret = "canary-graph-client-secret"
[durations]
export_seconds = 2.0
goals_seconds = 1.5
schedule_seconds = 1.0
[behaviour.export]
retry_after_start = 1
retry_after_poll = 1
[behaviour.goals]
retry_after_start = 1
retry_after_poll = 1
[behaviour.schedule]
retry_after_start = 1
retry_after_poll = 1
"#;

/// Announces the end of operations to `{target}`.
pub(crate) const EVENTS: &str = r#"
[events]
source = "https://courier.example"
types = ["operation.ended"]
url = "{target}/events"
signing_secrets = ["env:SIGNING_NEW"]
"#;

impl Site {
    /// Returns a site whose simulated Graph runs this script.
    pub(crate) async fn new(script: &str) -> Self {
        Self::with_clocks(script, &[], clock()).await
    }

    /// Returns such a site where Graph and the receiver use this clock.
    pub(crate) async fn at(script: &str, clock: &ShiftedClock) -> Self {
        let environment = clock.environment();
        Self::with_clocks(script, &variables(&environment), clock.function()).await
    }

    async fn with_clocks(script: &str, graph: &[(&str, &str)], receiver: Clock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script_file = directory.path().join("script.toml");
        std::fs::write(&script_file, script).unwrap();
        let journal = directory.path().join("graph.jsonl");
        let simulator = Courier::start(
            &[
                "simulate-graph",
                "--listen=127.0.0.1:0",
                "--script",
                script_file.to_str().unwrap(),
                "--journal",
                journal.to_str().unwrap(),
            ],
            graph,
        );
        let line = simulator.says("simulating Microsoft Graph at ").await;
        let graph_url = line.rsplit(' ').next().unwrap().to_owned();
        let receiver = Receiver::start(receiver).await.unwrap();
        let config = config(&graph_url, &receiver.origin());
        std::fs::write(directory.path().join("courier.toml"), config).unwrap();
        Self {
            directory,
            _graph: simulator,
            graph_url,
            receiver,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the arguments of `courier serve` for this site.
    pub(crate) fn arguments(&self, listen: &str) -> Vec<String> {
        let argument = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![
            "serve".to_owned(),
            format!("--listen={listen}"),
            format!("--config={}", argument(self.path("courier.toml"))),
            format!("--data={}", argument(self.path("data"))),
        ]
    }

    /// Starts `courier serve` at any free port; returns the process and its API's origin once it serves.
    pub(crate) async fn serve(&self, variables: &[(&str, &str)]) -> (Courier, String) {
        let owned = self.arguments("127.0.0.1:0");
        let arguments: Vec<&str> = owned.iter().map(String::as_str).collect();
        let server = Courier::start(&arguments, variables);
        let api = address(&server).await;
        (server, api)
    }

    /// Sends a request with an idempotency key; returns `None` if the connection failed.
    pub(crate) async fn post(&self, api: &str, key: &str, body: &Value) -> Option<Answer> {
        let request = self
            .http
            .post(format!("{api}/v1/operations"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body.to_string());
        send(request).await
    }

    pub(crate) async fn get(&self, api: &str, path: &str) -> Option<Answer> {
        send(self.http.get(format!("{api}{path}"))).await
    }

    /// Polls the API until the operation has ended and its callback is no longer pending; returns its document.
    pub(crate) async fn closed(&self, api: &str, id: &str) -> Value {
        let path = format!("/v1/operations/{id}");
        let mut ticks = interval(Duration::from_millis(50));
        let closed = timeout(PATIENCE, async {
            loop {
                ticks.tick().await;
                if let Some(answer) = self.get(api, &path).await
                    && is_closed(&answer.body)
                {
                    return answer.body;
                }
            }
        });
        closed
            .await
            .unwrap_or_else(|_| panic!("{id} never came to an end"))
    }

    /// Returns the jobs that the simulator runs.
    pub(crate) async fn jobs(&self) -> Vec<Job> {
        let url = format!("{}/__jobs", self.graph_url);
        let answer = self.http.get(url).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Returns the simulator's journal, read from its file.
    pub(crate) fn calls(&self) -> Vec<Entry> {
        let text = std::fs::read_to_string(self.path("graph.jsonl")).unwrap_or_default();
        // While the simulator runs the last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until the simulator has received the call `call`.
    pub(crate) async fn asked(&self, call: &str) {
        let mut ticks = interval(Duration::from_millis(10));
        let asked = timeout(PATIENCE, async {
            while !self.calls().iter().any(|entry| entry.call == call) {
                ticks.tick().await;
            }
        });
        asked
            .await
            .unwrap_or_else(|_| panic!("Graph was never called for {call}"));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let sightings = Sightings::default();
        if self.path("data").is_dir() {
            leak_scan::scan_folder(&sightings, &self.path("data"));
        }
        leak_scan::scan_callbacks(&sightings, &self.receiver.journal());
        let seen = sightings.seen();
        assert!(seen.is_empty(), "I11: {seen:#?}");
    }
}

pub(crate) fn is_closed(operation: &Value) -> bool {
    let open = ["pending", "retrying"].map(Value::from);
    operation["endedAt"].is_string() && !open.contains(&operation["callback"]["status"])
}

/// Returns environment variables in the form that `Courier::start` takes.
pub(crate) fn variables(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = environment.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Waits until the server logs its address; returns its origin.
pub(crate) async fn address(server: &Courier) -> String {
    let line = server.says(" serving").await;
    let address = line.split("address=").nth(1).unwrap_or_default();
    format!("http://{}", address.split(' ').next().unwrap_or_default())
}

async fn send(request: reqwest::RequestBuilder) -> Option<Answer> {
    let answer = request.header("x-api-key", TICKETS_KEY).send().await.ok()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default();
    Some(Answer {
        status,
        headers,
        body,
    })
}

/// Returns the configuration of a site.
pub(crate) fn config(graph: &str, receiver: &str) -> String {
    format!(
        r#"
[graph]
base_url = "{graph}"
login_url = "{graph}"
[graph.tenants.contoso]
tenant_id = "contoso.example"
client_id = "courier"
client_secret = "env:GRAPH_SECRET"
refresh_token = "env:REFRESH_TOKEN"
[clients.tickets]
tenant = "contoso"
api_keys = ["sha256:bb915d5eed4b2523441dd1eaf37e5ad2448958558344f7d659b33c83dea2ead3"]
operations = ["user.exportPersonalData", "goals.exportJob", "team.schedule"]
callback_origins = ["{receiver}"]
signing_secrets = ["env:SIGNING_NEW", "env:SIGNING_OLD"]
[seal]
key = "env:SEAL_KEY"
[callbacks]
allow_networks = ["127.0.0.0/8"]
[limits]
requests_per_minute = 1000000
"#
    )
}

/// Writes `text` to a new file of the directory; returns its path for use as an argument.
pub(crate) fn file(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
