//! The state that all processes share: time, chance, the trace, and the world that outlives them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use courier_core::operation::OperationId;
use courier_core::time::later;
use courier_testkit::tenants::{GRAPH_SECRET, REFRESH_TOKEN};
use graph_simulator::{Options, Simulator};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::messages::Messages;
use crate::plan::Plan;
use crate::random::Random;
use crate::receivers::Receivers;
use crate::records::Records;
use crate::trace::Trace;

/// Counts of what costs money on AWS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    pub sends: u64,
    pub receives: u64,
    pub hidings: u64,
    pub deletions: u64,
    pub writes: u64,
    /// Writes that move the due time, and with it an entry of the index.
    pub moved: u64,
    pub most_in_flight: usize,
}

/// 2026-11-21T20:00:00Z
const BEGINNING: i64 = 1_795_291_200;
/// Chance of a jump at each await, where clocks are off.
const CLOCK_JUMPS: f64 = 0.002;
pub(crate) const GRAPH: &str = "http://127.0.0.1:4000";
pub(crate) const RECEIVER: &str = "http://127.0.0.1:5000";
/// The path of the target of events, which is at the receiver's origin.
pub(crate) const EVENTS: &str = "/events";

pub(crate) struct World {
    pub(crate) plan: Plan,
    began: Instant,
    random: Mutex<Random>,
    trace: Mutex<Trace>,
    wrong: Mutex<Option<String>>,
    /// Operations in the order of their first appearance, so that a trace names them shortly.
    names: Mutex<BTreeMap<OperationId, usize>>,
    pub(crate) graph: Simulator,
    pub(crate) receivers: Mutex<Receivers>,
    pub(crate) records: Mutex<Records>,
    pub(crate) messages: Mutex<Messages>,
    /// A message was queued, or may be seen earlier than before.
    pub(crate) queued: Notify,
    pub(crate) kills: Mutex<u64>,
    /// The number of messages that have carried the polling of an operation: with two, both may look once
    /// (ARCHITECTURE.md, I12).
    pub(crate) carriers: Mutex<BTreeMap<OperationId, u32>>,
    /// In a storm: when a job may be asked for again, by its path.
    pub(crate) not_before: Mutex<BTreeMap<String, Timestamp>>,
    /// The time when Graph was asked for the state of a job.
    pub(crate) looks: Mutex<Vec<Timestamp>>,
    /// What was done how often, and the most messages in flight at a time.
    pub(crate) effort: Mutex<Effort>,
    /// Paths at Graph an answer of which was lost: what it allowed nobody knows.
    pub(crate) unheard: Mutex<BTreeSet<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan, print: bool) -> Arc<Self> {
        let began = Instant::now();
        let mut options = Options::new(Arc::new(move || time(began)));
        options.client_secret = Some(GRAPH_SECRET.to_owned());
        options.refresh_token = Some(REFRESH_TOKEN.to_owned());
        options.faults.clone_from(&plan.graph_faults);
        options.durations = plan.durations.clone();
        options.variants.clone_from(&plan.variants);
        let graph = Simulator::detached(options)
            .unwrap_or_else(|error| panic!("a simulator without a file: {error}"));
        Arc::new(Self {
            random: Mutex::new(Random::new(plan.seed ^ 0x5eed)),
            plan,
            began,
            trace: Mutex::new(Trace::new(print)),
            wrong: Mutex::default(),
            names: Mutex::default(),
            graph,
            receivers: Mutex::default(),
            records: Mutex::default(),
            messages: Mutex::default(),
            queued: Notify::new(),
            kills: Mutex::default(),
            carriers: Mutex::default(),
            not_before: Mutex::default(),
            looks: Mutex::default(),
            effort: Mutex::default(),
            unheard: Mutex::default(),
        })
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        time(self.began)
    }

    /// Time since the beginning.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn at(&self, age: Duration) -> Timestamp {
        let beginning = Timestamp::from_second(BEGINNING).unwrap_or_default();
        later(beginning, age)
    }

    /// The faults have stopped.
    pub(crate) fn is_calm(&self) -> bool {
        self.age() >= self.plan.faults_for
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        lock(&self.random)
    }

    pub(crate) fn within(&self, range: Range<u64>) -> u64 {
        self.random().within(range)
    }

    /// Something of this chance goes wrong now.
    pub(crate) fn strikes(&self, chance: f64) -> bool {
        chance > 0.0 && !self.is_calm() && self.random().chance(chance)
    }

    /// An id that no other process makes.
    pub(crate) fn id(&self) -> Uuid {
        let mut random = self.random();
        Uuid::from_u64_pair(random.next(), random.next())
    }

    pub(crate) fn report(&self, who: &str, what: impl Display) {
        let millis = self.began.elapsed().as_millis();
        lock(&self.trace).add(format!("{millis:>12} {who:<9} {what}"));
    }

    pub(crate) fn name(&self, id: &OperationId) -> String {
        let mut names = lock(&self.names);
        let next = names.len();
        let index = names.entry(id.clone()).or_insert(next);
        format!("op{index}.")
    }

    /// A promise was broken. The first one counts.
    pub(crate) fn broken(&self, promise: impl Display) {
        let mut wrong = lock(&self.wrong);
        if wrong.is_none() {
            self.report("CHECK", &promise);
            *wrong = Some(promise.to_string());
        }
    }

    pub(crate) fn wrong(&self) -> Option<String> {
        lock(&self.wrong).clone()
    }

    pub(crate) fn trace(&self) -> MutexGuard<'_, Trace> {
        lock(&self.trace)
    }
}

