//! One HTTP request in the event format of an AWS endpoint, and the answer in the same format: HTTP API and function
//! URL (payload 2.0), REST API (1.0), load balancer. `lambda_http` detects the format, reads headers and body, and
//! writes the answer.

use bytes::Bytes;
use courier_core::http::RemovedPrefix;
use courier_core::http::exchange::Exchange;
use courier_core::http::problem::Problem;
use courier_core::operation::random_ids;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Service};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use tracing::Instrument;

use crate::repair::repair;
use crate::target::Target;

/// An event that `lambda_http` can read, the target that it must not read, and the first problem found while repairing
/// it.
pub(crate) struct HttpEvent {
    request: LambdaRequest,
    target: Target,
    repaired: Result<(), Problem>,
}

impl<'de> Deserialize<'de> for HttpEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut event = Map::deserialize(deserializer)?;
        event.retain(|_, value: &mut Value| !value.is_null());
        let target = Target::take(&mut event);
        let mut event = Value::Object(event);
        let repaired = repair(&mut event);
        Ok(Self {
            request: LambdaRequest::deserialize(event).map_err(D::Error::custom)?,
            target,
            repaired,
        })
    }
}

/// Answers one event with `handler`, or with a `Problem` (4xx) if the event is not valid HTTP.
pub(crate) async fn answer<F>(
    event: LambdaEvent<HttpEvent>,
    base_path: Option<&str>,
    handler: impl Fn(Request<Bytes>) -> F,
) -> Result<impl Serialize, Error>
where
    F: Future<Output = Response<Bytes>> + Send,
{
    let LambdaEvent { payload, context } = event;
    let target = payload.target.uri(base_path).ok_or(Problem::NotFound);
    let prefix = RemovedPrefix(payload.target.prefix(base_path));
    let ids = random_ids();
    let mut target = Some(payload.repaired.and(target));
    let mut adapter = Adapter::from(service_fn(|request: lambda_http::Request| {
        let target = target.take().unwrap_or(Err(Problem::Internal));
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(prefix.clone());
        let target = target.map(|target| parts.uri = target);
        let exchange = Exchange::begin(&parts, &ids);
        let response = target.map(|()| handler(Request::from_parts(parts, body_bytes(body))));
        async {
            let response = match response {
                Ok(response) => response.instrument(exchange.span()).await,
                Err(problem) => problem.into_response(),
            };
            let mut response = exchange.end(response);
            join_values(response.headers_mut());
            Ok::<_, Error>(response.map(|body| Body::from(body.as_ref())))
        }
    }));
    adapter
        .call(LambdaEvent::new(payload.request, context))
        .await
}

/// Joins the values of each header (RFC 9110, section 5.3), because most event formats have room for one only. Cookies
/// cannot be joined: the formats have a place of their own for them.
fn join_values(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names.into_iter().filter(|name| name != SET_COOKIE) {
        let values: Vec<&[u8]> = headers
            .get_all(&name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if values.len() > 1
            && let Ok(joined) = HeaderValue::from_bytes(&values.join(&b", "[..]))
        {
            headers.insert(name, joined);
        }
    }
}

/// Returns the bytes that the sender wrote and perhaps signed.
fn body_bytes(body: Body) -> Bytes {
    match body {
        Body::Text(text) => text.into(),
        Body::Binary(bytes) => bytes.into(),
        Body::Empty | _ => Bytes::new(),
    }
}

#[cfg(test)]
mod tests;
