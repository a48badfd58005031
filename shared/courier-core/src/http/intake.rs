//! Requests that arrive in a client's queue: a CloudEvent, an event of EventBridge, or a notification of SNS, which
//! becomes the same request that a caller would send by HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::body::STRUCTURED;
use super::cloud_event::REQUESTED;
use super::prefer::Times;
use super::problem::{BrokenAttribute, Problem};
use super::{Door, answer_from};
use crate::engine::app::App;
use crate::events::Refused;
use crate::redact::scrub;
use crate::strict_json;

/// The `detail-type` of an event of EventBridge whose `detail` is a request.
pub const REQUESTED_DETAIL: &str = "Graph Operation Requested";
/// What the types of our own events begin with, and their source on EventBridge.
const OUR_TYPES: &str = "io.graph-courier.";
const OUR_SOURCE: &str = "io.graph-courier";
/// Pause before a request is tried again whose answer names none.
const PAUSE: Duration = Duration::from_secs(60);
/// Characters of an id or a source that are logged.
const MAX_LOGGED_CHARS: usize = 128;

/// What has become of a message.
#[derive(Debug)]
pub enum Taken {
    /// The operation is on disk, by this message or by an earlier one.
    Accepted,
    /// Asking again would be refused again.
    Refused(Box<Refusal>),
    /// It could not be answered now.
    Later(Duration),
    /// It is no event that could be answered, or its queue belongs to no client; this says which.
    Unreadable(&'static str),
}

/// A request by event that was refused for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The client to whom the queue belongs.
    pub client: String,
    /// What the event said of itself, if it did.
    pub event_id: Option<String>,
    pub event_source: Option<String>,
    event_type: Option<String>,
    correlation_id: Option<String>,
    /// The problem document (RFC 9457) that a caller by HTTP would have got.
    pub problem: Value,
    /// The status that the answer would have had.
    pub status: StatusCode,
}

impl Refusal {
    /// Reports whether the refusal may be published as an event.
    ///
    /// An event of our own that a rule has led back to us must not make another one, which would come back too.
    pub fn may_be_published(&self) -> bool {
        let is_our_type = |kind: &str| kind.starts_with(OUR_TYPES) && kind != REQUESTED;
        self.event_source.as_deref() != Some(OUR_SOURCE)
            && !self.event_type.as_deref().is_some_and(is_our_type)
    }
}

/// Takes one message of the queue of this name, and returns before the host ends this process at `ends_at`.
///
/// A message that is delivered twice begins one operation: source and id of the event are its idempotency key.
pub async fn take(app: &App, queue: &str, message: &str, ends_at: Timestamp) -> Taken {
    let mut clients = app.config.clients.values();
    let owner = clients.find(|client| client.credentials.queue.as_deref() == Some(queue));
    let Some(owner) = owner else {
        return Taken::Unreadable("its queue is the source of no client in the configuration");
    };
    let Some(arrived) = Arrived::read(message) else {
        return Taken::Unreadable(
            "it is neither a CloudEvent nor an event of EventBridge nor a notification of SNS",
        );
    };
    let times = Times {
        received: Instant::now(),
        ends_at,
    };
    let response = match arrived.request() {
        Ok(request) => answer_from(app, &request, Door::Queue(queue), times).await,
        Err(problem) => problem.into_response(),
    };
    let status = response.status();
    let created = response.headers().get(header::LOCATION);
    let id = arrived.logged("id");
    if status.is_success() || created.is_some() {
        let path = created.and_then(|path| path.to_str().ok());
        let operation = path.and_then(|path| path.rsplit('/').next());
        tracing::info!(
            event.id = id,
            client = owner.name,
            operation.id = operation,
            status = status.as_u16(),
            "event accepted"
        );
        return Taken::Accepted;
    }
    if !status.is_client_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let pause = pause(&response);
        tracing::warn!(
            event.id = id,
            client = owner.name,
            status = status.as_u16(),
            pause.seconds = pause.as_secs(),
            "an event cannot be answered now; it comes again"
        );
        return Taken::Later(pause);
    }
    Taken::Refused(Box::new(Refusal {
        client: owner.name.clone(),
        event_id: arrived.text("id"),
        event_source: arrived.text("source"),
        event_type: arrived.text("type"),
        correlation_id: arrived.text("correlationid"),
        problem: serde_json::from_slice(response.body()).unwrap_or_default(),
        status,
    }))
}

/// Tells the log of a refusal that is final, counts it, and has it told as an event.
pub fn refused(app: &App, refusal: &Refusal) {
    let Refusal {
        client,
        event_id,
        problem,
        ..
    } = refusal;
    app.metrics.counts().events_refused += 1;
    let id = event_id.as_deref().map(shortened);
    let kind = problem["type"].as_str();
    tracing::warn!(event.id = id, client, problem = kind, errors = %problem["errors"], "the request of an event was refused");
    if refusal.may_be_published() {
        publish(app, refusal);
    }
}

