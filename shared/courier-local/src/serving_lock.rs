//! One process at a time serves a data directory: its timetable is in memory, and no other process knows of it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

/// Name of the file, in the data directory, that the serving process holds a lock on.
const NAME: &str = "serving.lock";
/// Pause between two attempts to get the lock.
const PAUSE: Duration = Duration::from_millis(250);

/// The right to serve a data directory. It ends when this is dropped, and with the process however that ends.
pub struct ServingLock(
    #[allow(dead_code, reason = "the lock is held while the file is open")] File,
);

impl ServingLock {
    /// Returns the lock of the directory, once no other process holds it.
    pub async fn wait(directory: &Path) -> io::Result<Self> {
        let file = open(directory)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(data = %directory.display(), "another process serves this data directory; waiting until it ends");
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns the lock of the directory, or `None` if another process holds it.
    pub fn take(directory: &Path) -> io::Result<Option<Self>> {
        let file = open(directory)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Ok(None),
        }
    }
}

fn open(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(directory.join(NAME))
}
