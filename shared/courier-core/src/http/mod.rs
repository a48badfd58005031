//! The HTTP API: one function from request to response, the same under Lambda, a listener and a test.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::auth::{authenticate, challenges};
use crate::catalogue::Catalogue;
use crate::config::Client;
use crate::engine::app::App;
use crate::engine::step::{self, StepError};
use crate::error_chain::chain;
use crate::http::problem::Problem;
use crate::lifecycle::Event;
use crate::operation::{OperationId, Outcome, Record};
use crate::ports::StoreError;

mod accept;
mod body;
mod callback;
mod callback_bulk;
mod create;
pub mod exchange;
mod list;
mod looks;
mod prefer;
pub mod problem;
pub mod request;
mod resume;
mod routes;

use create::create;
use exchange::CallerName;
use list::{list, refuse_query};
pub use looks::RemovedPrefix;
use looks::{SOON, complete_location, pending, state};
use prefer::{Preferences, Times, await_end};
use request::BODY_BYTES;
use routes::Route;

/// Longest time that the store may take to show that it can be read.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers one request before the host ends this process at `ends_at`.
///
/// Never panics on bad input. Every refusal is a problem document.
pub async fn handle(app: &App, request: Request<Bytes>, ends_at: Timestamp) -> Response<Bytes> {
    let times = Times {
        received: Instant::now(),
        ends_at,
    };
    let mut caller = None;
    let answer = route(app, &request, times, &mut caller).await;
    let mut response = answer.unwrap_or_else(|problem| {
        tracing::debug!(problem = problem.as_str(), "request refused");
        problem.into_response()
    });
    if response.status() == StatusCode::UNAUTHORIZED {
        for challenge in challenges(&app.config.clients) {
            response
                .headers_mut()
                .append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    complete_location(app, &request, response.headers_mut());
    if let Some(name) = caller {
        response.extensions_mut().insert(name);
    }
    response
}

/// Finds the resource, the caller (whose name it tells) and the answer.
async fn route(
    app: &App,
    request: &Request<Bytes>,
    times: Times,
    caller_name: &mut Option<CallerName>,
) -> Result<Response<Bytes>, Problem> {
    let route = Route::find(request.uri().path()).ok_or(Problem::NotFound)?;
    let method = request.method();
    if method == Method::OPTIONS && route.has(method) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        insert(response.headers_mut(), "allow", route.methods());
        return Ok(response);
    }
    if matches!(route, Route::Health | Route::Readiness) {
        check_form(route, request)?;
        return health(app, route).await;
    }
    let now = app.now();
    let starts = route == Route::Operations && method == Method::POST;
    if starts && request.body().len() > BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    let clients = &app.config.clients;
    let caller = authenticate(clients, &app.key_sets, request, starts, now).await?;
    let client = caller.client;
    *caller_name = Some(CallerName(client.name.clone()));
    app.requests
        .take(&client.name, client.requests_per_minute, now)
        .map_err(|retry_after| Problem::RateLimited { retry_after })?;
    if route == Route::Nothing {
        return Err(Problem::NotFound);
    }
    check_form(route, request)?;
    let query = request.uri().query().unwrap_or_default();
    match route {
        // In a box, so that a connection between two requests needs no room for it.
        Route::Operations if starts => Box::pin(create(app, caller, request, times)).await,
        Route::Operations => list(app, client, query).await,
        Route::Operation(id) if method == Method::DELETE => {
            erase(app, own(app, client, id).await?).await
        }
        Route::Operation(id) => read(app, own(app, client, id).await?, request, times).await,
        Route::History(id) => {
            let record = own(app, client, id).await?;
            let body = json!({ "history": record.history });
            Ok(json_response(StatusCode::OK, &body))
        }
        Route::Cancel(id) => cancel(app, own(app, client, id).await?).await,
        Route::Resume(id) => resume::resume(app, own(app, client, id).await?).await,
        Route::RedeliverAll => {
            callback_bulk::redeliver_all(app, client, query, times.ends_at).await
        }
        Route::Callback(id) => {
            callback::retarget(app, client, own(app, client, id).await?, request).await
        }
        Route::Redeliver(id) => callback::redeliver(app, own(app, client, id).await?).await,
        Route::Health | Route::Readiness | Route::Nothing => Err(Problem::NotFound),
    }
}

/// Refuses a method that the resource does not have, and query parameters that mean nothing to it.
fn check_form(route: Route<'_>, request: &Request<Bytes>) -> Result<(), Problem> {
    let method = request.method();
    if !route.has(method) {
        let allow = route.methods();
        return Err(Problem::MethodNotAllowed { allow });
    }
    match request.uri().query() {
        Some(query) if !route.reads_query(method) => refuse_query(query),
        _ => Ok(()),
    }
}

/// Answers that the process runs, or, as readiness, that it can read the store too.
async fn health(app: &App, route: Route<'_>) -> Result<Response<Bytes>, Problem> {
    if route == Route::Readiness {
        let read = timeout(READINESS_TIMEOUT, app.store.load_document("readyz")).await;
        read.map_err(|_| {
            tracing::error!("the store does not answer; this process is not ready");
            Problem::Unavailable
        })?
        .map_err(|error| store(&error))?;
    }
    Ok(json_response(StatusCode::OK, &json!({ "status": "ok" })))
}

/// Answers `GET /v1/operations/{id}`, with `Prefer: wait` when the operation has ended or the wait is over.
async fn read(
    app: &App,
    record: Record,
    request: &Request<Bytes>,
    times: Times,
) -> Result<Response<Bytes>, Problem> {
    let preferences = Preferences {
        respond_async: false,
        ..Preferences::read(request.headers())
    };
    let record = match preferences.wait {
        Some(wait) => await_end(app, record, wait, times).await,
        None => record,
    };
    let mut response = state(app, &record);
    if let Some(applied) = preferences.applied() {
        insert(response.headers_mut(), "preference-applied", &applied);
    }
    Ok(response)
}

/// Returns the path at which an operation is read.
fn path(record: &Record) -> String {
    format!("/v1/operations/{}", record.id)
}

async fn cancel(app: &App, record: Record) -> Result<Response<Bytes>, Problem> {
    let record = change(app, record, &Event::Cancelled).await?;
    if record.state.outcome() != Some(Outcome::Cancelled) {
        return Err(Problem::Conflict {
            rule: "the operation has already ended",
        });
    }
    Ok(state(app, &record))
}

/// Erases what a closed operation says about people; a repeat of its request is still known.
async fn erase(app: &App, record: Record) -> Result<Response<Bytes>, Problem> {
    let record = change(app, record, &Event::Erased).await?;
    if record.erased_at.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation is open, or its completion is still being delivered: cancel it, or wait",
        });
    }
    Ok(state(app, &record))
}

