//! The peers behind the calls that go out: the Graph simulator with its token endpoint, and the receivers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use courier_core::outbound::answer_body::Unreadable;
use courier_core::outbound::{ANSWER_BYTES, Answered, Call, Transport, Trouble, Unanswered};
use courier_core::time::later;
use courier_testkit::receiver::Callback;
use graph_simulator::Delivery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use crate::checks;
use crate::plan::Sabotage;
use crate::receivers::Manner;
use crate::token_requests::{self, TokenRequests};
use crate::world::{EVENTS, GRAPH, Life, RECEIVER, lock};

/// The network as one process sees it.
pub(crate) struct SimulatedNetwork(pub(crate) Arc<Life>, pub(crate) TokenRequests);

#[async_trait]
impl Transport for SimulatedNetwork {
    async fn send(&self, call: Call) -> Result<Answered, Unanswered> {
        let Some(kind) = token_requests::kind(&call) else {
            return self.exchange(call).await;
        };
        let request = self.1.begin(&self.0, &kind);
        let answer = self.exchange(call).await;
        request.answered(&self.0, &answer);
        answer
    }
}

impl SimulatedNetwork {
    async fn exchange(&self, call: Call) -> Result<Answered, Unanswered> {
        let (life, world) = (&self.0, &self.0.world);
        let what = format!("{} {}", call.method, checks::without_ids(call.url.path()));
        life.moment(&what).await;
        let (plan, limit) = (&world.plan, call.timeout);
        if world.strikes(plan.not_connected) {
            life.report(format_args!("{what}: no connection"));
            return Err(Unanswered::NotSent(Trouble::Refused));
        }
        if world.strikes(plan.cut_before) {
            life.report(format_args!("{what}: lost on the way"));
            return Err(Unanswered::CutOff);
        }
        let path = call.url.path().to_owned();
        let retried = plan.sabotage == Some(Sabotage::HiddenRetry);
        let again = retried.then(|| copy(&call));
        let began = Instant::now();
        let mut answer = timeout(limit, self.answer(call)).await;
        if let (Ok(Err(Unanswered::CutOff)), Some(call)) = (&answer, again) {
            answer = timeout(limit, self.answer(call)).await;
        }
        let mut answer = answer.unwrap_or(Err(Unanswered::TimedOut));
        let slow = plan.slow_peers > 0.0 && world.random().chance(plan.slow_peers);
        if slow && began.elapsed() < limit.mul_f64(0.9) {
            sleep(limit.mul_f64(0.9).saturating_sub(began.elapsed())).await;
        }
        match &answer {
            Ok(answered) => life.report(format_args!("{what}: {}", answered.status.as_u16())),
            Err(unanswered) => life.report(format_args!("{what}: {unanswered}")),
        }
        life.moment(&what).await;
        if world.strikes(plan.cut_after) {
            life.report(format_args!("{what}: answer lost"));
            answer = Err(Unanswered::CutOff);
        }
        if answer.is_err() {
            lock(&world.unheard).insert(path);
        }
        answer
    }

    async fn answer(&self, call: Call) -> Result<Answered, Unanswered> {
        let url = call.url.as_str();
        if url.starts_with(&format!("{GRAPH}/")) {
            self.graph(call).await
        } else if url.starts_with(&format!("{RECEIVER}/")) {
            self.receiver(call).await
        } else {
            self.0
                .world
                .broken(format_args!("I9: a call to {}", call.url));
            Err(Unanswered::NotSent(Trouble::Refused))
        }
    }

