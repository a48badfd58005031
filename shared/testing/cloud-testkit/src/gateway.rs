//! The front doors of a function for callers of HTTP: API Gateway's HTTP API and REST API, a function URL, an
//! application load balancer; each with its events and its form of the answer.
//!
//! Called as a method instead of by HTTP; what the caller's connection would do is no concern of the function.

mod answer;
mod event;

use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

use crate::REGION;
use crate::function::{Function, Outcome, new_trace};

/// The longest that an HTTP API waits.
const INTEGRATION: Duration = Duration::from_secs(30);
const HTTP_API_BYTES: usize = 10 * 1024 * 1024;
const FUNCTION_URL_BYTES: usize = 6 * 1024 * 1024;
const LOAD_BALANCER_BYTES: usize = 1024 * 1024;

/// One of the ways to call a function by HTTP.
pub struct Gateway {
    function: Function,
    kind: Kind,
    /// The API's id or the URL's.
    id: String,
    stage: &'static str,
    /// The text in front of the path.
    front: String,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    HttpApi,
    FunctionUrl,
    RestApi,
    /// `lists`: the target group tells all values of a header or parameter, not only the last.
    LoadBalancer {
        lists: bool,
    },
}

/// The answer that the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }
}

impl Gateway {
    /// An HTTP API with a `$default` route and stage.
    pub fn http_api(function: &Function) -> Self {
        Self::new(function, Kind::HttpApi, INTEGRATION)
    }

    /// A function URL without authentication.
    pub fn function_url(function: &Function) -> Self {
        // It lives as long as the invocation.
        let patience = function.timeout() + INTEGRATION;
        Self::new(function, Kind::FunctionUrl, patience)
    }

    /// A REST API with its stage `prod`, which takes every body for binary.
    pub fn rest_api(function: &Function) -> Self {
        let mut gateway = Self::new(function, Kind::RestApi, INTEGRATION);
        gateway.stage = "prod";
        gateway
    }

    /// A load balancer whose target group has multi-value headers enabled.
    pub fn load_balancer(function: &Function) -> Self {
        Self::balancing(function, true)
    }

    /// A load balancer whose target group is as AWS makes it: of several values the last is told.
    pub fn load_balancer_of_last_values(function: &Function) -> Self {
        Self::balancing(function, false)
    }

    fn balancing(function: &Function, lists: bool) -> Self {
        let patience = function.timeout() + INTEGRATION;
        Self::new(function, Kind::LoadBalancer { lists }, patience)
    }

    fn new(function: &Function, kind: Kind, patience: Duration) -> Self {
        let id = Uuid::new_v4().simple().to_string()[..10].to_owned();
        Self {
            function: function.clone(),
            kind,
            id,
            stage: "$default",
            front: String::new(),
            patience,
        }
    }

    /// The stage of an HTTP API, by which its paths begin then.
    #[must_use]
    pub fn with_stage(mut self, stage: &'static str) -> Self {
        self.stage = stage;
        self.front = format!("/{stage}");
        self
    }

    /// A base-path mapping of a custom domain, or the path of a load balancer's rule: the paths of all requests begin by it.
    #[must_use]
    pub fn with_base_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.front);
        self
    }

    /// Waits so long for the function, instead of an HTTP API's 30 s.
    #[must_use]
    pub fn with_integration_timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// One HTTP request; `target` is the path with its query.
    pub async fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let most = match self.kind {
            Kind::HttpApi | Kind::RestApi => HTTP_API_BYTES,
            Kind::FunctionUrl => FUNCTION_URL_BYTES,
            Kind::LoadBalancer { .. } => LOAD_BALANCER_BYTES,
        };
        if body.len() > most {
            return self.failure(413, "Request Entity Too Large");
        }
        let trace = new_trace(self.function.now());
        let request = event::Request {
            method,
            target,
            headers,
            body,
        };
        let event = self.event(&request, &trace);
        let invocation = self.function.invoke_traced(&event, &trace);
        match timeout(self.patience, invocation).await {
            Ok(Outcome::Answer(answer)) => self.answer(&answer),
            Ok(Outcome::NotJson(text)) => self.bare(text),
            Ok(Outcome::Error { .. } | Outcome::TimedOut | Outcome::Crashed) => self.broken(),
            Err(_) if self.kind == Kind::RestApi => self.failure(504, "Endpoint request timed out"),
            Err(_) => self.failure(503, "Service Unavailable"),
        }
    }

    fn domain(&self) -> String {
        let id = &self.id;
        match self.kind {
            Kind::HttpApi | Kind::RestApi => format!("{id}.execute-api.{REGION}.amazonaws.com"),
            Kind::FunctionUrl => format!("{id}.lambda-url.{REGION}.on.aws"),
            Kind::LoadBalancer { .. } => format!("courier-{id}.{REGION}.elb.amazonaws.com"),
        }
    }
}
