//! The scan for leaked secrets when a World ends: of what its clients, its receiver, and readers of its disk and
//! metrics see.

use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use courier_core::engine::app::App;
use http::Request;
use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime;
use tokio::time::timeout;

use crate::invariants::has_other_profile;
use crate::receiver::Callback;
use crate::redaction::Sightings;
use crate::tenants::{FABRIKAM_KEY, HR_KEY, TICKETS_KEY};

/// Upper bound of a client's operations that are read one by one; their lists and the disk show the others.
const MAX_OPERATIONS_READ_SINGLY: usize = 50;
const SCAN_TIMEOUT: Duration = Duration::from_secs(20);

/// Scans what each client can read of each of its operations, and the metrics.
pub fn scan_app(sightings: &Sightings, app: &App) {
    let counts = format!("{:?}", app.metrics.take());
    sightings.scan("the metrics", counts.as_bytes());
    // A World ends inside a runtime, and no thread of a runtime may block on a future.
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let runtime = runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
            let read = async { timeout(SCAN_TIMEOUT, read_all(sightings, app)).await };
            let read = runtime.block_on(read);
            read.unwrap_or_else(|_| panic!("the operations cannot be read"));
        });
        reading.join().unwrap_or_else(|_| panic!("reading failed"));
    });
}

async fn read_all(sightings: &Sightings, app: &App) {
    for key in [TICKETS_KEY, HR_KEY, FABRIKAM_KEY] {
        let mut ids = Vec::new();
        let mut page = read(sightings, app, key, "/v1/operations").await;
        loop {
            let operations = page["operations"].as_array();
            let operations = operations.into_iter().flatten();
            ids.extend(operations.filter_map(|one| one["id"].as_str().map(str::to_owned)));
            let Some(next) = page["next"].as_str() else {
                break;
            };
            page = read(
                sightings,
                app,
                key,
                &format!("/v1/operations?cursor={next}"),
            )
            .await;
        }
        for id in ids.iter().take(MAX_OPERATIONS_READ_SINGLY) {
            let path = format!("/v1/operations/{id}");
            read(sightings, app, key, &path).await;
            read(sightings, app, key, &format!("{path}/history")).await;
        }
    }
}

async fn read(sightings: &Sightings, app: &App, key: &str, path: &str) -> Value {
    let request = Request::get(path).header("x-api-key", key);
    let request = request.body(Bytes::new());
    let request = request.unwrap_or_else(|error| panic!("{path}: {error}"));
    let answer = courier_core::http::handle(app, request, Timestamp::MAX).await;
    let place = format!("GET {path}");
    sightings.scan(&place, format!("{:?}", answer.headers()).as_bytes());
    sightings.scan(&place, answer.body());
    serde_json::from_slice(answer.body()).unwrap_or_default()
}

/// Scans the files of a folder: the database file, its log and any others.
pub fn scan_folder(sightings: &Sightings, folder: &Path) {
    let files = folder
        .read_dir()
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for file in files.flatten() {
        // The log may disappear meanwhile: SQLite deletes it once its content is in the database file.
        if let Ok(bytes) = std::fs::read(file.path()) {
            sightings.scan(file.path().display(), &bytes);
        }
    }
}

/// Scans what the receiver got, except the URL: a callback's secret belongs there.
///
/// Callbacks to a receiver of another profile and to AWS carry a token, which belongs there too.
pub fn scan_callbacks(sightings: &Sightings, callbacks: &[Callback]) {
    for callback in callbacks
        .iter()
        .filter(|callback| !has_other_profile(callback))
    {
        let headers = format!("{:?}", callback.headers);
        sightings.scan("a callback's headers", headers.as_bytes());
        sightings.scan("a callback's body", &callback.body);
    }
}