fn time(began: Instant) -> Timestamp {
    let since = Duration::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(0));
    let beginning = Timestamp::from_second(BEGINNING).unwrap_or_default();
    later(beginning, since)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One process: what it does goes through here, so it can die or stand still at each of its awaits.
pub(crate) struct Life {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    skew: Mutex<SignedDuration>,
    dead: AtomicBool,
    died: Notify,
}

impl Life {
    pub(crate) fn new(world: &Arc<World>, name: String) -> Arc<Self> {
        let life = Self {
            world: Arc::clone(world),
            name,
            skew: Mutex::default(),
            dead: AtomicBool::new(false),
            died: Notify::new(),
        };
        life.set_clock();
        Arc::new(life)
    }

    fn set_clock(&self) {
        if self.world.plan.skewed {
            let seconds = self.world.within(0..1200) as i64 - 600;
            *lock(&self.skew) = SignedDuration::from_secs(seconds);
        }
        self.report(format_args!("has a clock {:?} off", lock(&self.skew)));
    }

    /// The time as this process has it.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.world.now();
        now.saturating_add(*lock(&self.skew)).unwrap_or(now)
    }

    pub(crate) fn report(&self, what: impl Display) {
        self.world.report(&self.name, what);
    }

    /// Between two things a process does: time passes, and it may die here.
    pub(crate) async fn moment(&self, before: &str) {
        self.unless_dead().await;
        let pause = {
            let plan = &self.world.plan;
            let here = plan.freeze_at.is_none_or(|place| place == before);
            let freezes = here && self.world.strikes(plan.freeze);
            let mut random = self.world.random();
            if freezes {
                Duration::from_secs(random.within(5..1200))
            } else if random.chance(plan.slow) {
                Duration::from_millis(random.within(100..3000))
            } else {
                Duration::from_millis(random.within(1..20))
            }
        };
        sleep(pause).await;
        self.unless_dead().await;
        if self.world.plan.skewed && self.world.strikes(CLOCK_JUMPS) {
            self.set_clock();
        }
        if self.world.strikes(self.world.plan.kill) {
            self.die(before);
            self.unless_dead().await;
        }
    }

    pub(crate) fn die(&self, why: &str) {
        self.report(format_args!("dies: {why}"));
        *lock(&self.world.kills) += 1;
        self.dead.store(true, Ordering::Relaxed);
        self.died.notify_one();
    }

    pub(crate) async fn death(&self) {
        self.died.notified().await;
    }

    async fn unless_dead(&self) {
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}
