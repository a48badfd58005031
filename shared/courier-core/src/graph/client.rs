//! Microsoft Graph over HTTP: builds and sends the two calls and reads their answers, which `verdict` interprets.
//!
//! A token goes to the configured origin and nowhere else (invariant I9).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use url::Url;

use crate::catalogue::{BodySpec, Operation};
use crate::crypto::secret::Secret;
use crate::graph::error;
use crate::graph::monitor;
use crate::graph::verdict::{Answer, GraphReply};
use crate::operation::Ids;
use crate::outbound::answer_body::media_type;
use crate::outbound::retry_after;
use crate::outbound::{Answered, Call, Read, Route, Transport, Unanswered};
use crate::time::Clock;

/// A client of the configured Graph host.
pub(crate) struct Graph {
    pub(crate) base: Url,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
}

/// A start request that is ready to be sent, so that nothing can fail between the claim and the first byte.
pub(crate) struct StartRequest {
    pub(crate) url: String,
    /// The `client-request-id` of the call, which is stored so that Microsoft's support can find the call.
    pub(crate) client_request_id: String,
    /// The token that the headers carry.
    pub(crate) token: Secret,
    method: Method,
    parsed: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A request that cannot be built. Names the place of the unusable value, not the value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be built from {0}")]
pub(crate) struct Unsendable(String);

impl Graph {
    /// Returns the configured origin.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Builds the start request of `operation` from all its parameters.
    pub(crate) fn start_request(
        &self,
        operation: &Operation,
        parameters: &Map<String, Value>,
        token: &Secret,
    ) -> Result<StartRequest, Unsendable> {
        let row = &operation.start;
        let path = expand(&row.path, parameters)?;
        let origin = self.base.origin().ascii_serialization();
        let url = format!("{origin}/{}{path}", row.version);
        let body = match &row.body {
            BodySpec::Parameter(name) => parameters.get(name).cloned().unwrap_or_default(),
            BodySpec::Fields(names) => names
                .iter()
                .filter_map(|name| Some((name.clone(), parameters.get(name)?.clone())))
                .collect(),
        };
        let client_request_id = (self.ids)().to_string();
        let mut headers = self.headers(operation, parameters, token, &client_request_id)?;
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        Ok(StartRequest {
            parsed: Url::parse(&url).map_err(|_| Unsendable("the path".to_owned()))?,
            method: row
                .method
                .parse()
                .map_err(|_| Unsendable("the method".to_owned()))?,
            url,
            client_request_id,
            token: token.clone(),
            headers,
            body: body.to_string().into_bytes(),
        })
    }

    /// Sends a start request once, on a new connection.
    pub(crate) async fn start(&self, request: StartRequest) -> GraphReply {
        let sent = self.transport.send(Call {
            route: Route::Fresh,
            method: request.method,
            url: request.parsed,
            headers: request.headers,
            body: request.body,
            read: Read::Whole,
            timeout: self.timeout,
        });
        self.read(sent.await)
    }

    /// Polls the monitor once. Returns the `client-request-id` and the answer.
    pub(crate) async fn poll(
        &self,
        operation: &Operation,
        parameters: &Map<String, Value>,
        location: &str,
        token: &Secret,
    ) -> Result<(String, GraphReply), Unsendable> {
        let trusted = monitor::trusted(location, &self.base, &operation.start.version)
            .map_err(|untrusted| Unsendable(untrusted.to_string()))?;
        let url = Url::parse(&trusted).map_err(|_| Unsendable("the monitor".to_owned()))?;
        let client_request_id = (self.ids)().to_string();
        let mut headers = self.headers(operation, parameters, token, &client_request_id)?;
        headers.insert(
            "prefer",
            HeaderValue::from_static("include-unknown-enum-members"),
        );
        let sent = self.transport.send(Call {
            route: Route::Kept,
            method: Method::GET,
            url,
            headers,
            body: Vec::new(),
            read: Read::Whole,
            timeout: self.timeout,
        });
        Ok((client_request_id, self.read(sent.await)))
    }

