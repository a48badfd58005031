//! The parts that a host provides.

use std::sync::Arc;

use crate::lifecycle::Timing;
use crate::operation::Ids;
use crate::outbound::{Timeouts, Transport};
use crate::ports::{Queue, Store};
use crate::time::Clock;

/// The ports, clock, ids and time limits of the process that runs the rules.
pub struct Platform {
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub transport: Arc<dyn Transport>,
    pub clock: Clock,
    pub ids: Ids,
    pub timing: Timing,
    pub timeouts: Timeouts,
}
