//! The HTTP API: one function from request to response, the same under Lambda, a listener and a test.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, timeout};
use url::form_urlencoded;

use crate::auth::{Principal, Signed, authenticate, by_queue, challenges};
use crate::engine::app::App;
use crate::error_chain::chain;
use crate::http::problem::Problem;
use crate::operation::Record;
use crate::ports::StoreError;

mod accept;
mod body;
mod callback;
mod callback_bulk;
mod callback_test;
mod catalogue;
mod cloud_event;
mod conditional;
mod create;
mod csv;
mod evidence;
pub mod exchange;
mod handshake;
pub mod intake;
mod legal;
mod list;
mod looks;
mod one;
pub mod openapi;
mod prefer;
pub mod problem;
pub mod request;
mod resume;
pub mod routes;
mod session;

use create::create;
use exchange::CallerName;
use list::list;
pub use looks::RemovedPrefix;
use looks::{SOON, complete_location};
use prefer::Times;
use request::BODY_BYTES;
use routes::{Access, Call, Handler, Resource};
use session::Session;

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
    answer_from(app, &request, Door::Http, times).await
}

/// How a request has come to this process, which decides how its caller is known.
#[derive(Clone, Copy)]
enum Door<'a> {
    /// From anybody, who shows credentials.
    Http,
    /// In the queue of this name, into which only its client's events come.
    Queue(&'a str),
}