/// Applies an event of the API to a record and returns the changed record.
async fn change(app: &App, record: Record, event: &Event) -> Result<Record, Problem> {
    let id = record.id.clone();
    // An operation that has left the catalogue can still be cancelled.
    let operation = app.catalogue.find(&record.operation);
    let operation = operation.unwrap_or_else(Catalogue::stand_in);
    match step::commit(app, record, operation, event).await {
        Ok((record, _)) => Ok(record),
        Err(StepError::Queue(error)) => {
            // The change is durable, and the sweeper will queue a message in place of this one.
            tracing::error!(operation.id = %id, error = %chain(&error), "could not queue a message; the sweeper queues it");
            let current = app.store.load(&id).await.map_err(|error| store(&error))?;
            current.ok_or(Problem::NotFound)
        }
        Err(StepError::Store(error) | StepError::Unwritten { source: error, .. }) => {
            Err(store(&error))
        }
        Err(StepError::UnknownOperation(_) | StepError::TooManyRounds) => Err(Problem::Internal),
    }
}

/// Loads the client's record of this id; any other id is not found.
async fn own(app: &App, client: &Client, id: &str) -> Result<Record, Problem> {
    let id = OperationId::parse(id).ok_or(Problem::NotFound)?;
    let record = app
        .load_owned(&client.name, &id)
        .await
        .map_err(|error| store(&error))?;
    record.ok_or(Problem::NotFound)
}

fn store(error: &StoreError) -> Problem {
    if let StoreError::Corrupt(..) = error {
        tracing::error!(error = %chain(error), "a record cannot be read; the request is answered with 500");
        return Problem::UnreadableRecord;
    }
    tracing::error!(error = %chain(error), "the store failed; the request is answered with 503");
    Problem::Unavailable
}

fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    insert(response.headers_mut(), "content-type", "application/json");
    insert(response.headers_mut(), "cache-control", "no-store");
    response
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
