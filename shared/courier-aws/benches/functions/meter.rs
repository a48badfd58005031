//! The processor time of a function's process, read from the scheduler before and after a piece of work.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use cloud_testkit::function::{Function, Process};
use tokio::time::sleep;

/// After its answer a function still asks for the next invocation: that is waited for.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) struct Meter {
    id: u32,
}

impl Meter {
    /// The meter of the process that lives now.
    pub(crate) fn new(function: &Function) -> Result<Self> {
        let id = living(function)?.id;
        Ok(Self { id })
    }

    /// Returns the answer of `work`, and the milliseconds that it took of the process.
    pub(crate) async fn measure<T>(&self, work: impl Future<Output = T>) -> Result<(f64, T)> {
        let before = self.settled().await?;
        let answer = work.await;
        let after = self.settled().await?;
        let spent = after.iter().map(|(thread, time)| {
            let earlier = before.get(thread).copied().unwrap_or_default();
            time.saturating_sub(earlier)
        });
        Ok((spent.sum::<u64>() as f64 / 1e6, answer))
    }

    /// Milliseconds since the process began.
    pub(crate) async fn total(&self) -> Result<f64> {
        let times = self.settled().await?;
        Ok(times.values().sum::<u64>() as f64 / 1e6)
    }

    /// Nanoseconds by thread, once they stand still.
    async fn settled(&self) -> Result<HashMap<String, u64>> {
        let mut last = self.read()?;
        loop {
            sleep(PAUSE).await;
            let now = self.read()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    }

    fn read(&self) -> Result<HashMap<String, u64>> {
        let mut times = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let thread = thread?;
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let time = text.split(' ').next().context("no time")?.parse()?;
            let name = thread.file_name().to_string_lossy().into_owned();
            times.insert(name, time);
        }
        Ok(times)
    }
}

pub(crate) fn living(function: &Function) -> Result<Process> {
    let mut processes = function.processes().into_iter();
    let living = processes.find(|process| process.ended.is_none());
    living.context("the function has no process")
}