    fn headers(
        &self,
        operation: &Operation,
        parameters: &Map<String, Value>,
        token: &Secret,
        client_request_id: &str,
    ) -> Result<HeaderMap, Unsendable> {
        let mut headers = HeaderMap::new();
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Unsendable("the token".to_owned()))?;
        authorization.set_sensitive(true);
        headers.insert("authorization", authorization);
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let id = HeaderValue::from_str(client_request_id);
        headers.insert(
            "client-request-id",
            id.map_err(|_| Unsendable("the id".to_owned()))?,
        );
        for (name, parameter) in &operation.start.headers {
            let Some(text) = parameters.get(parameter).and_then(Value::as_str) else {
                continue;
            };
            let unsendable = || Unsendable(format!("/parameters/{parameter}"));
            let name = name.parse::<http::HeaderName>().map_err(|_| unsendable())?;
            headers.insert(name, HeaderValue::from_str(text).map_err(|_| unsendable())?);
        }
        Ok(headers)
    }

    fn read(&self, sent: Result<Answered, Unanswered>) -> GraphReply {
        let answered = match sent {
            Ok(answered) => answered,
            Err(trouble @ Unanswered::NotSent(_)) => {
                return GraphReply::NotSent(trouble.to_string());
            }
            Err(Unanswered::TimedOut) => return GraphReply::Lost("no answer in time"),
            Err(Unanswered::CutOff | Unanswered::Forbidden) => {
                return GraphReply::Lost("the connection ended before the answer");
            }
        };
        let headers = &answered.headers;
        let texts = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter();
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        };
        let mut locations = texts("location");
        if locations.is_empty() {
            locations = texts("operation-location");
        }
        let retry_after = retry_after::parse(
            headers.get("retry-after"),
            headers.get("date"),
            (self.clock)(),
        );
        let request_id = texts("request-id")
            .into_iter()
            .next()
            .and_then(|id| short_id(&id));
        let status = answered.status.as_u16();
        // Status and headers suffice to judge a start, so a body that cannot be read counts as missing.
        let body = answered.json();
        let error = answered.text().ok().filter(|_| status >= 400);
        let error = error.and_then(error::parse);
        let in_body = || short_id(error.as_ref()?.request_id.as_deref()?);
        GraphReply::Answer(Box::new(Answer {
            status,
            locations,
            retry_after,
            unreadable: body.as_ref().err().copied(),
            body: body.ok(),
            request_id: request_id.or_else(in_body),
            error,
            media_type: media_type(headers),
            challenge: headers.get("www-authenticate").and_then(challenge),
        }))
    }
}

/// Returns the `error` of a challenge (RFC 6750 §3), such as `invalid_token` or `insufficient_claims`.
fn challenge(header: &HeaderValue) -> Option<String> {
    let text = String::from_utf8_lossy(header.as_bytes());
    let (_, rest) = text.split_once("error=")?;
    let word = rest.trim_start_matches('"').split(['"', ',', ' ']).next()?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!word.is_empty() && word.len() <= 64 && word.bytes().all(fits)).then(|| word.to_owned())
}

/// Returns the id if it can be one of Graph's, which are GUIDs. Anything else in that header is ignored.
fn short_id(text: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (text.len() <= 64 && !text.is_empty() && text.bytes().all(fits)).then(|| text.to_owned())
}

/// Replaces each `{name}` by the parameter, percent-encoded as one path segment (RFC 3986 §3.3).
fn expand(template: &str, parameters: &Map<String, Value>) -> Result<String, Unsendable> {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let unsendable = || Unsendable(format!("/parameters/{name}"));
        let text = parameters
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(unsendable)?;
        path.push_str(before);
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
        rest = after;
    }
    path.push_str(rest);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameter_with_slashes_stays_one_path_segment() {
        let parameters = json!({ "id": "../a b" });
        let path = expand("/users/{id}/export", parameters.as_object().unwrap()).unwrap();
        assert_eq!(path, "/users/%2E%2E%2Fa%20b/export");
        assert!(expand("/users/{no}", &Map::new()).is_err());
    }

    #[test]
    fn of_a_challenge_only_the_word_of_the_error_is_kept() {
        for (header, word) in [
            (
                r#"Bearer realm="", error="invalid_token""#,
                Some("invalid_token"),
            ),
            (
                r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3N""#,
                Some("insufficient_claims"),
            ),
            ("Bearer error=invalid_token, x=y", Some("invalid_token")),
            (r#"Bearer error="A secret""#, None),
            ("Bearer error=", None),
            ("Bearer", None),
        ] {
            let found = challenge(&HeaderValue::from_static(header));
            assert_eq!(found.as_deref(), word, "{header}");
        }
    }
}
