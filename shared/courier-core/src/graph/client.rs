//! Microsoft Graph over HTTP: builds and sends the two calls and reads their answers, which `verdict` interprets.
//!
//! A token goes to the configured origin and nowhere else (invariant I9).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::catalogue::Operation;
use crate::catalogue::places::{self, Places};
use crate::crypto::secret::Secret;
use crate::graph::error;
use crate::graph::foreign;
use crate::graph::monitor;
use crate::graph::verdict::{Answer, GraphReply, Subject};
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
    /// Origins of a test host that may have monitors, as the configuration names them.
    pub(crate) test_origins: Vec<String>,
}

/// Most pages of a collection that are read for one answer.
const MAX_PAGES: usize = 10;
/// The URL of the next page (OData 4.01 JSON Format, section 4.5.5).
const NEXT_LINK: &str = "@odata.nextLink";

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

    /// Builds the start request from all parameters, the secret ones among them.
    pub(crate) fn start_request(
        &self,
        subject: Subject<'_>,
        parameters: &Map<String, Value>,
        token: &Secret,
    ) -> Result<StartRequest, Unsendable> {
        let spec = &subject.operation.start;
        let url = subject.places().url(&spec.path).map_err(of_parameter)?;
        let places = Places {
            parameters,
            ..subject.places()
        };
        let query = spec.query.iter();
        let pairs = query.filter_map(|(name, template)| Some((name, places.header(template)?)));
        let url = places::with_query(&url, pairs);
        let body = spec.body.as_ref().and_then(|body| places.value(body));
        // A body of which nothing is given is none.
        let body = body.filter(|body| body.as_object().is_none_or(|fields| !fields.is_empty()));
        let client_request_id = (self.ids)().to_string();
        let mut headers = self.headers(&spec.headers, &places, Some(token), &client_request_id)?;
        if body.is_some() {
            let media_type = spec.content_type.as_deref().unwrap_or("application/json");
            let media_type = HeaderValue::from_str(media_type);
            headers.insert(
                "content-type",
                media_type.map_err(|_| Unsendable("the content type".to_owned()))?,
            );
        }
        Ok(StartRequest {
            parsed: Url::parse(&url).map_err(|_| Unsendable("the path".to_owned()))?,
            method: spec
                .method
                .parse()
                .map_err(|_| Unsendable("the method".to_owned()))?,
            url,
            client_request_id,
            token: token.clone(),
            headers,
            body: body.map_or_else(Vec::new, |body| body.to_string().into_bytes()),
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

    /// Polls a URL of Graph once. Returns the `client-request-id` and the answer.
    ///
    /// Of a collection, `at` is where the answer has its array: the pages after the first are read too, up to ten, and all
    /// of them within the time of one call. What is left out then keeps its link, so that nothing counts as absent. `pay` is
    /// called before each of these pages is asked for.
    pub(crate) async fn poll(
        &self,
        subject: Subject<'_>,
        location: &str,
        (at, pay): (Option<&str>, &(dyn Fn() + Sync)),
        token: &Secret,
    ) -> Result<(String, GraphReply), Unsendable> {
        let version = &subject.operation.start.version;
        let client_request_id = (self.ids)().to_string();
        let spec = &subject.operation.poll.headers;
        let mut headers = self.headers(spec, &subject.places(), Some(token), &client_request_id)?;
        headers.insert(
            "prefer",
            HeaderValue::from_static("include-unknown-enum-members"),
        );
        let ends_at = Instant::now() + self.timeout;
        let mut first = self.get(location, version, &headers).await?;
        for _ in 1..MAX_PAGES {
            let Some(next) = at.and_then(|at| next_page(&first, at)) else {
                break;
            };
            pay();
            let Ok(Ok(page)) = timeout_at(ends_at, self.get(&next, version, &headers)).await else {
                break;
            };
            if !append(&mut first, page, at.unwrap_or_default()) {
                break;
            }
        }
        Ok((client_request_id, first))
    }

    async fn get(
        &self,
        location: &str,
        version: &str,
        headers: &HeaderMap,
    ) -> Result<GraphReply, Unsendable> {
        let trusted = monitor::trusted(location, &self.base, version)
            .map_err(|untrusted| Unsendable(untrusted.to_string()))?;
        let url = Url::parse(&trusted).map_err(|_| Unsendable("the monitor".to_owned()))?;
        Ok(self.send_get(url, headers.clone(), Route::Kept).await)
    }

    /// Polls a monitor of another host, without a token and without a header of ours.
    pub(crate) async fn poll_foreign(
        &self,
        subject: Subject<'_>,
        url: &Secret,
    ) -> Result<(String, GraphReply), Unsendable> {
        let hosts = self.foreign_hosts(subject.operation);
        let url = foreign::permitted(url.expose(), &hosts)
            .ok_or_else(|| Unsendable("the monitor, whose host is not permitted".to_owned()))?;
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let reply = self.send_get(url, headers, Route::Guarded).await;
        Ok((String::new(), reply))
    }

    /// Returns the monitor in `reply` if it is on a host that the operation permits besides Graph's.
    pub(crate) fn foreign_monitor(&self, operation: &Operation, reply: &GraphReply) -> Option<Url> {
        let GraphReply::Answer(answer) = reply else {
            return None;
        };
        let hosts = self.foreign_hosts(operation);
        foreign::permitted(answer.locations.first()?, &hosts)
    }

    fn foreign_hosts<'a>(&'a self, operation: &'a Operation) -> Vec<&'a str> {
        let own = operation.start.monitor_hosts.iter();
        let configured = self
            .test_origins
            .iter()
            .filter(|_| !operation.start.monitor_hosts.is_empty());
        own.chain(configured).map(String::as_str).collect()
    }

    async fn send_get(&self, url: Url, headers: HeaderMap, route: Route) -> GraphReply {
        let sent = self.transport.send(Call {
            route,
            method: Method::GET,
            url,
            headers,
            body: Vec::new(),
            read: Read::Whole,
            timeout: self.timeout,
        });
        self.read(sent.await)
    }

    fn headers(
        &self,
        templates: &BTreeMap<String, String>,
        places: &Places<'_>,
        token: Option<&Secret>,
        client_request_id: &str,
    ) -> Result<HeaderMap, Unsendable> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| Unsendable("the token".to_owned()))?;
            authorization.set_sensitive(true);
            headers.insert("authorization", authorization);
        }
        headers.insert("accept", HeaderValue::from_static("application/json"));
        let id = HeaderValue::from_str(client_request_id);
        headers.insert(
            "client-request-id",
            id.map_err(|_| Unsendable("the id".to_owned()))?,
        );
        for (name, template) in templates {
            let Some(text) = places.header(template) else {
                continue;
            };
            let unsendable = || Unsendable(format!("the header {name}"));
            let name = name.parse::<http::HeaderName>().map_err(|_| unsendable())?;
            headers.insert(
                name,
                HeaderValue::from_str(&text).map_err(|_| unsendable())?,
            );
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
            foreign_monitor: None,
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

/// Returns the URL of the next page of a collection.
fn next_page(reply: &GraphReply, at: &str) -> Option<String> {
    let GraphReply::Answer(answer) = reply else {
        return None;
    };
    let body = answer.body.as_ref()?;
    body.pointer(at)?.as_array()?;
    Some(body.get(NEXT_LINK)?.as_str()?.to_owned())
}

/// Adds the elements of a further page, and the link to the one after it. Reports whether the page could be read.
fn append(first: &mut GraphReply, page: GraphReply, at: &str) -> bool {
    let (GraphReply::Answer(first), GraphReply::Answer(mut page)) = (first, page) else {
        return false;
    };
    let (Some(body), Some(more)) = (&mut first.body, &mut page.body) else {
        return false;
    };
    let link = more.get(NEXT_LINK).cloned();
    let elements = more
        .pointer_mut(at)
        .and_then(Value::as_array_mut)
        .map(std::mem::take);
    let (Some(array), Some(elements)) =
        (body.pointer_mut(at).and_then(Value::as_array_mut), elements)
    else {
        return false;
    };
    array.extend(elements);
    if let Value::Object(fields) = body {
        fields.remove(NEXT_LINK);
        fields.extend(link.map(|link| (NEXT_LINK.to_owned(), link)));
    }
    true
}

fn of_parameter(name: String) -> Unsendable {
    Unsendable(format!("/parameters/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
