//! `GET /metrics` on a listener of its own, and what only this program counts: the requests of the API.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use courier_core::error_chain::chain;
use courier_core::http::exchange::Routine;
use courier_core::http::problem::Problem;
use courier_core::http::routes;
use courier_local::metrics::text::Format;
use courier_local::metrics::{Host, page};
use courier_local::{Database, Limits};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::reload::Current;

/// Most connections of scrapers; one more closes the one that has waited longest for its client.
const CONNECTIONS: usize = 16;
/// Time that scrapes in flight get when the shutdown begins.
const SHUTDOWN_SECONDS: u64 = 2;
/// Time for which what is read from the data file is shown again.
const SHOWN_AGAIN_FOR: Duration = Duration::from_secs(15);
/// Longest time that a scrape waits for the data file.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Metrics {
    current: Current,
    database: Database,
    file: PathBuf,
    started_at: Timestamp,
    requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Its lock is held for a whole scrape, so that many at once cost no more than one after the other.
    undeliverable: tokio::sync::Mutex<Option<(Instant, Option<u64>)>>,
}

impl Metrics {
    pub(crate) fn new(current: Current, database: &Database, file: PathBuf) -> Self {
        let started_at = (current.app().clock)();
        Self {
            current,
            database: database.clone(),
            file,
            started_at,
            requests: Mutex::default(),
            undeliverable: tokio::sync::Mutex::default(),
        }
    }

    /// Counts an answered request of the API.
    pub(crate) fn count(&self, route: &'static str, status: StatusCode) {
        let class = match status.as_u16() {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        let requests = self.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, class)).or_default() += 1;
    }

    async fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() != "/metrics" {
            return Problem::NotFound.into_response();
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let allow = "GET, HEAD".to_owned();
            return Problem::MethodNotAllowed { allow }.into_response();
        }
        let format = Format::accepted(request.headers());
        let mut response = Response::new(self.page(format).await.into());
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(format.content_type());
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(Routine);
        response
    }

    async fn page(&self, format: Format) -> String {
        let mut undeliverable = self.undeliverable.lock().await;
        let known = undeliverable.filter(|(at, _)| at.elapsed() < SHOWN_AGAIN_FOR);
        let count = match known {
            Some((_, count)) => count,
            None => self.count_undeliverable().await,
        };
        if known.is_none() {
            *undeliverable = Some((Instant::now(), count));
        }
        let file = self.file.clone();
        let files = tokio::task::spawn_blocking(move || Sizes::of(&file)).await;
        let files = files.unwrap_or_default();
        let requests = self.requests.lock();
        let requests = requests.unwrap_or_else(PoisonError::into_inner).clone();
        let host = Host {
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            requests,
            undeliverable: count,
            database_bytes: files.database,
            log_bytes: files.log,
            free_bytes: files.free,
            memory_bytes: files.memory,
        };
        let app = self.current.app();
        page(&app, &self.database, &host, format, (app.clock)())
    }

    async fn count_undeliverable(&self) -> Option<u64> {
        match timeout(PATIENCE, self.database.count_undeliverable()).await {
            Ok(Ok(count)) => Some(count),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "could not count the undeliverable completions; the metric is left out");
                None
            }
            Err(_) => None,
        }
    }
}

/// Serves scrapes until `stop` becomes true.
pub(crate) async fn serve(
    metrics: Arc<Metrics>,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) {
    let handle = move |request| {
        let metrics = Arc::clone(&metrics);
        async move { metrics.answer(&request).await }
    };
    let limits = Limits {
        connections: CONNECTIONS,
        shutdown_seconds: SHUTDOWN_SECONDS,
        ..Limits::default()
    };
    courier_local::serve(listener, limits, handle, stop).await;
}

/// Returns the route of a request as metrics name it: `/console` for the pages for people, `other` for no route.
pub(crate) fn route(request: &Request<Bytes>) -> &'static str {
    if courier_console::serves(request) {
        return "/console";
    }
    routes::pattern(request.uri().path()).unwrap_or("other")
}

/// Sizes in bytes, each `None` where the system does not say it.
#[derive(Default)]
struct Sizes {
    database: Option<u64>,
    log: Option<u64>,
    free: Option<u64>,
    memory: Option<u64>,
}

impl Sizes {
    fn of(file: &Path) -> Self {
        let size = |file: &Path| std::fs::metadata(file).ok().map(|file| file.len());
        let mut log = OsString::from(file);
        log.push("-wal");
        let disk = rustix::fs::statvfs(file).ok();
        Self {
            database: size(file),
            log: size(Path::new(&log)),
            free: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            memory: std::fs::read_to_string("/proc/self/status")
                .ok()
                .and_then(|status| resident(&status)),
        }
    }
}

/// Returns the resident memory that Linux's `/proc/self/status` tells.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
