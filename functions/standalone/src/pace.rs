//! What a machine does at the moment, so that a clock that runs ahead can wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often an idle worker reads the clock, and what is being done.
#[derive(Clone)]
pub(crate) struct Pace {
    pub(crate) busy: Arc<Busy>,
    /// Upper bound of a worker's sleep, after which it reads the clock again.
    pub(crate) max_idle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            busy: Arc::default(),
            max_idle: Duration::from_secs(1),
        }
    }
}

/// Counts the requests and steps that are being handled.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicUsize);

/// Something that is being done, until it is dropped.
pub(crate) struct Doing(Arc<Busy>);

impl Busy {
    pub(crate) fn begin(self: &Arc<Self>) -> Doing {
        self.0.fetch_add(1, Ordering::SeqCst);
        Doing(Arc::clone(self))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
