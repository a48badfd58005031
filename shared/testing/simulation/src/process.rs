//! The processes: two that answer requests, three that work through the queue, one that sweeps. Each lives until it
//! dies, and comes back with nothing but the store and the queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_core::engine::app::App;
use courier_core::engine::platform::Platform;
use courier_core::engine::step::step;
use courier_core::engine::sweep::sweep;
use courier_core::lifecycle::Timing;
use courier_core::operation::message::Disposition;
use courier_core::outbound::Timeouts;
use courier_core::time::{elapsed, later};
use courier_testkit::tenants::{CONFIG, resolve};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response};
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::network::SimulatedNetwork;
use crate::plan::KINDS;
use crate::plan::{Host, Sabotage};
use crate::queue::{self, Received, SimulatedQueue};
use crate::store::SimulatedStore;
use crate::token_requests::TokenRequests;
use crate::world::{EVENTS, GRAPH, Life, RECEIVER, World};

/// Time limits of the functions in `infra/template.yaml`.
const REQUEST: Duration = Duration::from_secs(29);
const BATCH: Duration = Duration::from_secs(60);
/// The part of a batch's time that `courier-aws` keeps back.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// The time when a message is renewed, as in `courier-aws`.
const OLD: Duration = Duration::from_secs(7 * 86_400);
const MOST_RECEIVES: u32 = 500;

const ANNOUNCES: &str = r#"
[events]
source = "https://courier.example"
types = ["operation.ended"]
url = "{receiver}{events}"
signing_secrets = ["env:SIGNING_NEW", "env:SIGNING_OLD"]
"#;

/// A request on its way in, and where the answer goes. A server that dies answers nothing.
pub(crate) type Incoming = (Request<Bytes>, oneshot::Sender<Response<Bytes>>);
pub(crate) type Inbox = Arc<Mutex<mpsc::UnboundedReceiver<Incoming>>>;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Requests,
    Queue,
    Sweeps,
}

/// Lets a process live and die, again and again.
pub(crate) async fn keep(world: Arc<World>, work: Work, number: u32, inbox: Option<Inbox>) {
    for life in 1_u32.. {
        let name = match work {
            Work::Requests => format!("front{number}.{life}"),
            Work::Queue => format!("work{number}.{life}"),
            Work::Sweeps => format!("sweep{number}.{life}"),
        };
        let life = Life::new(&world, name);
        let app = app(&life);
        let living = async {
            match (work, &inbox) {
                (Work::Requests, Some(inbox)) => requests(&app, &life, inbox).await,
                (Work::Queue, _) => messages(&app, &life).await,
                (Work::Sweeps | Work::Requests, _) => sweeps(&app, &life).await,
            }
        };
        tokio::select! {
            biased;
            () = life.death() => {}
            () = living => {}
        }
        let pause = world.within(1..30);
        sleep(Duration::from_secs(pause)).await;
    }
}

fn app(life: &Arc<Life>) -> App {
    let announces = life.world.plan.announces;
    let events = if announces { ANNOUNCES } else { "" };
    let text = (with_more_operations() + events)
        .replace("{graph}", GRAPH)
        .replace("{events}", EVENTS)
        .replace("{receiver}", RECEIVER);
    let config = Config::parse(&text, Catalogue::shipped(), &resolve)
        .unwrap_or_else(|errors| panic!("the configuration of every test: {errors}"));
    let (clock, ids) = (Arc::clone(life), Arc::clone(&life.world));
    let platform = Platform {
        store: Arc::new(SimulatedStore(Arc::clone(life))),
        queue: Arc::new(SimulatedQueue(Arc::clone(life))),
        transport: Arc::new(SimulatedNetwork(Arc::clone(life), TokenRequests::default())),
        clock: Arc::new(move || clock.now()),
        ids: Arc::new(move || ids.id()),
        timing: Timing::default(),
        timeouts: Timeouts::default(),
    };
    let app = App::new(config, platform);
    match (life.world.plan.host, life.world.plan.in_flight_limit) {
        (Host::Functions, Some(limit)) => app.with_in_flight_limit(limit),
        (Host::Functions, None) | (Host::Machine, _) => app,
    }
}

