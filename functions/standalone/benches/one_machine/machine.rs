//! A measured program under load, with its Graph and its receiver: `courier serve` or the floor.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use courier_testkit::signing;
use graph_simulator::Entry;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use crate::process::{Late, Process, SIGNING_SECRET};
use crate::traffic::{Connection, PATIENCE, Receiver, set};

/// Number of tenants that share the load, because Graph limits the export polls of one tenant in an hour.
pub(crate) const TENANTS: usize = 128;

/// The program that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Courier,
    Floor,
}

/// The operations that are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// Goals exports only, the one operation that the floor knows.
    Goals,
    /// Exports, goals exports and schedules in turn.
    Mixed,
}

/// The measured program with its data, its Graph and its receiver.
pub(crate) struct Machine {
    pub(crate) server: Process,
    /// Address of the API.
    pub(crate) api: String,
    pub(crate) receiver: Arc<Receiver>,
    subject: Subject,
    load: Load,
    log: &'static str,
    graph: String,
    _simulator: Option<Process>,
    data: TempDir,
}

impl Machine {
    /// Starts a simulator with this script, and the program.
    pub(crate) async fn with_graph(subject: Subject, load: Load, script: &str) -> Result<Self> {
        let (simulator, address) = simulator(script).await?;
        Self::start(subject, load, Some(simulator), address, "info").await
    }

    /// Starts a simulator with this script and a `courier serve` that logs how late its messages are.
    pub(crate) async fn with_graph_logging_lateness(script: &str) -> Result<Self> {
        let (simulator, address) = simulator(script).await?;
        let log = "warn,courier=info,courier_local::worker=debug";
        Self::start(Subject::Courier, Load::Mixed, Some(simulator), address, log).await
    }

    /// Starts the program with goals exports as its load, for a Graph at this address.
    pub(crate) async fn for_graph(subject: Subject, graph: String) -> Result<Self> {
        Self::start(subject, Load::Goals, None, graph, "info").await
    }

    async fn start(
        subject: Subject,
        load: Load,
        simulator: Option<Process>,
        graph: String,
        log: &'static str,
    ) -> Result<Self> {
        // Where the system keeps temporary files, a sync may cost nothing.
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let receiver = Receiver::start().await?;
        let config = config(&graph, &receiver.origin);
        std::fs::write(data.path().join("courier.toml"), config)?;
        let (server, api) = serve(subject, &graph, &data, log).await?;
        Ok(Self {
            server,
            api,
            receiver,
            subject,
            load,
            log,
            graph,
            _simulator: simulator,
            data,
        })
    }

    /// Kills the program and starts it again on the same data.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.server.kill().await?;
        (self.server, self.api) = serve(self.subject, &self.graph, &self.data, self.log).await?;
        Ok(())
    }

    /// Sends the first requests, which fetch the access tokens, and waits for their callbacks; returns their number.
    pub(crate) async fn warm_up(&self, clients: usize) -> Result<usize> {
        let count = match self.load {
            Load::Goals => TENANTS,
            Load::Mixed => TENANTS * 3,
        };
        self.send(0..count, clients).await?;
        self.receiver.arrived(count).await?;
        self.check_signature()?;
        Ok(count)
    }

    /// Checks the signature of the last callback with the `standardwebhooks` crate.
    fn check_signature(&self) -> Result<()> {
        let (headers, body) = self.receiver.last();
        let text = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let second = text("webhook-timestamp").parse()?;
        let body = std::str::from_utf8(&body)?;
        let expected = signing::standard(SIGNING_SECRET, &text("webhook-id"), second, body);
        let signature = text("webhook-signature");
        ensure!(signature == expected, "wrong signature: {headers:?}");
        Ok(())
    }

    /// Sends requests over `clients` connections and returns how long each 202 took, in milliseconds.
    pub(crate) async fn send(
        &self,
        indices: std::ops::Range<usize>,
        clients: usize,
    ) -> Result<Vec<f64>> {
        let mut shares: Vec<Vec<_>> = (0..clients).map(|_| Vec::new()).collect();
        for index in indices {
            shares[index % clients].push(self.request(index));
        }
        let mut tasks = Vec::new();
        for share in shares {
            let mut connection = Connection::open(&self.api).await?;
            tasks.push(tokio::spawn(async move {
                let mut times = Vec::with_capacity(share.len());
                for request in share {
                    times.push(connection.post(request).await?.1);
                }
                anyhow::Ok(times)
            }));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok(times)
    }

    /// Returns a request of the load with a resource of its own, for one tenant after another.
    pub(crate) fn request(&self, index: usize) -> Request<Full<Bytes>> {
        let (operation, parameters) = match self.load {
            Load::Goals => parameters(1, index),
            Load::Mixed => parameters(index % 3, index),
        };
        let tenant = match self.load {
            Load::Goals => index % TENANTS,
            Load::Mixed => index / 3 % TENANTS,
        };
        let body = json!({
            "operation": operation,
            "parameters": parameters,
            "callback": { "url": format!("{}/hooks/graph", self.receiver.origin) },
        });
        let mut request = Request::new(Full::from(body.to_string()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static("/v1/operations");
        let mut set = |name, value: String| set(request.headers_mut(), name, &value);
        set("content-type", "application/json".to_owned());
        set("x-api-key", key(tenant));
        set("idempotency-key", format!("bench-{index}"));
        request
    }

    /// Waits until Graph has received `count` requests.
    pub(crate) async fn graph_requests(&self, count: usize) -> Result<()> {
        let mut journal = self.journal().await?;
        let mut ticks = interval(Duration::from_millis(200));
        let mut seen = 0;
        timeout(PATIENCE, async {
            while seen < count as u64 {
                ticks.tick().await;
                let entries = journal.since(seen).await?;
                seen = entries.last().map_or(seen, |entry| entry.seq);
            }
            anyhow::Ok(())
        })
        .await?
    }

    pub(crate) async fn journal(&self) -> Result<Journal> {
        Ok(Journal(Connection::open(&self.graph).await?))
    }

    /// Returns how late messages were received since [`Self::clear_late`]; empty if the server does not log it.
    pub(crate) fn late(&self) -> Vec<Late> {
        self.server.late().clone()
    }

    pub(crate) fn clear_late(&self) {
        self.server.late().clear();
    }

    /// Returns the size of the database with its write-ahead log, in MB.
    pub(crate) fn file_mb(&self) -> Result<f64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.data.path().join("data"))? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes as f64 / 1e6)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.server.kill().await
    }
}

