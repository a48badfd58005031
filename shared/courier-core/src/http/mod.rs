//! The HTTP API: one function from request to response, the same under Lambda, a listener and a test.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::auth::authenticate;
use crate::config::Client;
use crate::engine::app::App;
use crate::engine::step::{self, StepError};
use crate::error_chain::chain;
use crate::http::problem::{Problem, seconds};
use crate::lifecycle::Event;
use crate::operation::view::document;
use crate::operation::{OperationId, Outcome, Record};
use crate::ports::StoreError;
use crate::time::{elapsed, later};

mod accept;
mod callback;
mod create;
mod list;
pub mod problem;
pub mod request;

use create::create;
use list::list;
use request::BODY_BYTES;

/// Answers one request before the host ends this process at `ends_at`.
///
/// Never panics on bad input. Every refusal is a problem document.
pub async fn handle(app: &App, request: Request<Bytes>, ends_at: Timestamp) -> Response<Bytes> {
    match route(app, &request, ends_at).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(problem = problem.as_str(), "request refused");
            problem.into_response()
        }
    }
}

async fn route(
    app: &App,
    request: &Request<Bytes>,
    ends_at: Timestamp,
) -> Result<Response<Bytes>, Problem> {
    let path = request.uri().path();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if parts == ["healthz"] {
        allow(request, &Method::GET, "GET")?;
        app.store
            .load_document("healthz")
            .await
            .map_err(|error| store(&error))?;
        return Ok(json_response(StatusCode::OK, &json!({ "status": "ok" })));
    }
    let ["v1", "operations", rest @ ..] = parts.as_slice() else {
        return Err(Problem::NotFound);
    };
    let now = app.now();
    let starts = rest.is_empty() && request.method() == Method::POST;
    if starts && request.body().len() > BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    let clients = &app.config.clients;
    let caller = authenticate(clients, &app.key_sets, request, starts, now).await?;
    let client = caller.client;
    app.requests
        .take(&client.name, client.requests_per_minute, now)
        .map_err(|retry_after| Problem::RateLimited { retry_after })?;
    match rest {
        [] if starts => create(app, caller, request, ends_at).await,
        [] => {
            allow(request, &Method::GET, "GET, POST")?;
            list(app, client, request.uri().query().unwrap_or_default()).await
        }
        [id] if request.method() == Method::DELETE => erase(app, own(app, client, id).await?).await,
        [id] => {
            allow(request, &Method::GET, "GET, DELETE")?;
            Ok(state(&own(app, client, id).await?, now))
        }
        [id, "history"] => {
            allow(request, &Method::GET, "GET")?;
            let record = own(app, client, id).await?;
            Ok(json_response(
                StatusCode::OK,
                &json!({ "history": record.history }),
            ))
        }
        [id, "cancel"] => {
            allow(request, &Method::POST, "POST")?;
            cancel(app, own(app, client, id).await?).await
        }
        ["callback", "redeliver"] => {
            allow(request, &Method::POST, "POST")?;
            let query = request.uri().query().unwrap_or_default();
            callback::redeliver_all(app, client, query).await
        }
        [id, "callback"] => {
            allow(request, &Method::PATCH, "PATCH")?;
            callback::retarget(app, client, own(app, client, id).await?, request).await
        }
        [id, "callback", "redeliver"] => {
            allow(request, &Method::POST, "POST")?;
            callback::redeliver(app, own(app, client, id).await?).await
        }
        _ => Err(Problem::NotFound),
    }
}

fn allow(request: &Request<Bytes>, method: &Method, allow: &'static str) -> Result<(), Problem> {
    if request.method() == method {
        Ok(())
    } else {
        Err(Problem::MethodNotAllowed { allow })
    }
}

/// Returns the operation's document: 202 with `Retry-After` while the operation is open, 200 once it has ended.
fn state(record: &Record, now: Timestamp) -> Response<Bytes> {
    let ended = record.ended_at.is_some();
    let status = if ended {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = json_response(status, &document(record, now));
    if !ended {
        let next = record.graph.next_poll_at.filter(|next| *next > now);
        let next = next.unwrap_or_else(|| later(now, Duration::from_secs(5)));
        let pause = elapsed(now, next).clamp(Duration::from_secs(1), Duration::from_secs(3600));
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds(pause));
    }
    response
}

async fn cancel(app: &App, record: Record) -> Result<Response<Bytes>, Problem> {
    let record = change(app, record, &Event::Cancelled).await?;
    if record.state.outcome() != Some(Outcome::Cancelled) {
        return Err(Problem::Conflict {
            rule: "the operation has already ended",
        });
    }
    Ok(state(&record, app.now()))
}

/// Erases what a closed operation says about people; a repeat of its request is still known.
async fn erase(app: &App, record: Record) -> Result<Response<Bytes>, Problem> {
    let record = change(app, record, &Event::Erased).await?;
    if record.erased_at.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation is open, or its completion is still being delivered: cancel it, or wait",
        });
    }
    Ok(state(&record, app.now()))
}

/// Applies an event of the API to a record and returns the changed record.
async fn change(app: &App, record: Record, event: &Event) -> Result<Record, Problem> {
    let id = record.id.clone();
    let Some(operation) = app.catalogue.find(&record.operation) else {
        return Err(Problem::Internal);
    };
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
