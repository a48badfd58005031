//! `courier serve` under load: its processes, its requests, and its resource usage according to `/proc`.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use graph_simulator::Entry;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{interval, timeout};

use crate::traffic::{Connection, PATIENCE, Receiver, set};

/// Number of tenants that share the load, because Graph limits the export polls of one tenant in an hour.
pub(crate) const TENANTS: usize = 128;
/// `USER_HZ`, the unit of times in /proc/PID/stat: 100 on every known Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// `courier serve` with its data, its Graph and its receiver.
pub(crate) struct Machine {
    server: Process,
    /// Address of the API.
    pub(crate) api: String,
    pub(crate) receiver: Arc<Receiver>,
    graph: String,
    _simulator: Option<Process>,
    data: TempDir,
}

impl Machine {
    pub(crate) async fn with_graph(script: &str) -> Result<Self> {
        let (simulator, address) = simulator(script).await?;
        Self::start(Some(simulator), address).await
    }

    /// Starts a simulator with this script and a server that logs how late its messages are.
    pub(crate) async fn with_graph_logging_lateness(script: &str) -> Result<Self> {
        let (simulator, address) = simulator(script).await?;
        let log = "warn,courier=info,courier_local::worker=debug";
        Self::start_logging(Some(simulator), address, log).await
    }

    pub(crate) async fn start(simulator: Option<Process>, graph: String) -> Result<Self> {
        Self::start_logging(simulator, graph, "info").await
    }

    async fn start_logging(simulator: Option<Process>, graph: String, log: &str) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let receiver = Receiver::start().await?;
        let path = |name: &str| data.path().join(name).display().to_string();
        std::fs::write(path("courier.toml"), config(&graph, &receiver.origin))?;
        let config = format!("--config={}", path("courier.toml"));
        let directory = format!("--data={}", path("data"));
        let arguments = ["serve", "--listen=127.0.0.1:0", &config, &directory];
        let (server, line) = Process::start(&arguments, "address=", log).await?;
        let rest = line.split("address=").nth(1).unwrap_or_default();
        let api = rest.split(' ').next().unwrap_or_default().to_owned();
        Ok(Self {
            server,
            api,
            receiver,
            graph,
            _simulator: simulator,
            data,
        })
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

    /// Returns a request for the three operations in turn, each with its own resource, for one tenant after another.
    pub(crate) fn request(&self, index: usize) -> Request<Full<Bytes>> {
        let id = format!("6e7b768e-07e2-4810-8459-{index:012}");
        let (operation, parameters) = match index % 3 {
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
        set("x-api-key", key(index / 3 % TENANTS));
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

    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let text = self.proc("stat")?;
        // proc(5): after the name in brackets, utime and stime are the 12th and 13th.
        let (_, after) = text.rsplit_once(')').context("no name")?;
        let ticks = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
    }

    pub(crate) fn memory_mb(&self, name: &str) -> Result<f64> {
        Ok(field(&self.proc("status")?, name)? / 1024.0)
    }

    pub(crate) fn written_bytes(&self) -> Result<f64> {
        field(&self.proc("io")?, "write_bytes")
    }

    fn proc(&self, name: &str) -> Result<String> {
        let id = self.server.child.id().context("the server has ended")?;
        Ok(std::fs::read_to_string(format!("/proc/{id}/{name}"))?)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.server.child.kill().await?)
    }
}

async fn simulator(script: &str) -> Result<(Process, String)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("script.toml").display().to_string();
    std::fs::write(&path, script)?;
    let arguments = ["simulate-graph", "--listen=127.0.0.1:0", "--script", &path];
    let (simulator, line) = Process::start(&arguments, "http://", "info").await?;
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

/// Reads a number from a file of `name: value` lines.
fn field(text: &str, name: &str) -> Result<f64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = rest.and_then(|rest| rest.split_whitespace().next());
    Ok(value.context("no such field")?.parse()?)
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

/// Messages received together, and how late the latest was.
#[derive(Clone, Copy)]
pub(crate) struct Late {
    pub(crate) count: usize,
    pub(crate) milliseconds: f64,
}

impl Late {
    fn parse(line: &str) -> Option<Self> {
        Some(Self {
            count: log_field(line, "count=")?.parse().ok()?,
            milliseconds: log_field(line, "late_ms=")?.parse().ok()?,
        })
    }
}

fn log_field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(name)?.1.split_whitespace().next()
}

/// A running `courier` process; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    late: Arc<Mutex<Vec<Late>>>,
}

impl Process {
    /// Starts the process and waits for the first output line that contains `text`; returns that line.
    async fn start(arguments: &[&str], text: &str, log: &str) -> Result<(Self, String)> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_courier"))
            .args(arguments)
            .env_clear()
            .env("COURIER_LOG", log)
            .env("SECRET", "bench")
            .env("SEAL_KEY", "ZGVtby1zZWFsaW5nLWtleS1vZi0zMi1ieXRlcy4uLi4=")
            .env(
                "WHSEC",
                "whsec_ZGVtby1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy4=",
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (found, mut lines) = watch::channel(None);
        let late = Arc::default();
        let output = Arc::new(WatchedOutput {
            text: text.to_owned(),
            found,
            late: Arc::clone(&late),
        });
        watch_lines(child.stdout.take().context("no output")?, &output);
        watch_lines(child.stderr.take().context("no output")?, &output);
        drop(output);
        let found_line = lines.wait_for(Option::is_some).await;
        let first = found_line.ok().and_then(|line| line.clone());
        let line = first.context("courier did not start")?;
        Ok((Self { child, late }, line))
    }

    fn late(&self) -> MutexGuard<'_, Vec<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Search in the output of a process for a line with `text` and for records of lateness.
struct WatchedOutput {
    text: String,
    found: watch::Sender<Option<String>>,
    late: Arc<Mutex<Vec<Late>>>,
}

/// Reads a stream to its end, so that the process can always write.
fn watch_lines(stream: impl AsyncRead + Unpin + Send + 'static, output: &Arc<WatchedOutput>) {
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(late) = Late::parse(&line) {
                let mut all = output.late.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(late);
            } else if line.contains(&output.text) {
                output.found.send_replace(Some(line));
            }
        }
    });
}