/// Starts the program on this data; returns it with the address on which it takes requests.
async fn serve(
    subject: Subject,
    graph: &str,
    data: &TempDir,
    log: &str,
) -> Result<(Process, String)> {
    let path = |name: &str| data.path().join(name).display().to_string();
    let (server, line) = match subject {
        Subject::Courier => {
            let config = format!("--config={}", path("courier.toml"));
            let directory = format!("--data={}", path("data"));
            let arguments = ["serve", "--listen=127.0.0.1:0", &config, &directory];
            Process::courier(&arguments, "address=", log).await?
        }
        Subject::Floor => {
            std::fs::create_dir_all(path("data"))?;
            Process::floor(graph, &path("data/journal")).await?
        }
    };
    let rest = line.split("address=").nth(1).unwrap_or_default();
    let api = rest.split(' ').next().unwrap_or_default().to_owned();
    Ok((server, api))
}

/// Returns name and parameters of one of the three operations, with a resource of its own.
fn parameters(kind: usize, index: usize) -> (&'static str, Value) {
    let id = format!("6e7b768e-07e2-4810-8459-{index:012}");
    match kind {
        0 => (
            "user.exportPersonalData",
            json!({ "userId": id, "storageLocation": format!("https://contoso.blob.core.windows.net/dsar-{index}?sv=2024-11-04&sr=c&sp=acw&se=2199-01-01T00:00:00Z&sig=aW52ZW50ZWQgZm9yIHRoZSBkZW1vLCAzMiBieXRlcy4%3D") }),
        ),
        1 => (
            "goals.exportJob",
            json!({ "goalsOrganizationId": "94a356ab-53d5-40e7-8a85-053d6d3b9eb3", "explorerViewId": id }),
        ),
        _ => (
            "team.schedule",
            json!({ "teamId": id, "schedule": { "enabled": true, "timeZone": "America/Chicago" } }),
        ),
    }
}

async fn simulator(script: &str) -> Result<(Process, String)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("script.toml").display().to_string();
    std::fs::write(&path, script)?;
    let arguments = ["simulate-graph", "--listen=127.0.0.1:0", "--script", &path];
    let (simulator, line) = Process::courier(&arguments, "Graph at http://", "info").await?;
    let address = line.split("http://").nth(1).unwrap_or_default().to_owned();
    Ok((simulator, address))
}

/// The simulator's journal, read from its process over HTTP.
pub(crate) struct Journal(Connection);

impl Journal {
    /// Returns the lines after number `seen` that the journal still holds.
    pub(crate) async fn since(&mut self, seen: u64) -> Result<Vec<Entry>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = format!("/__journal?since={seen}").parse()?;
        Ok(serde_json::from_slice(&self.0.send(request).await?.1)?)
    }

    /// Returns the number of the last line, or 0 if there is none.
    pub(crate) async fn last(&mut self) -> Result<u64> {
        let kept = self.since(0).await?;
        Ok(kept.last().map_or(0, |entry| entry.seq))
    }
}

fn config(graph: &str, receiver: &str) -> String {
    let mut config = format!(
        "[graph]\nbase_url = \"http://{graph}\"\nlogin_url = \"http://{graph}\"\n[seal]\nkey = \"env:SEAL_KEY\"\n[callbacks]\nallow_networks = [\"127.0.0.0/8\"]\n[limits]\nrequests_per_minute = 1000000\n"
    );
    for tenant in 0..TENANTS {
        let hash: String = Sha256::digest(key(tenant))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        config.push_str(&format!(
            r#"
[graph.tenants.t{tenant}]
tenant_id = "t{tenant}"
client_id = "bench"
client_secret = "env:SECRET"
refresh_token = "env:SECRET"
[clients.c{tenant}]
tenant = "t{tenant}"
api_keys = ["sha256:{hash}"]
operations = ["user.exportPersonalData", "goals.exportJob", "team.schedule"]
callback_origins = ["{receiver}"]
signing_secrets = ["env:WHSEC"]
"#
        ));
    }
    config
}

fn key(tenant: usize) -> String {
    format!("bench-key-{tenant}")
}

/// Returns the index that [`Machine::request`] wrote into a resource's id.
pub(crate) fn number(text: &str) -> Option<usize> {
    let (_, after) = text.split_once("-4810-8459-")?;
    after.get(..12)?.parse().ok()
}