/// Has a refusal told as an event, with the rules that the request breaks and none of its values.
fn publish(app: &App, refusal: &Refusal) {
    let kind = refusal.problem["type"].as_str().unwrap_or_default();
    let errors = refusal.problem["errors"].as_array();
    let broken = errors.into_iter().flatten().map(|error| {
        let places = ["pointer", "attribute", "header", "parameter"];
        let place = places.iter().find_map(|place| error[place].as_str());
        let rule = error["rule"].as_str().unwrap_or_default();
        format!("{} {rule}", place.unwrap_or_default())
    });
    let detail = broken.collect::<Vec<_>>().join("; ");
    let detail = match refusal.problem["detail"].as_str() {
        Some(text) if detail.is_empty() => text.to_owned(),
        Some(_) | None => detail,
    };
    let client = app.config.clients.get(&refusal.client);
    app.tell_refused(&Refused {
        request: (
            refusal.event_source.as_deref().unwrap_or_default(),
            refusal.event_id.as_deref().unwrap_or_default(),
        ),
        client: Some(&refusal.client),
        tenant: client.map(|client| client.tenant.as_str()),
        correlation_id: refusal.correlation_id.as_deref(),
        problem: kind.rsplit(':').next().unwrap_or_default(),
        detail: (!detail.is_empty()).then_some(detail.as_str()),
        at: app.now(),
    });
}

/// Returns the pause that an answer asks for.
fn pause(response: &Response<Bytes>) -> Duration {
    let value = response.headers().get(header::RETRY_AFTER);
    let seconds = value.and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(PAUSE, Duration::from_secs)
}

fn shortened(text: &str) -> String {
    scrub(text).chars().take(MAX_LOGGED_CHARS).collect()
}

/// An event as it has arrived, in the form of a CloudEvent in structured mode.
struct Arrived {
    event: Map<String, Value>,
    /// The event is one of EventBridge that does not ask for an operation.
    is_other_detail: bool,
}

impl Arrived {
    /// Reads a message, with or without the envelope of SNS around it.
    fn read(message: &str) -> Option<Self> {
        let members = object(message)?;
        if members.get("Type").and_then(Value::as_str) != Some("Notification") {
            return Self::event(members);
        }
        let message = object(members.get("Message")?.as_str()?)?;
        // A message that is no event itself is a request, and its notification is the event.
        let is_event = message.contains_key("specversion") || message.contains_key("detail-type");
        if is_event {
            return Self::event(message);
        }
        let [id, source] = ["MessageId", "TopicArn"].map(|name| members.get(name));
        Some(Self {
            event: requested(id?.clone(), source?.clone(), Value::Object(message)),
            is_other_detail: false,
        })
    }

    fn event(mut members: Map<String, Value>) -> Option<Self> {
        if members.contains_key("specversion") {
            return Some(Self {
                event: members,
                is_other_detail: false,
            });
        }
        let kind = members.remove("detail-type")?;
        let detail = members.remove("detail")?;
        if detail.get("specversion").is_some()
            && let Value::Object(event) = detail
        {
            return Some(Self {
                event,
                is_other_detail: false,
            });
        }
        let [id, source] = ["id", "source"].map(|name| members.remove(name).unwrap_or_default());
        Some(Self {
            event: requested(id, source, detail),
            is_other_detail: kind != REQUESTED_DETAIL,
        })
    }

    /// Returns the request that the event stands for.
    fn request(&self) -> Result<Request<Bytes>, Problem> {
        if self.is_other_detail {
            return Err(Problem::InvalidEvent(vec![BrokenAttribute {
                attribute: "detail-type",
                rule: "must be Graph Operation Requested, or detail must be a CloudEvent",
            }]));
        }
        let body = Value::Object(self.event.clone()).to_string();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/v1/operations");
        let content_type = HeaderValue::from_static(STRUCTURED);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        Ok(request)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.event.get(name)?.as_str().map(str::to_owned)
    }

    fn logged(&self, name: &str) -> Option<String> {
        self.event.get(name)?.as_str().map(shortened)
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match strict_json::parse(text.as_bytes()).ok()? {
        Value::Object(members) => Some(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            None
        }
    }
}

/// Returns the CloudEvent for a request that came in another kind of event.
fn requested(id: Value, source: Value, data: Value) -> Map<String, Value> {
    let event = json!({
        "specversion": "1.0", "type": REQUESTED, "id": id, "source": source, "data": data,
    });
    match event {
        Value::Object(event) => event,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
