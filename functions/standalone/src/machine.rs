//! The running service on one machine: the database, the worker, the sweeper and the HTTP listener.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use courier_core::config::Config;
use courier_core::engine::app::App;
use courier_core::engine::platform::Platform;
use courier_core::engine::restoring::{self, Copied};
use courier_core::engine::step::guarded_step;
use courier_core::engine::sweep::sweep;
use courier_core::error_chain::chain;
use courier_core::lifecycle::Timing;
use courier_core::operation::{OperationId, random_ids};
use courier_core::outbound::Timeouts;
use courier_core::ports::Store;
use courier_core::time::{Clock, later};
use courier_local::worker::{self, WorkerOptions};
use courier_local::{Database, Options, ServingLock};
use courier_local::{Limits, serve};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::metrics::{self, Metrics};
use crate::pace::Pace;
use crate::reload::{self, Current, Ground, Source};
use crate::{backup, descriptors, settings, site};

/// Number of connections that the kernel queues until they are accepted.
///
/// A client whose connection does not fit tries again only after a second. Unless configured otherwise, Linux allows no
/// more.
const LISTEN_BACKLOG: u32 = 4096;
/// Send buffer of each connection; the longest responses, pages of operations, are some tens of KiB.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;
/// Time that a step may take; one that has not ended by then hangs, and is recorded like one that has crashed.
const STEP_TIME: Duration = Duration::from_secs(90);
/// Time that everything in flight has to end when the shutdown begins. No call is begun that could last longer.
const SHUTDOWN_TIME: Duration = Duration::from_secs(28);
/// Time for the events that wait when the service ends.
const LAST_EVENTS_TIME: Duration = Duration::from_secs(2);
const SWEEP_INTERVAL: Duration = Duration::from_secs(300);

/// Where the machine keeps its data and what it listens at.
pub(crate) struct Place<'a> {
    pub(crate) data: &'a Path,
    pub(crate) listen: SocketAddr,
    /// Where metrics are served, if they are.
    pub(crate) metrics: Option<SocketAddr>,
    /// The configuration is read again when its files change, or on the signal.
    pub(crate) source: Option<(Source, Signal)>,
    pub(crate) pace: Pace,
}

impl<'a> Place<'a> {
    /// Returns a place without metrics, whose configuration stays as it is.
    pub(crate) fn new(data: &'a Path, listen: SocketAddr) -> Self {
        Self {
            data,
            listen,
            metrics: None,
            source: None,
            pace: Pace::default(),
        }
    }
}

pub(crate) struct Machine {
    pub(crate) address: SocketAddr,
    pub(crate) metrics_address: Option<SocketAddr>,
    current: Current,
    /// The data file was made at this start.
    pub(crate) is_new: bool,
    /// The number of operations that were open at this start.
    pub(crate) open_operations: u64,
    database: Database,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Is released last, when the data file is closed.
    _lock: ServingLock,
}

impl Machine {
    /// Opens courier.db in the place's directory and starts serving.
    pub(crate) async fn start(
        config: Config,
        place: Place<'_>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let data = place.data;
        courier_local::create_private_directory(data)
            .with_context(|| format!("the directory {} cannot be made", data.display()))?;
        let lock = ServingLock::wait(data)
            .await
            .with_context(|| format!("the directory {} cannot be locked", data.display()))?;
        let file = data.join("courier.db");
        let is_new = !file.exists();
        let database = Database::open_with(
            &file,
            &Options {
                catalogue: config.catalogue,
                ..Options::default()
            },
        )?;
        let copied = copied(&database).await?;
        backup::check_is_restored(copied.as_ref(), data)?;
        let open_operations = database.count_open().await?;
        let (listener, address) = bind(place.listen)?;
        let (scraped, metrics_address) = place.metrics.map(bind).transpose()?.unzip();
        let app = app(config, &database, Arc::clone(&clock))?;
        let app = app.with_copied(copied);
        app.deployment().await?;
        let (shutdown, stop) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let current = Current::new(app);
        let metrics = Arc::new(Metrics::new(current.clone(), &database, file));
        tasks.spawn(listen_for_requests(
            current.clone(),
            Arc::clone(&metrics),
            (listener, place.pace.clone()),
            stop.clone(),
        ));
        if let Some(listener) = scraped {
            tasks.spawn(metrics::serve(metrics, listener, stop.clone()));
        }
        tasks.spawn(work(
            current.clone(),
            database.clone(),
            (Arc::clone(&clock), place.pace),
            stop.clone(),
        ));
        tasks.spawn(sweep_regularly(current.clone(), stop.clone()));
        tasks.spawn(send_events(current.clone(), stop.clone()));
        if let Some((source, hangup)) = place.source {
            let ground = Ground {
                database: database.clone(),
                data: data.to_owned(),
                clock,
            };
            tasks.spawn(reload::follow(
                current.clone(),
                source,
                ground,
                hangup,
                stop,
            ));
        }
        Ok(Self {
            address,
            metrics_address,
            current,
            is_new,
            open_operations,
            database,
            shutdown,
            tasks,
            _lock: lock,
        })
    }

