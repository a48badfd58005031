//! A whole graph-courier on loopback with a clock that a test moves: caller, server, Graph, receiver, database.
//!
//! When a World is dropped, the journals of Graph and the receiver are checked against the invariants. Unused faults or
//! answers fail the test, and so does a secret that was seen anywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_core::crypto::secret::Secret;
use courier_core::engine::app::App;
use courier_core::engine::deployment::DOCUMENT;
use courier_core::engine::platform::Platform;
use courier_core::engine::step::step;
use courier_core::lifecycle::Timing;
use courier_core::operation::{Ids, random_ids};
use courier_core::outbound::{HttpTransport, Timeouts};
use courier_core::ports::Store;
use courier_local::Database;
use courier_local::worker;
use courier_local::{Limits, serve};
use graph_simulator::{Options, Simulator};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::receiver::Receiver;
use crate::redaction::{self, Sightings};
pub use crate::tenants::{
    CALLBACK_TOKEN, FABRIKAM_KEY, GRAPH_SECRET, HR_KEY, REFRESH_TOKEN, SAS_SIGNATURE,
    SIGNING_SECRETS, TICKETS_KEY, sas,
};
use crate::tenants::{CONFIG, resolve};
pub use crate::test_clock::TestClock;
use crate::{invariants, leak_scan};

/// The parts of a World that a test may change before it starts.
pub struct Setup {
    pub simulator: Options,
    pub timing: Timing,
    pub timeouts: Timeouts,
    /// The configuration document; `{graph}` and `{receiver}` are filled in.
    pub config: String,
    /// The operations that can be run.
    pub catalogue: &'static Catalogue,
    /// The directory of the database; by default the World makes one of its own, with the same deployment as every World.
    pub data: Option<TempDir>,
    /// Changes the data file before it is opened; gets its path, the URL of Graph and the receiver's origin.
    pub prepare: fn(&Path, &str, &str),
    pub clock: TestClock,
    pub ids: Ids,
    /// Wraps the database into the store that the App uses.
    pub store: Box<dyn FnOnce(Database) -> Arc<dyn Store>>,
}

pub struct World {
    pub simulator: Simulator,
    pub receiver: Receiver,
    pub app: Arc<App>,
    pub database: Database,
    pub clock: TestClock,
    pub http: reqwest::Client,
    /// The root URL of the API, `http://127.0.0.1:PORT`.
    pub api: String,
    data: Option<TempDir>,
    stop: watch::Sender<bool>,
    sightings: Sightings,
}

/// An answer of the API, with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the operation's id; fails the test when the answer has none.
    pub fn id(&self) -> String {
        let id = self.body["id"]
            .as_str()
            .or_else(|| self.body["operation"]["id"].as_str());
        id.unwrap_or_else(|| panic!("no operation in {self:?}"))
            .to_owned()
    }

    /// Returns the last part of a problem's type.
    pub fn problem(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        self.body["type"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("urn:graph-courier:problem:")
    }
}

