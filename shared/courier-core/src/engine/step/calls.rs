//! The outgoing calls of a step, to Entra, to Graph and to the receiver, and the event that follows from each.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::callback::DeliveryResult;
use crate::catalogue::Operation;
use crate::config::Tenant;
use crate::engine::app::App;
use crate::engine::deployment::DeploymentError;
use crate::engine::start_line;
use crate::engine::step::asking::{Source, seal_secrets};
use crate::engine::step::containers;
use crate::graph::client::StartRequest;
use crate::graph::foreign;
use crate::graph::unavailable::{Cause, NotReady};
use crate::graph::verdict::{GraphReply, Subject};
use crate::lifecycle::{Channel, Event};
use crate::operation::{Reason, Record, SealedField, State};
use crate::time::{elapsed, later};

/// Pause of a completion when the store cannot be read.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Shortest and longest pause of a completion that the configuration does not permit to send.
const ORPHANED_PAUSES: (Duration, Duration) =
    (Duration::from_secs(5 * 60), Duration::from_secs(3600));

/// Builds the start request before the start is claimed: checks its turn, opens its secrets, fetches a token.
///
/// Returns it with the URL of the container that was made for it, if it needs one.
pub(super) async fn prepare(
    app: &App,
    record: &Record,
    operation: &Operation,
) -> Result<(StartRequest, Option<String>), NotReady> {
    let wait = |reason, detail: &str, seconds| NotReady {
        reason,
        detail: Some(detail.to_owned()),
        retry_after: Some(Duration::from_secs(seconds)),
        cause: Cause::Trouble,
    };
    match start_line::turn(app, record, operation).await {
        Ok(true) => {}
        Ok(false) => {
            // An operation that leaves the line wakes the next one. This pause is for the case that its process died
            // before it did so.
            let age = elapsed(record.created_at, app.now());
            let pause = (age / 10).clamp(Duration::from_secs(2), Duration::from_secs(60));
            return Err(NotReady {
                reason: None,
                detail: None,
                retry_after: Some(pause),
                cause: Cause::Turn,
            });
        }
        Err(_) => return Err(wait(None, "the store of the line of starts failed", 2)),
    }
    let mut parameters = open_parameters(app, record).map_err(|detail| {
        let reason = Some(Reason::SealedDataUnreadable);
        wait(reason, detail, 300)
    })?;
    check_throttling(app, record)?;
    let tenant = tenant(app, record)?;
    let kind = tenant.token_kind(operation);
    let token = app.tokens.get(tenant, kind, &app.config.sealer).await?;
    let container = containers::make(app, record, operation, tenant, &mut parameters).await?;
    take_turn(app, record, operation)?;
    let request = app
        .graph
        .start_request(subject(app, record, operation), &parameters, &token)
        .map_err(|error| {
            tracing::error!(operation.id = %record.id, %error, "could not build the start request; trying again in five minutes");
            wait(None, &error.to_string(), 300)
        })?;
    Ok((request, container))
}

/// Reports whether the calls of a start fit in before `ends_at`: for a token, for a container if it needs one, to Graph.
pub(super) fn may_start(
    app: &App,
    record: &Record,
    operation: &Operation,
    ends_at: Timestamp,
) -> bool {
    let timeouts = &app.timeouts;
    if !containers::is_needed(record, operation) {
        return app.has_time_for(timeouts.token + timeouts.graph, ends_at);
    }
    // A token in memory takes no time, and a request has little: so the container is made while its caller waits.
    let kind = app.token_kind(record, operation);
    let tenant = app.config.graph.tenants.get(&record.tenant);
    let token = tenant.and_then(|tenant| app.tokens.current(tenant, kind));
    let token = token.map_or(timeouts.token, |_| Duration::ZERO);
    app.has_time_for(token + timeouts.storage + timeouts.graph, ends_at)
}

/// Returns the end of the lease of a claimed start.
pub(super) fn lease(record: &Record) -> Timestamp {
    match record.state {
        State::Starting { lease_until } => lease_until,
        State::Accepted { .. }
        | State::StartUnknown { .. }
        | State::Locating { .. }
        | State::Running { .. }
        | State::Ended { .. }
        | State::Closed { .. } => Timestamp::MAX,
    }
}