    /// Completes, with what has happened, when this process can no longer do its work.
    pub(crate) async fn failed(&mut self) -> &'static str {
        tokio::select! {
            () = self.database.thread_died() => {
                "a thread of the data file has panicked, so nothing can be stored any more"
            }
            Some(_) = self.tasks.join_next() => {
                "the listener, the worker, the sweeper or the reload has panicked"
            }
        }
    }

    /// Returns when the next message is due, or was due that is being handled.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.database.next_unsettled()
    }

    /// Stops accepting work, finishes what is in flight within [`SHUTDOWN_TIME`] and closes the database.
    pub(crate) async fn stop(mut self) {
        self.current.app().begin_shutdown(SHUTDOWN_TIME);
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the service panicked; continuing to shut down");
            }
        }
        self.database.close().await;
    }
}

/// Returns the `App` on a database.
pub(crate) fn app(config: Config, database: &Database, clock: Clock) -> anyhow::Result<App> {
    let timeouts = Timeouts::default();
    let transport = settings::transport(&config, &timeouts)?;
    let platform = Platform {
        store: Arc::new(database.clone()),
        queue: Arc::new(database.clone()),
        transport: Arc::new(transport),
        clock,
        ids: random_ids(),
        timing: Timing {
            forgets_waits: true,
            ..Timing::default()
        },
        timeouts,
    };
    Ok(App::new(config, platform))
}

/// Reads what the data says about the copy that it was restored from, or that it is.
async fn copied(database: &Database) -> anyhow::Result<Option<Copied>> {
    let document = database.load_document(restoring::DOCUMENT).await?;
    let copied = document.map(|document| serde_json::from_str(&document.body));
    copied
        .transpose()
        .context("the document about the backup cannot be read")
}

/// Listens at an address, and says which port that is.
fn bind(listen: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let bound = socket(listen).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.with_context(|| format!("cannot listen at {listen}"))?;
    Ok((listener, address))
}

fn socket(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // The next process can listen while connections of the previous one linger.
    socket.set_reuseaddr(true)?;
    // The limit holds for each connection: a client that sends requests and never reads must not have thousands of
    // responses made for it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(listen)?;
    socket.listen(LISTEN_BACKLOG)
}

async fn listen_for_requests(
    current: Current,
    metrics: Arc<Metrics>,
    (listener, pace): (TcpListener, Pace),
    stop: watch::Receiver<bool>,
) {
    let handle = move |request: http::Request<_>| {
        let (app, metrics) = (current.app(), Arc::clone(&metrics));
        // A read whose answer is held until there is news waits for the clock to go on, so the clock must not wait for it.
        let is_held =
            request.method() == http::Method::GET && request.headers().contains_key("prefer");
        let doing = (!is_held).then(|| pace.busy.begin());
        async move {
            let route = metrics::route(&request);
            let response = site::answer(&app, request).await;
            metrics.count(route, response.status());
            drop(doing);
            response
        }
    };
    let defaults = Limits::default();
    let limits = Limits {
        connections: descriptors::connections(defaults.connections),
        shutdown_seconds: SHUTDOWN_TIME.as_secs(),
        ..defaults
    };
    serve(listener, limits, handle, stop).await;
}

async fn work(
    current: Current,
    database: Database,
    (clock, pace): (Clock, Pace),
    stop: watch::Receiver<bool>,
) {
    let loading = current.clone();
    let load = move |ids: Vec<OperationId>| {
        let app = loading.app();
        async move { app.store.load_many(&ids).await.unwrap_or_default() }
    };
    let step = move |message, receives, record| {
        let app = current.app();
        let doing = pace.busy.begin();
        async move {
            let ends_at = later((app.clock)(), STEP_TIME);
            let disposition = guarded_step(&app, record, &message, receives, ends_at).await;
            drop(doing);
            disposition
        }
    };
    let options = WorkerOptions {
        drain: SHUTDOWN_TIME,
        max_idle: pace.max_idle,
        ..WorkerOptions::default()
    };
    worker::run(database, clock, options, (load, step), stop).await;
}

/// Sends the events that are sent once. What waits when the service ends has two more seconds.
async fn send_events(current: Current, mut stop: watch::Receiver<bool>) {
    loop {
        let sending = async {
            current.app().events_waiting().await;
            // The configuration may have changed meanwhile.
            let pause = current.app().send_waiting_events().await;
            tokio::time::sleep(pause).await;
        };
        tokio::select! {
            () = sending => {}
            _ = stop.changed() => break,
        }
    }
    current.app().flush_events(LAST_EVENTS_TIME).await;
}

async fn sweep_regularly(current: Current, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        let swept = async {
            ticks.tick().await;
            sweep(&current.app(), Timestamp::MAX).await
        };
        // A sweep with many old records to delete may take long; the next process goes on with it.
        let swept = tokio::select! {
            swept = swept => swept,
            _ = stop.changed() => return,
        };
        match swept {
            Ok(_) => {
                let app = current.app();
                app.metrics.details().swept_at = Some((app.clock)());
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "sweep failed; trying again at the next interval");
            }
        }
    }
}
