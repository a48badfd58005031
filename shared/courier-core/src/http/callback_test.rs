//! `POST /v1/callbacks/test`: sends an example of a completion to a receiver, once, and tells what it answered.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::body::{self, POST_TYPES};
use super::json_response;
use super::session::{Session, wished_client};
use crate::callback::{CallbackReply, DeliveryResult};
use crate::catalogue::schema::Violation;
use crate::config::Client;
use crate::engine::app::App;
use crate::error_chain::chain;
use crate::http::problem::Problem;
use crate::http::request::{RequestedCallback, Target, example};
use crate::operation::view::freeze;
use crate::operation::{OperationError, Outcome, Reason, Record, State};
use crate::strict_json;
use crate::time::milliseconds;

/// The `reference` of an example whose request names none.
const REFERENCE: &str = "graph-courier-test";

/// What a test asks for, besides the receiver.
struct Wish {
    outcome: Outcome,
    reference: String,
}

/// Sends the example. Nothing is stored, and the receiver gets it once, whatever it answers.
pub(super) async fn send(
    session: Session<'_>,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    body::check(request, POST_TYPES)?;
    let app = session.app;
    let wished = wished_client(request)?;
    let client = session.client(wished.as_deref())?;
    let (wish, target) = read(app, client, request)?;
    let record = record(app, client, &wish, target).ok_or(Problem::Internal)?;
    let source = app.event_source().await.map_err(|error| {
        tracing::error!(error = %chain(&error), "the deployment is not known; a test callback is answered with 503");
        Problem::Unavailable
    })?;
    let sealer = &app.config.sealer;
    let result = app
        .callbacks
        .deliver(&record, client, sealer, &source)
        .await;
    let event_id = record.event.as_ref().map(|event| event.id.as_str());
    tracing::info!(
        client = client.name,
        by = session.who.label(),
        "test callback sent"
    );
    Ok(json_response(StatusCode::OK, told(&result, event_id)))
}

/// Reads the body: the fields of a callback, `outcome` and `reference`.
fn read(app: &App, client: &Client, request: &Request<Bytes>) -> Result<(Wish, Target), Problem> {
    let value = strict_json::parse(request.body()).map_err(Problem::BadJson)?;
    let Value::Object(mut fields) = value else {
        let whole = Violation::new(String::new(), "must be an object");
        return Err(Problem::InvalidRequest(vec![whole]));
    };
    let mut errors = Vec::new();
    let outcome = text(&mut fields, "outcome", &mut errors);
    let reference = text(&mut fields, "reference", &mut errors);
    let outcome = match outcome.as_deref() {
        None => Outcome::Succeeded,
        Some(word) => {
            let known = Outcome::ALL
                .into_iter()
                .find(|outcome| outcome.as_str() == word);
            if known.is_none() {
                let rule =
                    "must be succeeded, partiallySucceeded, failed, expired, unknown or cancelled";
                errors.push(Violation::new("/outcome", rule));
            }
            known.unwrap_or(Outcome::Succeeded)
        }
    };
    let reference = reference.unwrap_or_else(|| REFERENCE.to_owned());
    let requested = RequestedCallback::read(fields, "", &mut errors);
    requested.require_url(&mut errors);
    let url = requested.url.clone().unwrap_or_default();
    let allowed = &app.config.allowed;
    let target = match errors.is_empty() {
        true => requested.target(&url, Some(&reference), client, allowed, &mut errors)?,
        false => None,
    };
    let target = target.ok_or(Problem::InvalidRequest(errors))?;
    Ok((Wish { outcome, reference }, target))
}

/// Takes a field that is a text, if it is there.
fn text(
    fields: &mut Map<String, Value>,
    name: &str,
    errors: &mut Vec<Violation>,
) -> Option<String> {
    let value = fields.remove(name).filter(|value| !value.is_null())?;
    let text = value.as_str();
    let text = text.filter(|text| (1..=256).contains(&text.chars().count()));
    if text.is_none() {
        let rule = "must be a string of 1 to 256 characters";
        errors.push(Violation::new(strict_json::child("", name), rule));
    }
    text.map(str::to_owned)
}

/// Makes an ended operation that is never stored, with its completion.
fn record(app: &App, client: &Client, wish: &Wish, target: Target) -> Option<Record> {
    let now = app.now();
    let operation = client.operations.first();
    let operation = operation.and_then(|name| app.catalogue.find(name))?;
    let new = example(
        client,
        operation,
        target,
        &wish.reference,
        ((app.ids)(), now),
    );
    let mut record = new.record(&app.config.sealer, now, now);
    record.begin_chain();
    let outcome = wish.outcome;
    record.state = State::Ended { outcome };
    record.started_at = Some(now);
    record.ended_at = Some(now);
    record.reason = match outcome {
        Outcome::Succeeded | Outcome::PartiallySucceeded => None,
        Outcome::Failed => Some(Reason::OperationFailed),
        Outcome::Expired => Some(Reason::DeadlinePassed),
        Outcome::Unknown => Some(Reason::StartOutcomeUnknown),
        Outcome::Cancelled => Some(Reason::CancelledByCaller),
    };
    record.error = (outcome == Outcome::Failed).then(|| OperationError {
        code: "example".to_owned(),
        message: "This is an example of an operation that failed.".to_owned(),
        detail: None,
        http_status: None,
        request_id: None,
        unknown: Map::new(),
    });
    record.result = match outcome {
        Outcome::Succeeded | Outcome::PartiallySucceeded => {
            Some(Map::from_iter([("example".to_owned(), true.into())]))
        }
        Outcome::Failed | Outcome::Expired | Outcome::Unknown | Outcome::Cancelled => None,
    };
    record.event = Some(freeze(&record, now));
    Some(record)
}

/// Tells what became of the attempt.
fn told(result: &DeliveryResult, event_id: Option<&str>) -> Value {
    match result {
        DeliveryResult::Answered(CallbackReply {
            status,
            taken,
            detail,
            answer_type,
            answer,
            latency,
            ..
        }) => json!({
            "delivered": taken,
            "eventId": event_id,
            "status": status,
            "latencyMs": latency.and_then(|latency| u64::try_from(latency.as_millis()).ok()),
            "answerType": answer_type,
            "answer": answer,
            "error": detail,
        }),
        DeliveryResult::Deferred(until, why) => json!({
            "delivered": false,
            "eventId": event_id,
            "status": null,
            "error": why.as_deref().unwrap_or("nothing was sent: the receiver is down or busy, and is left alone for a while"),
            "notBefore": milliseconds(*until),
        }),
        DeliveryResult::Orphaned(why) => json!({
            "delivered": false,
            "eventId": event_id,
            "status": null,
            "error": why,
        }),
    }
}