/// Builds the start request of a new record, if everything that it needs is in memory and no start is ahead of it.
pub(crate) fn prepare_at_once(
    app: &App,
    record: &Record,
    operation: &Operation,
) -> Option<StartRequest> {
    let must_wait = operation.serialize_by.is_some() || containers::is_needed(record, operation);
    if must_wait || check_throttling(app, record).is_err() {
        return None;
    }
    let tenant = tenant(app, record).ok()?;
    let token = app.tokens.current(tenant, tenant.token_kind(operation))?;
    let parameters = open_parameters(app, record).ok()?;
    let subject = subject(app, record, operation);
    let request = app.graph.start_request(subject, &parameters, &token).ok()?;
    take_turn(app, record, operation).ok()?;
    Some(request)
}

fn subject<'a>(app: &'a App, record: &'a Record, operation: &'a Operation) -> Subject<'a> {
    Subject {
        operation,
        record,
        graph: app.graph.base(),
    }
}

/// Takes one request of the budget that the operation shares with others, or says how long to wait for it.
pub(super) fn take_turn(app: &App, record: &Record, operation: &Operation) -> Result<(), NotReady> {
    let Some(budget) = &operation.budget else {
        return Ok(());
    };
    let taken = app
        .budget
        .take(&record.tenant, budget, &record.id, app.now());
    taken.map_err(|wait| NotReady {
        reason: None,
        detail: None,
        retry_after: Some(wait),
        cause: Cause::Turn,
    })
}

/// Has the shared budget pay for a request that cannot wait for its turn.
///
/// The next page of an answer is one: to begin again with the first page would cost more than it saves.
pub(super) fn charge(app: &App, record: &Record, operation: &Operation) {
    if let Some(budget) = &operation.budget {
        app.budget.charge(&record.tenant, budget, app.now());
    }
}

/// Returns all parameters of the start, or what is wrong with the sealed ones.
fn open_parameters(app: &App, record: &Record) -> Result<Map<String, Value>, &'static str> {
    let unreadable = "the parameters of the start cannot be opened";
    let mut parameters = record.parameters.clone();
    if let Some(sealed) = &record.sealed_parameters {
        let context = SealedField::Parameters.seal_context(&record.id);
        let opened = app.config.sealer.open(&context, sealed);
        let opened = opened.map_err(|_| unreadable)?;
        match serde_json::from_str(opened.expose()) {
            Ok(Value::Object(secrets)) => parameters.extend(secrets),
            Ok(_) | Err(_) => return Err(unreadable),
        }
    }
    Ok(parameters)
}

/// Sends the start request and drops a token that Graph refused.
pub(super) async fn start(
    app: &App,
    record: &Record,
    operation: &Operation,
    request: StartRequest,
    attempt: u32,
) -> Event {
    let start_url = request.url.clone();
    let client_request_id = request.client_request_id.clone();
    let token = request.token.clone();
    // The forecast is read meanwhile, so that the caller does not wait for it.
    let forecast = app.durations.forecast(app, record);
    let (mut reply, forecast) = tokio::join!(app.graph.start(request), forecast);
    note_reply(app, record, "start", &reply);
    if let Ok(tenant) = tenant(app, record) {
        let kind = tenant.token_kind(operation);
        if is_unauthorized(&reply) {
            app.tokens.forget(tenant, kind, &token);
        } else if is_forbidden(&reply) {
            app.tokens.forget_old(tenant, kind, &token);
        }
    }
    seal_secrets(app, record, operation, &mut reply, Source::Start);
    if let Some(url) = app.graph.foreign_monitor(operation, &reply)
        && let GraphReply::Answer(answer) = &mut reply
    {
        let sealed = foreign::sealed(url.as_str(), &record.id, &app.config.sealer);
        answer.foreign_monitor = Some(sealed);
    }
    Event::Started {
        attempt,
        client_request_id,
        start_url,
        reply,
        forecast,
    }
}

