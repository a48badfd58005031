//! The output of a child process, kept as text.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The time that the rest of the output may take once the process has ended; a grandchild may hold the pipe for ever.
const REST: Duration = Duration::from_secs(1);

/// Standard output and standard error, in the order of arrival.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<String>>);

/// The tasks that read; aborted when they are dropped.
pub(crate) struct Readers(JoinSet<()>);

impl Output {
    /// Reads what `child` writes to the pipes it was given.
    pub(crate) fn read(&self, child: &mut Child) -> Readers {
        let mut readers = JoinSet::new();
        if let Some(pipe) = child.stdout.take() {
            readers.spawn(collect(pipe, self.clone()));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.spawn(collect(pipe, self.clone()));
        }
        Readers(readers)
    }

    pub(crate) fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Readers {
    /// Waits for what a process that has ended left in its pipes.
    pub(crate) async fn finish(mut self) {
        drop(timeout(REST, async { while self.0.join_next().await.is_some() {} }).await);
    }
}

async fn collect(mut pipe: impl AsyncRead + Unpin, output: Output) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let mut all = output.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(&text);
    }
}