async fn answer_from(
    app: &App,
    request: &Request<Bytes>,
    door: Door<'_>,
    times: Times,
) -> Response<Bytes> {
    let mut caller = None;
    let answer = route(app, request, (door, times), &mut caller).await;
    let mut response = answer.unwrap_or_else(|problem| {
        tracing::debug!(problem = problem.as_str(), "request refused");
        problem.into_response()
    });
    if response.status() == StatusCode::UNAUTHORIZED {
        for challenge in challenges(&app.config) {
            response
                .headers_mut()
                .append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    complete_location(app, request, response.headers_mut());
    if let Some(name) = caller {
        response.extensions_mut().insert(name);
    }
    response
}

/// Finds the resource, the caller (whose name it tells) and the answer.
async fn route(
    app: &App,
    request: &Request<Bytes>,
    (door, times): (Door<'_>, Times),
    caller_name: &mut Option<CallerName>,
) -> Result<Response<Bytes>, Problem> {
    let resource = Resource::find(request.uri().path()).ok_or(Problem::NotFound)?;
    let method = request.method();
    let allow = resource.methods();
    if method == Method::OPTIONS && !allow.is_empty() {
        let post = resource.call(&Method::POST);
        let starts = post.is_some_and(|call| call.handler == Handler::Create);
        let mut response = handshake::answer(app, request.headers(), starts);
        insert(response.headers_mut(), "allow", &allow);
        return Ok(response);
    }
    let found = resource.call(method);
    if resource.is_open() {
        return open(
            app,
            found.ok_or(Problem::MethodNotAllowed { allow })?,
            request,
        )
        .await;
    }
    let now = app.now();
    let starts = found.is_some_and(|call| call.handler == Handler::Create);
    if starts && request.body().len() > BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    let (who, signed) = match door {
        Door::Http => authenticate(&app.config, &app.key_sets, request, starts, now).await?,
        Door::Queue(queue) => {
            let client = by_queue(&app.config, queue);
            (client.ok_or(Problem::Unauthenticated)?, None)
        }
    };
    *caller_name = Some(CallerName(who.name().to_owned()));
    let limited = match who {
        Principal::Client(client) => client.name.clone(),
        Principal::Operator(_) => who.label(),
    };
    app.requests
        .take(&limited, who.requests_per_minute(), now)
        .map_err(|retry_after| Problem::RateLimited { retry_after })?;
    if allow.is_empty() {
        return Err(Problem::NotFound);
    }
    let call = found.ok_or(Problem::MethodNotAllowed { allow })?;
    check_query(call, request)?;
    let session = Session { app, who };
    if call.access == Access::Writers && !session.may_write() {
        return Err(Problem::ReadOnly);
    }
    let asked = (call.handler, resource.name);
    // In a box, so that a connection between two requests needs no room for it.
    Box::pin(answer(session, asked, signed, request, times)).await
}

/// Answers a call that needs no credentials.
async fn open(
    app: &App,
    call: &Call,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    check_query(call, request)?;
    if call.handler == Handler::OpenApi {
        let made = || Bytes::from(openapi::document(app.catalogue).to_string());
        let mut response = json_response(StatusCode::OK, "");
        *response.body_mut() = app.openapi.get_or_init(made).clone();
        let etag = conditional::etag(response.body());
        let headers = response.headers_mut();
        insert(headers, "cache-control", "max-age=300");
        insert(headers, "etag", &etag);
        return Ok(conditional::answer(request, response));
    }
    if call.handler == Handler::EvidenceKeys {
        return Ok(evidence::keys(app, request));
    }
    health(app, call.handler == Handler::Readiness).await
}

/// Answers the call of a known caller.
async fn answer(
    session: Session<'_>,
    (handler, name): (Handler, &str),
    signed: Option<Signed>,
    request: &Request<Bytes>,
    times: Times,
) -> Result<Response<Bytes>, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let record = || session.record(name);
    match handler {
        Handler::Create => create(session, signed, request, times).await,
        Handler::List => list(session, request).await,
        Handler::Read => one::read(session, record().await?, request, times).await,
        Handler::History => Ok(one::history(&record().await?)),
        Handler::Evidence => evidence::evidence(session, record().await?).await,
        Handler::Cancel => one::cancel(session, record().await?).await,
        Handler::Erase => one::erase(session, record().await?).await,
        Handler::Acknowledge => one::acknowledge(session, record().await?, request).await,
        Handler::LegalExtend => legal::extend(session, record().await?, request).await,
        Handler::LegalPause => legal::pause(session, record().await?, request).await,
        Handler::LegalResume => legal::resume(session, record().await?, request).await,
        Handler::Resume => resume::resume(session, record().await?).await,
        Handler::RedeliverAll => callback_bulk::redeliver_all(session, query, times.ends_at).await,
        Handler::Retarget => callback::retarget(session, record().await?, request).await,
        Handler::Redeliver => callback::redeliver(session, record().await?).await,
        Handler::TestCallback => callback_test::send(session, request).await,
        Handler::Catalogue => catalogue::list(session, request),
        Handler::CatalogueEntry => catalogue::entry(session, name, request),
        Handler::Health | Handler::Readiness | Handler::OpenApi | Handler::EvidenceKeys => {
            Err(Problem::NotFound)
        }
    }
}

/// Refuses query parameters that mean nothing to the call.
fn check_query(call: &Call, request: &Request<Bytes>) -> Result<(), Problem> {
    let query = request.uri().query().unwrap_or_default();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    match names.find(|name| !call.query.contains(&name.as_ref())) {
        Some(name) => Err(list::bad_query(&name, "is not a known parameter")),
        None => Ok(()),
    }
}

/// Answers that the process runs, or, as readiness, that it can read the store too.
async fn health(app: &App, is_readiness: bool) -> Result<Response<Bytes>, Problem> {
    if is_readiness {
        let read = timeout(READINESS_TIMEOUT, app.store.load_document("readyz")).await;
        read.map_err(|_| {
            tracing::error!("the store does not answer; this process is not ready");
            Problem::Unavailable
        })?
        .map_err(|error| store(&error))?;
    }
    Ok(json_response(StatusCode::OK, json!({ "status": "ok" })))
}

/// Returns the path at which an operation is read.
fn path(record: &Record) -> String {
    format!("/v1/operations/{}", record.id)
}

fn store(error: &StoreError) -> Problem {
    if let StoreError::Corrupt(..) = error {
        tracing::error!(error = %chain(error), "a record cannot be read; the request is answered with 500");
        return Problem::UnreadableRecord;
    }
    tracing::error!(error = %chain(error), "the store failed; the request is answered with 503");
    Problem::Unavailable
}

fn json_response(status: StatusCode, body: impl ToString) -> Response<Bytes> {
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
