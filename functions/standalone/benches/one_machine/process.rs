//! A measured program as a process of its own, and its resource usage according to `/proc`.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The secret by which both programs sign their callbacks.
pub(crate) const SIGNING_SECRET: &str = "whsec_ZGVtby1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy4=";
/// `USER_HZ`, the unit of times in /proc/PID/stat: 100 on every known Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    late: Arc<Mutex<Vec<Late>>>,
}

impl Process {
    /// Starts `courier` and waits for the first output line that contains `text`; returns that line.
    pub(crate) async fn courier(
        arguments: &[&str],
        text: &str,
        log: &str,
    ) -> Result<(Self, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_courier"));
        command
            .args(arguments)
            .env_clear()
            .env("COURIER_LOG", log)
            .env("SECRET", "bench")
            .env("SEAL_KEY", "ZGVtby1zZWFsaW5nLWtleS1vZi0zMi1ieXRlcy4uLi4=")
            .env("WHSEC", SIGNING_SECRET)
            .stderr(Stdio::piped());
        Self::start(command, text).await
    }

    /// Starts this program again, as the floor. What goes wrong in it is printed.
    pub(crate) async fn floor(graph: &str, journal: &str) -> Result<(Self, String)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", graph, journal]).env_clear();
        Self::start(command, "address=").await
    }

    async fn start(mut command: Command, text: &str) -> Result<(Self, String)> {
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (found, mut lines) = watch::channel(None);
        let late = Arc::default();
        let output = Arc::new(WatchedOutput {
            text: text.to_owned(),
            found,
            late: Arc::clone(&late),
        });
        watch_lines(child.stdout.take().context("no output")?, &output);
        if let Some(stderr) = child.stderr.take() {
            watch_lines(stderr, &output);
        }
        drop(output);
        let found_line = lines.wait_for(Option::is_some).await;
        let first = found_line.ok().and_then(|line| line.clone());
        let line = first.context("the program did not start")?;
        Ok((Self { child, late }, line))
    }

    /// Returns the processor time of all its threads so far, in seconds.
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

    /// Returns a figure of memory from /proc/PID/status, such as `VmRSS`, in MB.
    pub(crate) fn memory_mb(&self, name: &str) -> Result<f64> {
        Ok(field(&self.proc("status")?, name)? / 1024.0)
    }

    /// Returns the bytes that it has caused to be sent to the disk: whole pages, each time that one becomes dirty.
    pub(crate) fn written_bytes(&self) -> Result<f64> {
        field(&self.proc("io")?, "write_bytes")
    }

    fn proc(&self, name: &str) -> Result<String> {
        let id = self.child.id().context("the program has ended")?;
        Ok(std::fs::read_to_string(format!("/proc/{id}/{name}"))?)
    }

    /// Kills the process and waits for its end.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    pub(crate) fn late(&self) -> MutexGuard<'_, Vec<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a number from a file of `name: value` lines.
fn field(text: &str, name: &str) -> Result<f64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = rest.and_then(|rest| rest.split_whitespace().next());
    Ok(value.context("no such field")?.parse()?)
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
