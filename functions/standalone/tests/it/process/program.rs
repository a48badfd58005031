//! The real `courier` as a process: starts it, reads its output, signals it and kills it.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use courier_core::time::Clock;
use courier_testkit::redaction::Sightings;
use courier_testkit::tenants::STORAGE_KEY_OLD;
use courier_testkit::world::{GRAPH_SECRET, REFRESH_TOKEN, SIGNING_SECRETS};
use graph_simulator::STORAGE_KEY;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) const SEAL_KEY: &str = "Y2FuYXJ5LXNlYWxpbmcta2V5LW9mLTMyLWJ5dGVzLi4=";
/// Time within which a process must write an expected line, or end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A running `courier` process; it is killed when this is dropped.
///
/// A server logs at level TRACE unless its test sets a level, and its output is searched for secrets.
pub(crate) struct Courier {
    child: Child,
    stdout: watch::Receiver<String>,
    stderr: watch::Receiver<String>,
    sightings: Arc<Sightings>,
}

/// Exit status and output of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code; `None` if a signal ended the process.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Courier {
    /// Runs `courier` with these arguments, with the test's secrets and `variables` as its whole environment.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(
            Command::new(env!("CARGO_BIN_EXE_courier")).args(arguments),
            variables,
        )
    }

    pub(crate) fn spawn(command: &mut Command, variables: &[(&str, &str)]) -> Self {
        let serves = command
            .as_std()
            .get_args()
            .any(|argument| argument == "serve");
        let detail = if serves {
            Some(("COURIER_LOG", "trace"))
        } else {
            None
        };
        let chosen = variables.iter().any(|(name, _)| *name == "COURIER_LOG");
        let mut child = command
            .env_clear()
            .env("RUST_BACKTRACE", "0")
            .envs(secrets())
            .envs(detail)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let sightings = Arc::default();
        let filter = |keep_detail| LineFilter {
            keep_detail,
            sightings: serves.then(|| Arc::clone(&sightings)),
        };
        let stdout = read(child.stdout.take().unwrap(), filter(true));
        let stderr = read(child.stderr.take().unwrap(), filter(chosen));
        Self {
            child,
            stdout,
            stderr,
            sightings,
        }
    }

    /// Waits for the first line on standard output or standard error that contains `text`, and returns it.
    pub(crate) async fn says(&self, text: &str) -> String {
        let (stdout, stderr) = (&mut self.stdout.clone(), &mut self.stderr.clone());
        let found = timeout(PATIENCE, async {
            // One stream may have ended while the other still has lines.
            tokio::select! {
                Some(line) = line_with(stdout, text) => Some(line),
                Some(line) = line_with(stderr, text) => Some(line),
                else => None,
            }
        });
        match found.await {
            Ok(Some(line)) => line,
            _ => panic!("it never said {text:?} but: {}", self.said()),
        }
    }

    /// Waits until standard error contains `text`; yields `false` if the process ends without it.
    ///
    /// The future does not borrow `self`, so that other work on the process can go on meanwhile.
    pub(crate) fn logs(&self, text: &str) -> impl Future<Output = bool> + use<> {
        let (mut stderr, text) = (self.stderr.clone(), text.to_owned());
        async move { line_with(&mut stderr, &text).await.is_some() }
    }

    /// Returns everything that the process has written so far.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", *self.stdout.borrow(), *self.stderr.borrow())
    }

    /// Sends a signal by its name, such as `INT` or `TERM`; panics if the process has ended.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id();
        assert!(self.try_signal(name).await, "kill -{name} {id}");
    }

    /// Sends a signal by its name; returns `false` if the process has ended already.
    pub(crate) async fn try_signal(&self, name: &str) -> bool {
        let mut kill = Command::new("kill");
        let id = self.id().to_string();
        let sent = kill.args([&format!("-{name}"), &id]).output();
        sent.await.unwrap().status.success()
    }

    /// Waits until standard error is closed, which means that the process has ended.
    pub(crate) async fn output_ended(&self) {
        let mut stderr = self.stderr.clone();
        while stderr.changed().await.is_ok() {}
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the process has ended already")
    }

    /// Waits until the process ends.
    pub(crate) async fn ended(mut self) -> Ended {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("it does not end: {}", self.said());
        };
        let status: ExitStatus = status.unwrap();
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: all(&mut self.stdout).await,
            stderr: all(&mut self.stderr).await,
        }
    }

    /// Sends SIGKILL and waits until the process ends.
    pub(crate) async fn kill(mut self) -> Ended {
        self.child.start_kill().unwrap();
        self.ended().await
    }
}

/// Runs `courier` until it ends.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    Courier::start(arguments, variables).ended().await
}

impl Drop for Courier {
    fn drop(&mut self) {
        let seen = self.sightings.seen();
        assert!(
            std::thread::panicking() || seen.is_empty(),
            "I11: {seen:#?}"
        );
    }
}

/// What is done with each line of an output stream.
struct LineFilter {
    /// If false, lines of levels DEBUG and TRACE are searched for secrets but not stored.
    keep_detail: bool,
    sightings: Option<Arc<Sightings>>,
}

impl LineFilter {
    fn keeps(&self, line: &str) -> bool {
        if let Some(sightings) = &self.sightings {
            sightings.scan("the program's output", line.as_bytes());
        }
        let level = line.split_whitespace().nth(1);
        self.keep_detail || !matches!(level, Some("DEBUG" | "TRACE"))
    }
}

/// Collects a stream as text; the sender is dropped when the stream ends.
fn read(
    stream: impl AsyncRead + Unpin + Send + 'static,
    filter: LineFilter,
) -> watch::Receiver<String> {
    let (sender, text) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if filter.keeps(&line) {
                sender.send_modify(|text| {
                    text.push_str(&line);
                    text.push('\n');
                });
            }
        }
    });
    text
}

async fn line_with(said: &mut watch::Receiver<String>, text: &str) -> Option<String> {
    let find = |said: &String| {
        said.lines()
            .find(|line| line.contains(text))
            .map(str::to_owned)
    };
    let found = said.wait_for(|said| find(said).is_some()).await.ok()?;
    find(&found)
}

async fn all(said: &mut watch::Receiver<String>) -> String {
    while said.changed().await.is_ok() {}
    said.borrow().clone()
}

fn secrets() -> [(&'static str, &'static str); 7] {
    [
        ("GRAPH_SECRET", GRAPH_SECRET),
        ("REFRESH_TOKEN", REFRESH_TOKEN),
        ("STORAGE_KEY", STORAGE_KEY),
        ("STORAGE_KEY_OLD", STORAGE_KEY_OLD),
        ("SIGNING_NEW", SIGNING_SECRETS[0]),
        ("SIGNING_OLD", SIGNING_SECRETS[1]),
        ("SEAL_KEY", SEAL_KEY),
    ]
}

/// Returns the time of the machine's clock, which these processes use.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "processes have no other clock")]
    Timestamp::now()
}

pub(crate) fn clock() -> Clock {
    Arc::new(now)
}
