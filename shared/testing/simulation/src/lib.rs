//! Graph-courier in a world of its own: one seed decides everything, time is virtual, nothing has a socket.
//!
//! The program is the real one from the HTTP request to the last callback (`courier-core`), the Graph behind it is the
//! simulator of all other tests. Store, queue, network and the processes are simulated, with what goes wrong with each
//! of them in a cloud: see `plan` for the faults and `checks` for what must hold nevertheless.

mod asked;
mod caller;
mod checks;
mod looks;
mod messages;
mod network;
mod plan;
mod process;
mod queue;
mod random;
mod receivers;
mod records;
mod store;
pub mod timetable;
mod token_requests;
mod trace;
mod verdict;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use courier_testkit::receiver::Callback;
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::asked::Asked;
use crate::process::{Work, keep};
use crate::world::{World, lock};

pub use crate::plan::{Host, Plan, Sabotage, Storm};
pub use crate::world::Effort;

/// An export may take a month, its callback three days; the net under everything adds hours.
const LONGEST: Duration = Duration::from_secs(60 * 86_400);

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    pub operations: usize,
    pub kills: u64,
    pub calls: usize,
    pub callbacks: usize,
    /// The numbers of operations by status and by what became of the callback; `adopted` and `claimedAgain` besides.
    pub ends: BTreeMap<&'static str, usize>,
    /// Lines of the trace, and their hash: two runs of one seed have the same.
    pub lines: u64,
    pub hash: u64,
}

/// A promise that was not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "seed {seed}: {promise}\nrepeat it: cargo run -p courier-simulation -- --seed {seed} --trace"
)]
pub struct Broken {
    pub seed: u64,
    pub promise: String,
    /// The end of the trace.
    pub trace: Vec<String>,
}

/// The view of outsiders on a run.
#[derive(Debug)]
pub struct History {
    pub report: Report,
    pub callbacks: Vec<Callback>,
    /// The time when Graph was asked for the state of a job.
    pub looks: Vec<Timestamp>,
    pub effort: Effort,
    /// The time when the run began.
    pub began: Timestamp,
}

/// Runs one plan from its first request to its last callback.
pub fn run(plan: Plan, print: bool) -> Result<Report, Broken> {
    history(plan, print).map(|history| history.report)
}

/// The same, with what outsiders saw.
pub fn history(plan: Plan, print: bool) -> Result<History, Broken> {
    runtime().block_on(async {
        let world = World::new(plan, print);
        let asked = live(&world).await;
        verdict::in_the_end(&world, &asked);
        let trace = world.trace();
        let callbacks = lock(&world.receivers).journal.clone();
        let operations = lock(&world.records).all().count();
        match world.wrong() {
            None => Ok(History {
                report: Report {
                    seed: world.plan.seed,
                    operations,
                    kills: *lock(&world.kills),
                    calls: world.graph.journal().len(),
                    callbacks: callbacks.len(),
                    ends: verdict::ends(&world),
                    lines: trace.lines(),
                    hash: trace.hash(),
                },
                callbacks,
                looks: lock(&world.looks).clone(),
                effort: *lock(&world.effort),
                began: world.at(Duration::ZERO),
            }),
            Some(promise) => Err(Broken {
                seed: world.plan.seed,
                promise,
                trace: trace.last(""),
            }),
        }
    })
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap_or_else(|error| panic!("a runtime without sockets: {error}"))
}

/// Lets everything happen until nothing is left to do, or a promise is broken.
async fn live(world: &Arc<World>) -> Vec<Asked> {
    let mut processes = JoinSet::new();
    let mut fronts = Vec::new();
    for number in 1..=2 {
        let (sender, inbox) = mpsc::unbounded_channel();
        fronts.push(sender);
        let inbox = Some(Arc::new(Mutex::new(inbox)));
        processes.spawn(keep(Arc::clone(world), Work::Requests, number, inbox));
    }
    for number in 1..=3 {
        processes.spawn(keep(Arc::clone(world), Work::Queue, number, None));
    }
    processes.spawn(keep(Arc::clone(world), Work::Sweeps, 1, None));
    let fronts = Arc::new(fronts);
    let mut callers = JoinSet::new();
    for index in 0..world.plan.operations {
        callers.spawn(caller::ask(Arc::clone(world), Arc::clone(&fronts), index));
    }
    let mut asked = Vec::new();
    let mut waited = Duration::ZERO;
    loop {
        while let Some(one) = callers.try_join_next() {
            match one {
                Ok(one) => asked.push(one),
                Err(error) => world.broken(format_args!("a caller panicked: {error}")),
            }
        }
        if let Some(Err(error)) = processes.try_join_next() {
            world.broken(format_args!("a process panicked: {error}"));
        }
        let open = lock(&world.records).open();
        if world.wrong().is_some() || (callers.is_empty() && world.is_calm() && open == 0) {
            return asked;
        }
        if waited > LONGEST {
            let waiting = queue::waiting(world);
            world.broken(format_args!("I8: {open} open, {waiting} messages, no end"));
            return asked;
        }
        let pause = Duration::from_secs(600);
        waited += pause;
        sleep(pause).await;
    }
}
