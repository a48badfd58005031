//! An HTTP server that answers what a test says, and remembers what it was asked.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use courier_local::{Limits, serve};
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) call: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) struct StandIn {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _stop: watch::Sender<bool>,
}

impl StandIn {
    /// Starts a server whose answers depend on the request and on how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Asked, usize) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let answer = Arc::new(answer);
        let handle = move |request: Request<Bytes>| {
            let target = request.uri().path_and_query().map(ToString::to_string);
            let one = Asked {
                call: format!("{} {}", request.method(), target.unwrap_or_default()),
                headers: request.headers().clone(),
                body: serde_json::from_slice(request.body()).unwrap_or_default(),
            };
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(one.clone());
                seen.len() - 1
            };
            let response = answer(&one, before);
            async move { response }
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, Limits::default(), handle, stopped));
        Self {
            url,
            asked,
            _stop: stop,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.call).collect()
    }
}

/// An answer with these headers.
pub(crate) fn answer(
    status: u16,
    headers: &[(&str, &str)],
    body: impl ToString,
) -> Response<Bytes> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Bytes::from(body.to_string())).unwrap()
}

pub(crate) fn json_answer(status: u16, body: &Value) -> Response<Bytes> {
    answer(status, &[("content-type", "application/json")], body)
}

/// An operation as the API shows it.
pub(crate) fn operation(id: &str, status: &str, ended: bool) -> Value {
    json!({
        "id": id, "operation": "team.schedule", "status": status, "reason": null,
        "reference": "R-1", "createdAt": "2026-11-21T20:00:00.000Z", "startedAt": null,
        "endedAt": ended.then_some("2026-11-21T20:00:30.000Z"),
        "deadline": "2199-11-21T20:00:00.000Z", "adopted": false,
        "graph": { "status": "Running", "progress": 0.4, "polls": 1, "nextPollAt": null },
        "result": null, "error": null,
        "callback": { "status": "none", "attempts": 0 },
    })
}

pub(crate) fn id(number: u32) -> String {
    format!("op_{number:032x}")
}
