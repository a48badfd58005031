//! A wall clock for real processes that a test moves. Linux with glibc only.
//!
//! The processes get a small library preloaded that adds an offset to what the system says. Programs that ask the kernel
//! without the C library (static binaries) do not see it, nor does a wait until an absolute time of the wall clock.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::NamedTempFile;

use crate::Clock;
use crate::preload;

/// The real time plus an offset, for this process and for the children that get its `environment`.
#[derive(Clone)]
pub struct ShiftedClock(Arc<Shared>);

struct Shared {
    library: PathBuf,
    time: Mutex<Time>,
    file: NamedTempFile,
}

#[derive(Clone, Copy, Default)]
struct Time {
    offset: SignedDuration,
    /// The clock does not go.
    standing: Option<Timestamp>,
}

impl ShiftedClock {
    /// Starts at the real time.
    pub fn new() -> Self {
        let library = preload::library("shifted-clock", include_str!("shifted_clock.c"));
        let shared = NamedTempFile::new().and_then(|file| {
            write(&file, Time::default())?;
            Ok(Shared {
                library,
                time: Mutex::default(),
                file,
            })
        });
        let shared = shared.unwrap_or_else(|error| panic!("no file for a clock: {error}"));
        Self(Arc::new(shared))
    }

    /// Moves the clock at once, for every process that has it.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.change(|time| time.offset += by);
    }

    /// Sets the clock back at once, as an administrator or a time server would.
    pub fn set_back(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.change(|time| time.offset -= by);
    }

    /// Stops the clock at this time; it goes no more.
    pub fn stand_at(&self, now: Timestamp) {
        self.change(|time| time.standing = Some(now));
    }

    fn change(&self, change: impl FnOnce(&mut Time)) {
        let mut time = self.0.time.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut time);
        write(&self.0.file, *time)
            .unwrap_or_else(|error| panic!("the clock's file cannot be written: {error}"));
    }

    /// Returns the clock's time, cut to milliseconds.
    pub fn now(&self) -> Timestamp {
        let time = *self.0.time.lock().unwrap_or_else(PoisonError::into_inner);
        let shifted = || real_now().saturating_add(time.offset);
        let now = time
            .standing
            .map_or_else(shifted, Ok)
            .unwrap_or(Timestamp::MAX);
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    pub fn function(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    /// The environment that gives a child process this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        vec![
            ("LD_PRELOAD".to_owned(), text(&self.0.library)),
            ("SHIFTED_CLOCK".to_owned(), text(self.0.file.path())),
        ]
    }
}

impl Default for ShiftedClock {
    fn default() -> Self {
        Self::new()
    }
}

/// The machine's clock, for peers that got no other.
pub(crate) fn real_now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the base of every other clock")]
    Timestamp::now()
}

/// One write: a process that dies leaves no half of it.
fn write(file: &NamedTempFile, time: Time) -> io::Result<()> {
    let standing = time.standing.map_or(0, Timestamp::as_nanosecond);
    let offset = i64::try_from(time.offset.as_nanos()).map_err(io::Error::other)?;
    let standing = i64::try_from(standing).map_err(io::Error::other)?;
    let once = [offset.to_ne_bytes(), standing.to_ne_bytes()].concat();
    file.as_file().write_all_at(&once.repeat(2), 0)
}
