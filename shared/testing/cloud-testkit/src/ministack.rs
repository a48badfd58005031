//! MiniStack in a process of its own: SQS, DynamoDB, Secrets Manager and SSM on loopback, spoken to by raw JSON.
//!
//! What it does is in `queues` and `tables`; this is its life and the protocol (AWS JSON 1.0 and 1.1). We call with the key
//! `test`: the root, whose signature is never checked. With `AUTH=true` the signatures, dates and permissions of other keys are.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval};

use crate::clock::ShiftedClock;
use crate::output::{Output, Readers};
use crate::{REGION, python};

/// The time that a start may take, with Python's byte code not yet compiled and a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two questions whether it serves.
const TICK: Duration = Duration::from_millis(20);
/// The number of ports that are tried when others take them first.
const PORTS: usize = 5;
/// Ends with its standard input, so that it does not outlive us however we end.
const PROGRAM: &str = "\
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
sys.argv = ['ministack']
from ministack.app import main
main()
";

/// The calls that a test may make to its MiniStack.
#[derive(Default)]
pub struct Setup {
    /// For example `("AUTH", "true")`.
    pub variables: Vec<(String, String)>,
    /// The clock it lives by; the machine's otherwise.
    pub clock: Option<ShiftedClock>,
}

/// A running MiniStack; killed when its last clone is dropped.
#[derive(Clone)]
pub struct MiniStack {
    url: String,
    http: reqwest::Client,
    process: Arc<Running>,
}

/// The service's answer when it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    pub status: u16,
    /// `ConditionalCheckFailedException`, `QueueDoesNotExist`, …
    pub kind: String,
    pub message: String,
}

struct Running {
    child: Mutex<Child>,
    /// Also its process group.
    id: u32,
    output: Output,
    _readers: Readers,
    /// Its files, and the pid file it leaves behind.
    _place: TempDir,
}

impl MiniStack {
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Waits until it serves.
    pub async fn start_with(setup: Setup) -> Self {
        let bin = tokio::task::spawn_blocking(python::ministack).await;
        let bin = bin.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        for _ in 0..PORTS {
            if let Some(started) = Self::attempt(&bin, &setup).await {
                return started;
            }
        }
        panic!("MiniStack found no free port in {PORTS} attempts");
    }

    /// `None` when another process has taken the port meanwhile.
    async fn attempt(bin: &Path, setup: &Setup) -> Option<Self> {
        let port = free_port();
        // Who answers at the port may be another test's MiniStack: ours says this word.
        let word = uuid::Uuid::new_v4().to_string();
        let this = Self {
            url: format!("http://127.0.0.1:{port}"),
            http: http_client(),
            process: Arc::new(Running::spawn(bin, setup, port, &word)),
        };
        let (started, mut tick) = (Instant::now(), interval(TICK));
        loop {
            tick.tick().await;
            if let Some(status) = this.process.ended() {
                let output = this.output();
                let taken = ["already in use", "Address in use"];
                if taken.iter().any(|text| output.contains(text)) {
                    return None;
                }
                panic!("MiniStack ended with {status}:\n{output}");
            }
            if this.edition().await.is_some_and(|edition| edition == word) {
                return Some(this);
            }
            assert!(
                started.elapsed() < PATIENCE,
                "MiniStack does not answer:\n{}",
                this.output()
            );
        }
    }

    async fn edition(&self) -> Option<String> {
        let url = format!("{}/_ministack/health", self.url);
        let answer = self.http.get(url).send().await.ok()?;
        let health: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        health["edition"].as_str().map(ToOwned::to_owned)
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the output so far.
    pub fn output(&self) -> String {
        self.process.output.text()
    }

    /// Calls an operation by its whole target, for example `AmazonSQS.SendMessage`.
    pub async fn call(&self, target: &str, body: &Value) -> Result<Value, AwsError> {
        let (service, version) = signed_service(target);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20261121/{REGION}/{service}/aws4_request, \
             SignedHeaders=host, Signature=x"
        );
        let request = self
            .http
            .post(&self.url)
            .header("x-amz-target", target)
            .header("content-type", format!("application/x-amz-json-{version}"))
            .header("authorization", authorization)
            .body(body.to_string());
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{target}: {error}\n{}", self.output()));
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status == 200 {
            return Ok(body);
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let kind = text("__type").rsplit('#').next().unwrap_or_default();
        let message = [text("message"), text("Message")].concat();
        Err(AwsError {
            status,
            kind: kind.to_owned(),
            message,
        })
    }

    /// A call that must succeed.
    pub(crate) async fn must(&self, target: &str, body: &Value) -> Value {
        self.call(target, body)
            .await
            .unwrap_or_else(|error| panic!("{target} {body}: {error:?}"))
    }
}

impl Running {
    fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().unwrap_or_default()
    }

    fn spawn(bin: &Path, setup: &Setup, port: u16, word: &str) -> Self {
        let place = tempfile::tempdir();
        let place = place.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let inside = |name: &str| -> PathBuf { place.path().join(name) };
        let mut command = Command::new(bin.join("python3"));
        command
            .args(["-c", PROGRAM])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", place.path())
            .env("TMPDIR", place.path())
            .env("STATE_DIR", inside("state"))
            .env("S3_DATA_DIR", inside("s3"))
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            // The functions that it runs find it by this.
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("MINISTACK_REGION", REGION)
            .env("MINISTACK_EDITION", word)
            // It would look for containers to clean up, and open more ports.
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0");
        let clock = setup.clock.iter().flat_map(ShiftedClock::environment);
        let mut child = command
            .envs(setup.variables.iter().cloned())
            .envs(clock)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("MiniStack cannot be started: {error}"));
        let output = Output::default();
        Self {
            _readers: output.read(&mut child),
            id: child.id().unwrap_or_default(),
            child: Mutex::new(child),
            output,
            _place: place,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Not reaped yet, so the group's id is still ours.
        if self.ended().is_none() {
            let mut kill = std::process::Command::new("kill");
            kill.args(["-KILL", "--", &format!("-{}", self.id)]);
            drop(kill.stdout(Stdio::null()).stderr(Stdio::null()).status());
        }
    }
}

/// A client for loopback.
pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap_or_else(|error| panic!("no HTTP client: {error}"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .unwrap_or_else(|error| panic!("no port on loopback: {error}"))
        .port()
}

/// The service's name in a signature, and its version of the JSON protocol.
fn signed_service(target: &str) -> (&'static str, &'static str) {
    match target.split('.').next().unwrap_or_default() {
        "AmazonSQS" => ("sqs", "1.0"),
        "DynamoDB_20120810" => ("dynamodb", "1.0"),
        "secretsmanager" => ("secretsmanager", "1.1"),
        "AmazonSSM" => ("ssm", "1.1"),
        "AWSEvents" => ("events", "1.1"),
        "Logs_20140328" => ("logs", "1.1"),
        other => panic!("{other}: a service this kit does not speak to"),
    }
}