/// Makes one delivery attempt, unless the receiver's circuit breaker defers it.
pub(super) async fn deliver(app: &App, record: &Record, epoch: u32) -> Event {
    let target = record.callback.as_ref().map_or(0, |target| target.version);
    let delivery = match (
        app.config.clients.get(&record.client),
        app.event_source().await,
    ) {
        (Some(client), Ok(source)) => {
            let callbacks = &app.callbacks;
            callbacks
                .deliver(record, client, &app.config.sealer, &source)
                .await
        }
        (None, _) => DeliveryResult::Orphaned("the client is no longer configured"),
        // The store fails now, which says nothing about the configuration.
        (Some(_), Err(DeploymentError::Store(_))) => {
            DeliveryResult::Deferred(later(app.now(), STORE_PAUSE), None)
        }
        (Some(_), Err(_)) => DeliveryResult::Orphaned("the deployment's key cannot be opened"),
    };
    let reply = match delivery {
        DeliveryResult::Answered(reply) => reply,
        DeliveryResult::Deferred(until, detail) => {
            *app.metrics.counts().callbacks.entry("parked").or_default() += 1;
            return Event::Deferred {
                channel: Channel::Callback,
                epoch,
                until,
                detail,
            };
        }
        DeliveryResult::Orphaned(detail) => {
            *app.metrics
                .counts()
                .callbacks
                .entry("orphaned")
                .or_default() += 1;
            tracing::error!(operation.id = %record.id, client = record.client, detail, "a completion cannot be sent with this configuration; it waits, and that counts as no attempt");
            let age = elapsed(record.ended_at.unwrap_or(record.created_at), app.now());
            let (shortest, longest) = ORPHANED_PAUSES;
            let until = later(app.now(), (age / 10).clamp(shortest, longest));
            return Event::Deferred {
                channel: Channel::Callback,
                epoch,
                until,
                detail: Some(detail.to_owned()),
            };
        }
    };
    let result = match reply.status {
        _ if reply.taken => "delivered",
        Some(_) => "refused",
        None => "unanswered",
    };
    *app.metrics.counts().callbacks.entry(result).or_default() += 1;
    Event::Called {
        epoch,
        target,
        reply,
    }
}

pub(super) fn tenant<'a>(app: &'a App, record: &Record) -> Result<&'a Tenant, NotReady> {
    app.config
        .graph
        .tenants
        .get(&record.tenant)
        .ok_or_else(|| NotReady {
            reason: Some(Reason::AuthorizationLost),
            detail: Some("the tenant is no longer configured".to_owned()),
            retry_after: Some(Duration::from_secs(300)),
            cause: Cause::Trouble,
        })
}

/// Returns how long no call about this operation is made: Graph asked for a pause, or there is no token for now.
pub(crate) fn pause_of_calls(app: &App, record: &Record) -> Option<Duration> {
    let operation = app.catalogue.find(&record.operation)?;
    let kind = app.token_kind(record, operation);
    let token = app.tokens.pause_left(&record.tenant, kind);
    token.max(app.throttled.left(&throttling_scope(record), app.now()))
}

/// Reports an error while Graph's `Retry-After` of a 429 lasts, which holds for all operations of this name and tenant.
pub(super) fn check_throttling(app: &App, record: &Record) -> Result<(), NotReady> {
    let left = app.throttled.left(&throttling_scope(record), app.now());
    left.map_or(Ok(()), |left| {
        Err(NotReady {
            reason: None,
            detail: Some(
                "Graph has asked all operations of this kind and tenant for a pause".to_owned(),
            ),
            retry_after: Some(left),
            cause: Cause::Throttled,
        })
    })
}

/// Counts a call of Graph, `start` or `poll`, and keeps the pause that Graph has asked for.
pub(super) fn note_reply(app: &App, record: &Record, call: &'static str, reply: &GraphReply) {
    let mut details = app.metrics.details();
    let requests = &mut details.graph_requests;
    *requests.entry((call, result_of(reply))).or_default() += 1;
    drop(details);
    let GraphReply::Answer(answer) = reply else {
        return;
    };
    if answer.status != 429 {
        return;
    }
    app.metrics.counts().throttled += 1;
    if let Some(retry_after) = answer.retry_after {
        let scope = throttling_scope(record);
        app.throttled.hold(&scope, retry_after, app.now());
    }
}

/// Names the result of a call in the metrics, one of `GRAPH_RESULTS`. Three statuses stand alone, because each has a cause and a cure of its own.
fn result_of(reply: &GraphReply) -> &'static str {
    match reply {
        GraphReply::NotSent(_) => "not_sent",
        GraphReply::Lost(_) => "unanswered",
        GraphReply::Answer(answer) => match answer.status {
            401 => "401",
            403 => "403",
            429 => "429",
            100..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        },
    }
}

/// Graph's limits are for an app in a tenant, and differ by the kind of resource.
fn throttling_scope(record: &Record) -> String {
    format!("{}/{}", record.tenant, record.operation)
}

pub(super) fn is_unauthorized(reply: &GraphReply) -> bool {
    matches!(reply, GraphReply::Answer(answer) if answer.status == 401)
}

pub(super) fn is_forbidden(reply: &GraphReply) -> bool {
    matches!(reply, GraphReply::Answer(answer) if answer.status == 403)
}