/// The configuration of every test, with the operations that are looked for or followed for one of the clients.
fn with_more_operations() -> String {
    let few = r#"["user.exportPersonalData", "goals.exportJob", "team.schedule"]"#;
    let names: Vec<&str> = KINDS.iter().map(|(_, name)| *name).collect();
    assert!(CONFIG.contains(few), "the client with all operations");
    CONFIG.replacen(few, &format!("{names:?}"), 1)
}

/// The time when the host ends what begins now, by the clock of the process.
fn ends_at(life: &Life, after: Duration) -> Timestamp {
    match life.world.plan.host {
        Host::Machine => Timestamp::MAX,
        Host::Functions => later(life.now(), after),
    }
}

/// The work, ended by force when its time is over.
async fn within<T>(life: &Life, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match life.world.plan.host {
        Host::Machine => Some(work.await),
        Host::Functions => {
            let done = timeout(limit, work).await;
            if done.is_err() {
                life.die("out of time");
            }
            done.ok()
        }
    }
}

async fn requests(app: &App, life: &Life, inbox: &Inbox) {
    let mut inbox = inbox.lock().await;
    let mut answering = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some((request, reply)) = inbox.recv() => answering.push(async move {
                life.moment("request").await;
                let work = courier_core::http::handle(app, request, ends_at(life, REQUEST));
                if let Some(response) = within(life, REQUEST, work).await {
                    life.moment("answer").await;
                    // The caller may have gone.
                    let _ = reply.send(response);
                }
            }),
            Some(()) = answering.next() => {}
            else => return,
        }
    }
}

async fn messages(app: &App, life: &Life) {
    let world = &life.world;
    loop {
        life.moment("receive").await;
        let batch = queue::receive(life, world.plan.batch);
        if batch.is_empty() {
            let queued = world.queued.notified();
            let next = queue::next_visible(world).map(|next| elapsed(world.now(), next));
            let pause = next.unwrap_or(Duration::from_secs(3600));
            // Not exactly then: workers do not march in step.
            let pause = pause + Duration::from_millis(world.within(1..200));
            tokio::select! {
                biased;
                () = queued => {}
                () = sleep(pause) => {}
            }
            continue;
        }
        within(life, BATCH, work(app, life, &batch)).await;
    }
}

async fn work(app: &App, life: &Life, batch: &[Received]) {
    if life.world.plan.sabotage == Some(Sabotage::DeletedFirst) {
        batch.iter().for_each(|one| queue::delete(life, one));
    }
    app.overflow.refresh(&*app.store, life.now()).await;
    let ends_at = ends_at(life, BATCH.saturating_sub(AFTERWARDS));
    let steps = batch.iter().map(|received| async move {
        let fate = step(app, &received.message, received.receives, ends_at).await;
        match fate {
            Disposition::WaitUntil(until) if needs_renewal(life, received) => {
                let renewed = received.message.renewed(received.receives);
                match app.queue.send(&renewed, until).await {
                    Ok(()) => Disposition::Delete,
                    Err(_) => fate,
                }
            }
            Disposition::WaitUntil(_) | Disposition::Delete => fate,
        }
    });
    let fates = join_all(steps).await;
    life.moment("settle").await;
    for (received, fate) in batch.iter().zip(&fates) {
        if let Disposition::WaitUntil(until) = fate {
            queue::postpone(life, received, *until);
        }
    }
    // The platform deletes what the answer does not name.
    life.moment("settle").await;
    for (received, fate) in batch.iter().zip(&fates) {
        if *fate == Disposition::Delete {
            queue::delete(life, received);
        }
    }
}

fn needs_renewal(life: &Life, received: &Received) -> bool {
    received.receives >= MOST_RECEIVES || elapsed(received.sent_at, life.world.now()) >= OLD
}

async fn sweeps(app: &App, life: &Life) {
    let world = &life.world;
    loop {
        // Once nothing goes wrong there is little to sweep.
        let is_idle = world.is_calm() && world.plan.in_flight_limit.is_none();
        let pause = if is_idle { 1800 } else { 300 };
        sleep(Duration::from_secs(pause)).await;
        if let Some(Sabotage::NoSweeper | Sabotage::DeletedFirst) = world.plan.sabotage {
            continue;
        }
        life.moment("sweep").await;
        // What could not be swept is left to the next sweep.
        let _ = within(life, BATCH, sweep(app, ends_at(life, BATCH))).await;
    }
}