/// Returns how far the delivery of an operation's completion is: status, attempts and last status.
pub fn delivery(operation: &Value) -> Value {
    let told = ["status", "attempts", "lastStatus"];
    let told = told.map(|name| (name.to_owned(), operation["callback"][name].clone()));
    Value::Object(told.into_iter().collect())
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a World whose setup `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let clock = TestClock::new();
        let mut options = Options::new(clock.function());
        options.client_secret = Some(GRAPH_SECRET.to_owned());
        options.refresh_token = Some(REFRESH_TOKEN.to_owned());
        let mut setup = Setup {
            simulator: options,
            timing: Timing {
                forgets_waits: true,
                ..Timing::default()
            },
            timeouts: Timeouts::default(),
            config: CONFIG.to_owned(),
            catalogue: Catalogue::shipped(),
            data: None,
            prepare: |_, _, _| (),
            clock,
            ids: random_ids(),
            store: Box::new(|database| Arc::new(database)),
        };
        change(&mut setup);
        Self::start(setup)
            .await
            .unwrap_or_else(|error| panic!("the World did not start: {error}"))
    }

    async fn start(setup: Setup) -> Result<Self, Box<dyn std::error::Error>> {
        redaction::watch();
        let clock = setup.clock;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let simulator = Simulator::start(listener, setup.simulator).await?;
        let receiver = Receiver::start(clock.function()).await?;
        let text = setup
            .config
            .replace("{graph}", &simulator.base_url())
            .replace("{receiver}", &receiver.origin())
            .replace(
                "{anonymous}",
                &format!("http://{}", simulator.anonymous_address()),
            );
        let config = Config::parse(&text, setup.catalogue, &resolve)?;
        let is_own = setup.data.is_none();
        let data = setup.data.map_or_else(tempfile::tempdir, Ok)?;
        let file = data.path().join("courier.db");
        (setup.prepare)(&file, &simulator.base_url(), &receiver.origin());
        let options = courier_local::Options {
            catalogue: setup.catalogue,
            ..courier_local::Options::default()
        };
        let database = Database::open_with(&file, &options)?;
        if is_own {
            // Jitter is a hash of the id, so with one key it is the same in every run.
            let key = config.sealer.seal(DOCUMENT, &Secret::new("a World's"));
            let body = json!({ "key": key, "hasOlderRecords": false }).to_string();
            database.swap_document(DOCUMENT, 0, &body).await?;
        }
        let transport = HttpTransport::new(&setup.timeouts, &None, &config.allowed)?;
        let platform = Platform {
            store: (setup.store)(database.clone()),
            queue: Arc::new(database.clone()),
            transport: Arc::new(transport),
            clock: clock.function(),
            ids: setup.ids,
            timing: setup.timing,
            timeouts: setup.timeouts,
        };
        let app = Arc::new(App::new(config, platform));
        // A store that fails in a test may fail here too; then the first request reads the deployment.
        let _ = app.deployment().await;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let api = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = watch::channel(false);
        let served = Arc::clone(&app);
        let handle = move |request| {
            let app = Arc::clone(&served);
            async move { courier_core::http::handle(&app, request, Timestamp::MAX).await }
        };
        tokio::spawn(serve(listener, Limits::default(), handle, stopped));
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            simulator,
            receiver,
            app,
            database,
            clock,
            http,
            api,
            data: Some(data),
            stop,
            sightings: Sightings::default(),
        })
    }

    /// Sends a request of the `tickets` client.
    pub async fn post(&self, body: &Value) -> Answer {
        self.call("POST", "/v1/operations", &[], body.to_string())
            .await
    }

    pub async fn post_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.call("POST", "/v1/operations", headers, body.to_string())
            .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], String::new()).await
    }

    /// Makes one HTTP call, by default as the `tickets` client with a JSON body; `headers` replace and add.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("{}{path}", self.api);
        let method = method.parse().unwrap_or_default();
        let mut request = self.http.request(method, url).body(body);
        let named = |name: &str| {
            headers
                .iter()
                .any(|(header, _)| header.eq_ignore_ascii_case(name))
        };
        if !named("content-type") {
            request = request.header("content-type", "application/json");
        }
        if !named("authorization") && !named("x-api-key") {
            request = request.header("x-api-key", TICKETS_KEY);
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("no answer: {error}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap_or_default();
        let head = format!("{status} {headers:?}");
        self.sightings.scan("an answer", head.as_bytes());
        self.sightings.scan("an answer", &bytes);
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Returns the operation's document as its owner sees it now.
    pub async fn operation(&self, id: &str) -> Value {
        self.get(&format!("/v1/operations/{id}")).await.body
    }

    /// Returns the events of the operation's history, in order.
    pub async fn history(&self, id: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/operations/{id}/history")).await;
        let entries = answer.body["history"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["event"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Runs the steps that are due now, and returns their number.
    pub async fn work(&self) -> usize {
        let mut steps = 0;
        loop {
            let step = |message, receives| {
                let app = Arc::clone(&self.app);
                async move { step(&app, &message, receives, Timestamp::MAX).await }
            };
            let done = worker::drain(&self.database, self.clock.now(), 64, step).await;
            match done {
                0 => return steps,
                done => steps += done,
            }
            assert!(steps < 10_000, "the work does not end");
        }
    }

    /// Moves the clock, then runs the steps that are due.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.work().await;
    }

    /// Moves the clock to the next due message and runs the steps due then; `false` when no message waits.
    pub async fn jump(&self) -> bool {
        let Some(due) = self.database.next_due() else {
            return false;
        };
        let pause = Duration::try_from(due.duration_since(self.clock.now())).unwrap_or_default();
        self.advance(pause).await;
        true
    }

    /// Lets time pass until the operation has ended, and returns its document.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, |operation| !operation["endedAt"].is_null())
            .await
    }

    /// Lets time pass until no callback is outstanding, and returns the document.
    pub async fn closed(&self, id: &str) -> Value {
        self.until(id, |operation| {
            let open = ["pending", "retrying"].map(Value::from);
            !operation["endedAt"].is_null() && !open.contains(&operation["callback"]["status"])
        })
        .await
    }

    async fn until(&self, id: &str, reached: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..2_000 {
            let operation = self.operation(id).await;
            if reached(&operation) {
                return operation;
            }
            assert!(self.jump().await, "nothing is due, but: {operation}");
        }
        panic!("it never came to an end: {}", self.operation(id).await);
    }

    /// Returns the path of the database.
    pub fn data_file(&self) -> PathBuf {
        let data = self.data.as_ref();
        data.unwrap_or_else(|| panic!("stopped"))
            .path()
            .join("courier.db")
    }

    /// Stops the server; returns its directory and clock for the next World.
    pub async fn stop(mut self) -> (TempDir, TestClock) {
        self.stop.send_replace(true);
        self.database.close().await;
        let data = self.data.take().unwrap_or_else(|| panic!("stopped twice"));
        (data, self.clock.clone())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        invariants::check_ended(&self.simulator, &self.receiver);
        if let Some(data) = &self.data {
            leak_scan::scan_app(&self.sightings, &self.app);
            leak_scan::scan_folder(&self.sightings, data.path());
        }
        leak_scan::scan_callbacks(&self.sightings, &self.receiver.journal());
        for sightings in [&redaction::EMITTED, &self.sightings] {
            let seen = sightings.seen();
            assert!(seen.is_empty(), "I11: {seen:#?}");
        }
    }
}