    async fn graph(&self, call: Call) -> Result<Answered, Unanswered> {
        let world = &self.0.world;
        checks::credentials(world, &call);
        if self.0.world.plan.freeze_at.is_some() {
            checks::within_lease(world, &call);
        }
        if call.method == Method::GET {
            lock(&world.looks).push(world.now());
            if let Some(throttled) = self.storm(&call) {
                return Ok(throttled);
            }
            if world.plan.sabotage == Some(Sabotage::EmptyList) && is_list(&call) {
                return Ok(empty_list());
            }
        }
        let mut request = Request::new(Bytes::from(call.body));
        *request.method_mut() = call.method;
        let target = &call.url[url::Position::BeforePath..];
        *request.uri_mut() = target.parse().unwrap_or_default();
        *request.headers_mut() = call.headers;
        let host = HeaderValue::from_static(GRAPH.trim_ascii_start().split_at(7).1);
        request.headers_mut().insert(header::HOST, host);
        let exchanged = world.graph.exchange(request);
        let Ok((response, delivery)) = exchanged else {
            return Err(Unanswered::CutOff);
        };
        let (head, bytes) = response.into_parts();
        let whole = |body: Result<Vec<u8>, Unreadable>| Answered {
            status: head.status,
            headers: head.headers.clone(),
            body,
        };
        let body = match bytes.len() <= ANSWER_BYTES {
            true => Ok(bytes.to_vec()),
            false => Err(Unreadable::TooLong),
        };
        match delivery {
            Delivery::Prompt => Ok(whole(body)),
            Delivery::Late(pause) => {
                sleep(pause).await;
                Ok(whole(body))
            }
            Delivery::Drip(pause) => {
                let takes = pause.saturating_mul(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                let body = if takes < call.timeout {
                    body
                } else {
                    Err(Unreadable::CutOff)
                };
                sleep(takes.min(call.timeout.saturating_sub(Duration::from_millis(1)))).await;
                Ok(whole(body))
            }
            Delivery::Half => Ok(whole(Err(Unreadable::CutOff))),
            Delivery::Close | Delivery::Reset => Err(Unanswered::CutOff),
            Delivery::Never => std::future::pending().await,
        }
    }

    /// The answer of a Graph that has too much to do.
    fn storm(&self, call: &Call) -> Option<Answered> {
        let world = &self.0.world;
        let storm = world.plan.storm?;
        let path = call.url.path();
        if !(storm.from..storm.until).contains(&world.age()) {
            lock(&world.not_before).remove(path);
            return None;
        }
        let until = match storm.retry_after {
            Some(seconds) => later(world.now(), Duration::from_secs(seconds.into())),
            None => world.at(storm.until),
        };
        let before = lock(&world.not_before).insert(path.to_owned(), until);
        if before.is_some_and(|before| world.now() < before) {
            world.broken(format_args!("I12: {path} was asked for too early"));
        }
        let text = match storm.retry_after {
            Some(seconds) => seconds.to_string(),
            None => http_date(until),
        };
        let values = [
            (header::RETRY_AFTER, text),
            (header::DATE, http_date(world.now())),
        ];
        let headers = values
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
        Some(Answered {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: headers.collect(),
            body: Ok(Vec::new()),
        })
    }

    async fn receiver(&self, call: Call) -> Result<Answered, Unanswered> {
        let world = &self.0.world;
        if call.headers.contains_key(header::AUTHORIZATION) {
            world.broken("I9: a token went to a receiver");
        }
        let path = call.url[url::Position::BeforePath..].to_owned();
        let headers = call.headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap_or_default();
            (name.as_str().to_owned(), value.to_owned())
        });
        let mut callback = Callback {
            seq: 0,
            at: world.now(),
            method: call.method.to_string(),
            path: path.clone(),
            headers: headers.collect(),
            body: Bytes::from(call.body),
        };
        if path == EVENTS {
            checks::announcement(world, &callback);
            return self.manner(Manner::Moody).await;
        }
        checks::callback(world, &callback);
        // The signature's time is the sender's: a process may stand still, or have another clock.
        let sent = callback.header("webhook-timestamp");
        let sent = sent.and_then(|sent| Timestamp::from_second(sent.parse().ok()?).ok());
        callback.at = sent.unwrap_or(callback.at);
        let manner = {
            let mut receivers = lock(&world.receivers);
            callback.seq = receivers.journal.len() as u64 + 1;
            receivers.journal.push(callback);
            receivers
                .manners
                .get(&path)
                .copied()
                .unwrap_or(Manner::Takes)
        };
        self.manner(manner).await
    }

    async fn manner(&self, manner: Manner) -> Result<Answered, Unanswered> {
        let world = &self.0.world;
        let status = match manner {
            _ if world.age() < world.plan.receivers_down_for => 503,
            Manner::Takes => 204,
            Manner::Refuses => 500,
            Manner::Gone => 410,
            Manner::Moody if !world.strikes(world.plan.receiver_fails) => 200,
            Manner::Moody => {
                let mood = world.within(0..8);
                match mood {
                    0 => return Err(Unanswered::CutOff),
                    1 => return std::future::pending().await,
                    2 => return Err(Unanswered::Forbidden),
                    3 => 302,
                    4 => 429,
                    _ => 503,
                }
            }
        };
        let mut headers = HeaderMap::new();
        if status == 429 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7200"));
        }
        Ok(Answered {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers,
            body: Ok(Vec::new()),
        })
    }
}

/// The look for an export of an eDiscovery search.
fn is_list(call: &Call) -> bool {
    let path = call.url.path();
    path.contains("/ediscoveryCases/") && path.ends_with("/operations")
}

fn empty_list() -> Answered {
    Answered {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Ok(br#"{"value":[]}"#.to_vec()),
    }
}

fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn copy(call: &Call) -> Call {
    Call {
        route: call.route,
        method: call.method.clone(),
        url: call.url.clone(),
        headers: call.headers.clone(),
        body: call.body.clone(),
        read: call.read,
        timeout: call.timeout,
    }
}
