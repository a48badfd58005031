//! `courier demo`: simulator, receiver and server on loopback, three operations through the real HTTP API, each shown
//! from request to verified callback.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use courier_core::catalogue::Catalogue;
use courier_core::config::{Config, SecretReference};
use courier_core::secret::Secret;
use courier_core::webhook::{self, SigningSecret};
use courier_local::listener::{self, Limits};
use graph_simulator::{Options, Simulator};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::machine::Machine;
use crate::timeline::{Colour, Timeline};
use crate::{serve, settings};

const API_KEY: &str = "demo";
/// SHA-256 of [`API_KEY`].
const API_KEY_HASH: &str = "2a97516c354b68848cdbd8f54a226a0a55b21ed138e207ad6c5cbb9c00aa5aea";
const SIGNING_SECRET: &str = "whsec_ZGVtby1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy4=";
/// `--once` ends after this, whatever is missing.
const LONGEST: Duration = Duration::from_secs(28);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn run(once: bool) -> anyhow::Result<ExitCode> {
    let timeline = Timeline::new();
    let (stop, stopped) = watch::channel(false);
    let simulator = simulator().await?;
    let (receiver, mut callbacks) = receiver(stopped).await?;
    let data = tempfile::tempdir()?;
    let config = config(&simulator.base_url(), receiver)?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let machine = Machine::start(config, data.path(), listen, settings::clock()).await?;
    let api = format!("http://{}", machine.address);
    timeline.say(&format!(
        "{}\n\n  API       {api}   (X-Api-Key: {API_KEY})\n  Graph     {}   simulated\n  receiver  http://{receiver}   verifies every signature\n",
        timeline.paint("1", "graph-courier: three Microsoft Graph operations, from request to callback"),
        simulator.base_url(),
    ))?;

    let mut show = Show {
        timeline,
        api,
        simulator,
        seen: 0,
        operations: Vec::new(),
    };
    let all_well = tokio::select! {
        watched = show.watch(receiver, &mut callbacks) => watched?,
        asked = serve::stop_asked() => { asked?; false }
    };
    show.conclude(all_well)?;
    if !once {
        show.timeline.say(&format!(
            "\nStill serving at {}. Ask it yourself, or end with Ctrl-C:\n\n  curl -H 'X-Api-Key: {API_KEY}' {}/v1/operations\n",
            show.api, show.api
        ))?;
        serve::stop_asked().await?;
    }
    machine.stop().await;
    stop.send_replace(true);
    show.simulator.stop().await;
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One operation of the demo and what of it has been shown.
struct Shown {
    name: &'static str,
    /// The simulator's word for it.
    call: &'static str,
    id: String,
    history: usize,
    document: Value,
    verified: bool,
}

struct Show {
    timeline: Timeline,
    api: String,
    simulator: Simulator,
    seen: u64,
    operations: Vec<Shown>,
}

impl Show {
    /// Sends the three requests and shows what happens until all three are called back, or time is up.
    async fn watch(
        &mut self,
        receiver: SocketAddr,
        callbacks: &mut mpsc::UnboundedReceiver<Callback>,
    ) -> anyhow::Result<bool> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let began = tokio::time::Instant::now();
        for (name, call, body) in requests(receiver) {
            let shown = self.request(&client, name, call, &body).await?;
            self.operations.push(shown);
        }
        while began.elapsed() < LONGEST && !self.operations.iter().all(Shown::is_over) {
            tokio::select! {
                Some(callback) = callbacks.recv() => self.show_callback(&callback)?,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.show_polls()?;
            for index in 0..self.operations.len() {
                self.show_history(&client, index).await?;
            }
        }
        Ok(self.operations.iter().all(Shown::is_well))
    }

    async fn request(
        &self,
        client: &reqwest::Client,
        name: &'static str,
        call: &'static str,
        body: &Value,
    ) -> anyhow::Result<Shown> {
        self.timeline
            .event(name, Colour::Plain, "→ POST /v1/operations")?;
        let answer = client
            .post(format!("{}/v1/operations", self.api))
            .header("x-api-key", API_KEY)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        let status = answer.status();
        let document: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let Some(id) = document["id"].as_str() else {
            bail!("{name} was refused with {status}: {document}");
        };
        self.timeline
            .event(name, Colour::Plain, &format!("← {status}, {id}"))?;
        Ok(Shown {
            name,
            call,
            id: id.to_owned(),
            history: 0,
            document,
            verified: false,
        })
    }

    fn show_callback(&mut self, callback: &Callback) -> anyhow::Result<()> {
        let found = self
            .operations
            .iter_mut()
            .find(|shown| shown.id == callback.operation);
        let shown = found.context("a callback came for an operation nobody asked for")?;
        shown.verified = callback.verified;
        let (colour, verdict) = if callback.verified {
            (Colour::Good, "signature verified")
        } else {
            (Colour::Bad, "SIGNATURE WRONG")
        };
        let text = format!("callback {}: {verdict}", callback.kind);
        Ok(self.timeline.event(shown.name, colour, &text)?)
    }

    fn show_polls(&mut self) -> anyhow::Result<()> {
        for entry in self.simulator.journal_since(self.seen) {
            self.seen = entry.seq;
            let Some((call, "poll")) = entry.call.split_once('.') else {
                continue;
            };
            if let Some(shown) = self.operations.iter().find(|shown| shown.call == call) {
                let text = format!("asked Graph: {} {}", entry.method, entry.path);
                self.timeline.event(shown.name, Colour::Dim, &text)?;
            }
        }
        Ok(())
    }

    async fn show_history(&mut self, client: &reqwest::Client, index: usize) -> anyhow::Result<()> {
        let shown = &mut self.operations[index];
        let url = format!("{}/v1/operations/{}", self.api, shown.id);
        let get = |url: String| client.get(url).header("x-api-key", API_KEY).send();
        let history = get(format!("{url}/history")).await?.bytes().await?;
        let history: Value = serde_json::from_slice(&history)?;
        let entries = history["history"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for entry in entries.iter().skip(shown.history) {
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            let mut line = match text("event") {
                "accepted" => "accepted: the request is on disk".to_owned(),
                "startClaimed" => "start claimed".to_owned(),
                "started" => "started: Graph accepted, the URL to poll is stored".to_owned(),
                "statusChanged" => format!("Graph says {}", text("detail")),
                "ended" => format!("ended: {}", text("status")),
                "callbackAttempt" => format!("receiver answered {}", entry["httpStatus"]),
                other => other.to_owned(),
            };
            if matches!(text("event"), "started") && !text("requestId").is_empty() {
                line.push_str(&format!(" (request-id {})", text("requestId")));
            }
            let colour = if text("event") == "ended" {
                Colour::Good
            } else {
                Colour::Plain
            };
            self.timeline.event(shown.name, colour, &line)?;
        }
        shown.history = entries.len();
        shown.document = serde_json::from_slice(&get(url).await?.bytes().await?)?;
        Ok(())
    }

    fn conclude(&self, all_well: bool) -> anyhow::Result<()> {
        self.timeline.say("")?;
        for shown in &self.operations {
            let word = shown.document["status"].as_str().unwrap_or_default();
            let callback = if shown.verified {
                "called back, verified"
            } else {
                "not called back"
            };
            let polls = &shown.document["graph"]["polls"];
            let colour = if shown.is_well() {
                Colour::Good
            } else {
                Colour::Bad
            };
            let text = format!("{word}, {callback}, {polls} poll(s)");
            self.timeline.event(shown.name, colour, &text)?;
        }
        let verdict = if all_well {
            self.timeline.paint("1;32", "All three ended as expected.")
        } else {
            self.timeline
                .paint("1;31", "Not all three ended as expected.")
        };
        Ok(self.timeline.say(&format!("\n{verdict}"))?)
    }
}

impl Shown {
    fn is_over(&self) -> bool {
        self.verified && self.document["callback"]["status"] == "delivered"
    }

    fn is_well(&self) -> bool {
        self.is_over() && self.document["status"] == "succeeded"
    }
}

fn requests(receiver: SocketAddr) -> [(&'static str, &'static str, Value); 3] {
    let callback = json!({ "url": format!("http://{receiver}/hooks/graph") });
    let sas = "https://contoso.blob.core.windows.net/dsar-0012345?sv=2024-11-04&sr=c&sp=acw&se=2199-01-01T00:00:00Z&sig=ZGVtbw%3D%3D";
    [
        (
            "user.exportPersonalData",
            "export",
            json!({
                "operation": "user.exportPersonalData",
                "parameters": {
                    "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
                    "storageLocation": sas,
                },
                "callback": callback,
                "reference": "RITM0012345",
            }),
        ),
        (
            "goals.exportJob",
            "goals",
            json!({
                "operation": "goals.exportJob",
                "parameters": {
                    "goalsOrganizationId": "94a356ab-53d5-40e7-8a85-053d6d3b9eb3",
                    "explorerViewId": "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e",
                },
                "callback": callback,
            }),
        ),
        (
            "team.schedule",
            "schedule",
            json!({
                "operation": "team.schedule",
                "parameters": {
                    "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50",
                    "schedule": { "enabled": true, "timeZone": "America/Chicago" },
                },
                "callback": callback,
            }),
        ),
    ]
}

/// Graph in a hurry: minutes and weeks become seconds.
async fn simulator() -> anyhow::Result<Simulator> {
    let mut options = Options::new(settings::clock());
    options.durations.export_seconds = 5.0;
    options.durations.goals_seconds = 3.5;
    options.durations.schedule_seconds = 2.0;
    let second = Some("1".to_owned());
    let behaviour = &mut options.behaviour;
    behaviour.export.retry_after_start.clone_from(&second);
    behaviour.export.retry_after_poll.clone_from(&second);
    behaviour.goals.retry_after_start.clone_from(&second);
    behaviour.goals.retry_after_poll.clone_from(&second);
    behaviour.schedule.retry_after_start.clone_from(&second);
    behaviour.schedule.retry_after_poll = second;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(Simulator::start(listener, options).await?)
}

/// The same document as in production, with hosts on loopback.
fn config(graph: &str, receiver: SocketAddr) -> anyhow::Result<Config> {
    let text = format!(
        r#"
        [graph]
        base_url = "{graph}"
        login_url = "{graph}"
        [graph.tenants.demo]
        tenant_id = "demo"
        client_id = "demo"
        client_secret = "env:SECRET"
        refresh_token = "env:SECRET"
        [clients.demo]
        tenant = "demo"
        api_keys = ["sha256:{API_KEY_HASH}"]
        operations = ["user.exportPersonalData", "goals.exportJob", "team.schedule"]
        callback_origins = ["http://{receiver}"]
        signing_secrets = ["env:WHSEC"]
        [seal]
        key = "env:SEAL_KEY"
        [callbacks]
        allow_networks = ["127.0.0.0/8"]
        "#
    );
    let resolve = |reference: &SecretReference| match reference {
        SecretReference::Env(name) if name == "WHSEC" => Ok(Secret::new(SIGNING_SECRET)),
        SecretReference::Env(name) if name == "SEAL_KEY" => {
            Ok(Secret::new("ZGVtby1zZWFsaW5nLWtleS1vZi0zMi1ieXRlcy4uLi4="))
        }
        SecretReference::Env(_) | SecretReference::File(_) | SecretReference::AwsSecret { .. } => {
            Ok(Secret::new("demo"))
        }
    };
    Ok(Config::parse(&text, &Catalogue::shipped(), &resolve)?)
}

/// What the receiver made of one callback.
struct Callback {
    operation: String,
    kind: String,
    verified: bool,
}

/// The requester's side: verifies and reports.
async fn receiver(
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, mpsc::UnboundedReceiver<Callback>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let secret = SigningSecret::parse(&Secret::new(SIGNING_SECRET)).map_err(anyhow::Error::msg)?;
    let secret = Arc::new([secret]);
    let (sender, callbacks) = mpsc::unbounded_channel();
    let clock = settings::clock();
    let handle = move |request: Request<Bytes>| {
        let callback = judge(&request, secret.as_slice(), clock());
        let status = if callback.verified {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::UNAUTHORIZED
        };
        // The demo may be over: then nobody listens.
        let _ = sender.send(callback);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        async move { response }
    };
    tokio::spawn(listener::serve(
        listener,
        Limits::default(),
        handle,
        stopped,
    ));
    Ok((address, callbacks))
}

/// Standard Webhooks 1.0, "Verifying webhook authenticity": signature and a timestamp within five minutes.
fn judge(request: &Request<Bytes>, secret: &[SigningSecret], now: Timestamp) -> Callback {
    let header = |name: &str| {
        let value = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let seconds: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let timestamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let expected = webhook::sign(secret, header("webhook-id"), timestamp, request.body());
    let fresh = now.as_second().abs_diff(seconds) <= 300;
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    Callback {
        operation: body["data"]["id"].as_str().unwrap_or_default().to_owned(),
        kind: body["type"].as_str().unwrap_or_default().to_owned(),
        verified: fresh
            && header("webhook-signature")
                .split(' ')
                .any(|one| one == expected),
    }
}
