//! A simulator, a client without retries, and a clock that moves when told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use graph_simulator::{Clock, Options, Simulator};
use jiff::Timestamp;
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const USER: &str = "7f3c1a52-0d6e-4c0a-9a55-3c6d2b1e8f90";
pub(crate) const TEAM: &str = "833fc4df-c88b-4398-992f-d8afcfe41df2";
pub(crate) const ORGANIZATION: &str = "94a356ab-53d5-40e7-8a85-053d6d3b9eb3";
pub(crate) const VIEW: &str = "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e";
pub(crate) const GOALS: &str = "/beta/employeeExperience/goals/exportJobs";
const START: i64 = 1_767_225_600;

pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) client: Client,
    seconds: Arc<AtomicI64>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        let mut options = Options::new(clock(&seconds));
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, options).await.unwrap();
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .unwrap();
        Self {
            simulator,
            client,
            seconds,
        }
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Sends a request; `path` may be a whole URL.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&str>,
    ) -> Result<Reply, reqwest::Error> {
        let headers = [("content-type", "application/json")];
        let headers = if body.is_some() { &headers[..] } else { &[] };
        self.send_with(method, path, token, body, headers).await
    }

    /// Sends a request with these headers besides.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Reply, reqwest::Error> {
        let url = if path.starts_with('/') {
            format!("{}{path}", self.simulator.base_url())
        } else {
            path.to_owned()
        };
        let mut request = self.client.request(method, url);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let text = |value: &reqwest::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        Ok(Reply {
            status: response.status().as_u16(),
            headers,
            text: String::from_utf8(response.bytes().await?.to_vec()).unwrap(),
        })
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.send(Method::GET, path, token, None).await.unwrap()
    }

    /// A GET as a client sends it that takes the newer words of enumerations.
    pub(crate) async fn look(&self, path: &str, token: &str) -> Reply {
        let headers = [("prefer", "include-unknown-enum-members")];
        let sent = self.send_with(Method::GET, path, token, None, &headers);
        sent.await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &str) -> Reply {
        self.send(Method::POST, path, token, Some(body))
            .await
            .unwrap()
    }

    pub(crate) async fn put(&self, path: &str, token: &str, body: &str) -> Reply {
        self.send(Method::PUT, path, token, Some(body))
            .await
            .unwrap()
    }

    /// One answer of the token endpoint.
    pub(crate) async fn grant(&self, form: &str) -> Reply {
        let url = format!("{}/contoso/oauth2/v2.0/token", self.simulator.base_url());
        let request = self.client.post(url).body(form.to_owned());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.send().await.unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: Vec::new(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn application(&self) -> String {
        let form = "grant_type=client_credentials&client_id=c&client_secret=s&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default";
        self.grant(form).await.string("/access_token")
    }

    pub(crate) async fn delegated(&self) -> String {
        let form = "grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=first";
        self.grant(form).await.string("/access_token")
    }

    pub(crate) async fn start_export(&self, token: &str, container: &str) -> Reply {
        self.post(&export_path(), token, &storage(container)).await
    }

    pub(crate) async fn start_goals(&self, token: &str) -> Reply {
        self.post(GOALS, token, &goals_body()).await
    }

    pub(crate) async fn put_schedule(&self, token: &str) -> Reply {
        self.put(&schedule_path(), token, SCHEDULE).await
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The text at a JSON pointer.
    pub(crate) fn string(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("no {pointer} in {json}"))
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.headers.iter().filter(|(key, _)| key == name);
        headers.map(|(_, value)| value.as_str()).collect()
    }

    /// The Location without the quotes it may come in.
    pub(crate) fn location(&self) -> String {
        self.header("location")
            .unwrap()
            .trim_matches('"')
            .to_owned()
    }
}

pub(crate) const SCHEDULE: &str = r#"{"enabled":true,"timeZone":"America/Chicago"}"#;

pub(crate) fn clock(seconds: &Arc<AtomicI64>) -> Clock {
    let seconds = Arc::clone(seconds);
    Arc::new(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap())
}

pub(crate) fn still() -> Clock {
    clock(&Arc::new(AtomicI64::new(START)))
}

pub(crate) fn export_path() -> String {
    format!("/v1.0/users/{USER}/exportPersonalData")
}

pub(crate) fn schedule_path() -> String {
    format!("/v1.0/teams/{TEAM}/schedule")
}

pub(crate) fn storage(container: &str) -> String {
    let url = format!(
        "https://contoso.blob.core.windows.net/{container}?sv=2022-11-02&sr=c&sp=acw&se=2027-01-01T00%3A00%3A00Z&sig=c2VjcmV0"
    );
    format!(r#"{{"storageLocation":"{url}"}}"#)
}

pub(crate) fn goals_body() -> String {
    format!(r#"{{"goalsOrganizationId":"{ORGANIZATION}","explorerViewId":"{VIEW}"}}"#)
}
