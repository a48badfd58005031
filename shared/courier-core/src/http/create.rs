//! `POST /v1/operations`: reads the caller's preferences (RFC 7240), begins the operation and builds the answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use jiff::Timestamp;

use super::{insert, state};
use crate::auth::Caller;
use crate::engine::app::App;
use crate::http::accept::{self, Begun};
use crate::http::problem::Problem;
use crate::http::request::{self, BODY_BYTES};
use crate::operation::view::document;
use crate::operation::{Reason, Record};
use crate::time::{elapsed, later};

/// Longest time that a request waits for the end (`Prefer: wait`), within the 30 s limit of an HTTP API.
const MAX_WAIT: Duration = Duration::from_secs(25);
/// Time that is reserved for the answer before the host ends this process.
const ANSWER_TIME: Duration = Duration::from_secs(2);

pub(super) async fn create(
    app: &App,
    caller: Caller<'_>,
    request: &Request<Bytes>,
    ends_at: Timestamp,
) -> Result<Response<Bytes>, Problem> {
    check_body(request)?;
    let preference = Preference::read(request.headers());
    let mut new = request::parse(
        request.body(),
        request.headers(),
        caller,
        app.catalogue,
        &app.config.allowed,
        &app.ids,
        app.now(),
    )?;
    accept::identify(app, &mut new).await?;
    let Begun {
        mut record,
        replayed,
    } = accept::begin(app, new, preference.respond_async, ends_at).await?;
    if let Some(wait) = preference.wait {
        let time_left = elapsed(later(app.now(), ANSWER_TIME), ends_at);
        record = await_end(app, record, wait.min(time_left)).await;
    }
    let mut response = if record.reason == Some(Reason::StartRejected) {
        Problem::StartRejected {
            operation: document(&record, app.now()),
        }
        .into_response()
    } else {
        state(&record, app.now())
    };
    let headers = response.headers_mut();
    insert(
        headers,
        "location",
        &format!("/v1/operations/{}", record.id),
    );
    if replayed {
        insert(headers, "idempotency-replayed", "true");
    }
    if let Some(applied) = preference.applied() {
        insert(headers, "preference-applied", &applied);
    }
    crate::crash_point!("request.answer", "before");
    Ok(response)
}

/// Refuses a body that is not JSON or is too long.
pub(super) fn check_body(request: &Request<Bytes>) -> Result<(), Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::UnsupportedMediaType);
    }
    if request.body().len() > BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    Ok(())
}

/// Loads the record repeatedly until it has ended, the time is up or the host shuts down.
///
/// A failure to load it is ignored: the request itself has already succeeded.
async fn await_end(app: &App, mut record: Record, wait: Duration) -> Record {
    let until = tokio::time::Instant::now() + wait;
    let mut pause = Duration::from_millis(50);
    while record.ended_at.is_none() && tokio::time::Instant::now() + pause <= until {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.shutting_down() => return record,
        }
        pause = (pause * 2).min(Duration::from_millis(500));
        let current = tokio::time::timeout_at(until, app.store.load(&record.id)).await;
        if let Ok(Ok(Some(current))) = current {
            record = current;
        }
    }
    record
}

/// The caller's preferences for the answer (RFC 7240).
#[derive(Default)]
struct Preference {
    respond_async: bool,
    wait: Option<Duration>,
}

impl Preference {
    fn read(headers: &HeaderMap) -> Self {
        let mut preference = Self::default();
        let values = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        for part in values.flat_map(|value| value.split([',', ';'])) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preference.respond_async = true,
                "wait" => {
                    let requested = value.parse().map(Duration::from_secs).ok();
                    let capped = requested.map(|wait| wait.min(MAX_WAIT));
                    preference.wait = preference.wait.or(capped);
                }
                _ => {}
            }
        }
        preference
    }

    /// Returns the value of `Preference-Applied`, or `None` if there was no known preference.
    fn applied(&self) -> Option<String> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        let parts = [self.respond_async.then(|| "respond-async".to_owned()), wait];
        let applied: Vec<String> = parts.into_iter().flatten().collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let Some(text) = text else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    json && parts.all(utf8)
}
