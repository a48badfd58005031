//! The HTTP surface (DESIGN §4.1): one function from request to response, the same under Lambda, a listener and a test.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::app::App;
use crate::authenticate::client_of;
use crate::config::Client;
use crate::decide::Event;
use crate::document::document;
use crate::pacing::{elapsed, later};
use crate::ports::{Filter, StoreError};
use crate::problem::{Problem, seconds};
use crate::record::{OperationId, Outcome, Reason, Record};
use crate::request::{self, BODY_BYTES};
use crate::start::{self, Begun};
use crate::step::{self, StepError, chain};

/// Records of one page of the list.
const PAGE: usize = 50;
/// The longest a request waits for the end (`Prefer: wait`), within the 30 s of an HTTP API.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// What is kept back to answer before the host ends us.
const ANSWERING: Duration = Duration::from_secs(2);

/// Answers one request before the host ends this process at `ends_at`. Never panics on bad input; every refusal is a
/// problem document.
pub async fn handle(app: &App, request: Request<Bytes>, ends_at: Timestamp) -> Response<Bytes> {
    match route(app, &request, ends_at).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(problem = problem.word(), "request refused");
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
    let client = client_of(&app.config.clients, request.headers())?;
    let now = app.now();
    app.requests
        .take(&client.name, now)
        .map_err(|retry_after| Problem::RateLimited { retry_after })?;
    match rest {
        [] if request.method() == Method::POST => create(app, client, request, ends_at).await,
        [] => {
            allow(request, &Method::GET, "GET, POST")?;
            list(app, client, request.uri().query().unwrap_or_default()).await
        }
        [id] => {
            allow(request, &Method::GET, "GET")?;
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
        [id, "callback", "redeliver"] => {
            allow(request, &Method::POST, "POST")?;
            redeliver(app, own(app, client, id).await?).await
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

async fn create(
    app: &App,
    client: &Client,
    request: &Request<Bytes>,
    ends_at: Timestamp,
) -> Result<Response<Bytes>, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::UnsupportedMediaType);
    }
    if request.body().len() > BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    let preference = Preference::read(request.headers());
    let new = request::parse(
        request.body(),
        request.headers(),
        client,
        app.catalogue,
        &app.config.allowed,
        &app.ids,
        app.now(),
    )?;
    let Begun {
        mut record,
        replayed,
    } = start::begin(app, new, preference.respond_async, ends_at).await?;
    if let Some(wait) = preference.wait {
        let left = elapsed(later(app.now(), ANSWERING), ends_at);
        let wait = wait.min(left);
        record = await_end(app, record, wait).await;
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

/// Looks at the record until it has ended or the time is up. What goes wrong meanwhile is no matter of this request.
async fn await_end(app: &App, mut record: Record, wait: Duration) -> Record {
    let until = tokio::time::Instant::now() + wait;
    let mut pause = Duration::from_millis(50);
    while record.ended_at.is_none() && tokio::time::Instant::now() + pause <= until {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
        let current = tokio::time::timeout_at(until, app.store.load(&record.id)).await;
        if let Ok(Ok(Some(current))) = current {
            record = current;
        }
    }
    record
}

/// The document: 202 and when to ask again while it is open, 200 once it has ended.
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

async fn list(app: &App, client: &Client, query: &str) -> Result<Response<Bytes>, Problem> {
    let mut filter = Filter {
        limit: PAGE,
        ..Filter::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = match name.as_ref() {
            "status" => &mut filter.status,
            "operation" => &mut filter.operation,
            "reference" => &mut filter.reference,
            "cursor" => &mut filter.cursor,
            _ => return Err(bad_query(&name, "is not a known parameter")),
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(bad_query(&name, "must be sent once"));
        }
    }
    let mut words = Outcome::ALL.iter().map(|outcome| outcome.word());
    let open = ["accepted", "starting", "running"];
    if filter
        .status
        .as_deref()
        .is_some_and(|word| !open.contains(&word) && !words.any(|known| known == word))
    {
        return Err(bad_query("status", "is not a status"));
    }
    let page = app
        .store
        .list(&client.name, &filter)
        .await
        .map_err(|error| match error {
            StoreError::BadCursor => bad_query("cursor", "is not one of ours"),
            StoreError::Unavailable(_) | StoreError::Corrupt(..) | StoreError::Missing(_) => {
                store(&error)
            }
        })?;
    let now = app.now();
    let operations: Vec<Value> = page
        .records
        .iter()
        .map(|record| document(record, now))
        .collect();
    let body = json!({ "operations": operations, "next": page.next });
    Ok(json_response(StatusCode::OK, &body))
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

async fn redeliver(app: &App, record: Record) -> Result<Response<Bytes>, Problem> {
    if record.callback.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation has no callback",
        });
    }
    if record.ended_at.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation has not ended",
        });
    }
    let record = change(app, record, &Event::RedeliveryAsked).await?;
    Ok(json_response(
        StatusCode::ACCEPTED,
        &document(&record, app.now()),
    ))
}

async fn change(app: &App, record: Record, event: &Event) -> Result<Record, Problem> {
    let id = record.id.clone();
    let Some(operation) = app.catalogue.find(&record.operation) else {
        return Err(Problem::Internal);
    };
    match step::commit(app, record, operation, event).await {
        Ok((record, _)) => Ok(record),
        Err(StepError::Queue(error)) => {
            // The change is durable; the sweeper queues what this could not.
            tracing::error!(operation.id = %id, error = %chain(&error), "not queued");
            let current = app.store.load(&id).await.map_err(|error| store(&error))?;
            current.ok_or(Problem::NotFound)
        }
        Err(StepError::Store(error) | StepError::Unwritten { source: error, .. }) => {
            Err(store(&error))
        }
        Err(StepError::UnknownOperation(_) | StepError::Restless) => Err(Problem::Internal),
    }
}

async fn own(app: &App, client: &Client, id: &str) -> Result<Record, Problem> {
    let id = OperationId::parse(id).ok_or(Problem::NotFound)?;
    let record = app
        .own(&client.name, &id)
        .await
        .map_err(|error| store(&error))?;
    record.ok_or(Problem::NotFound)
}

fn store(error: &StoreError) -> Problem {
    tracing::error!(error = %chain(error), "the store cannot be used");
    Problem::Unavailable
}

fn bad_query(name: &str, rule: &'static str) -> Problem {
    let parameter = name
        .chars()
        .filter(|letter| !letter.is_control())
        .take(64)
        .collect();
    Problem::InvalidQuery { parameter, rule }
}

/// RFC 7240: what the caller would like.
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
                    let wait = value.parse().map(Duration::from_secs).ok();
                    let wait = wait.map(|wait| wait.min(LONGEST_WAIT));
                    preference.wait = preference.wait.or(wait);
                }
                _ => {}
            }
        }
        preference
    }

    /// What of it was followed.
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
