//! The demo's output: each operation from request to verified callback, by its history, Graph's journal and
//! the receiver.

use std::time::Duration;

use anyhow::{Context, bail};
use courier_core::time::Clock;
use graph_simulator::Simulator;
use http::StatusCode;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::receiver::Callback;
use crate::story::{Entry, Heard, Story, interleave};
use crate::timeline::{Colour, Line, Timeline};

/// The demo ends after this, whatever is missing.
const LONGEST: Duration = Duration::from_secs(28);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One operation of the demo and what of it has been shown.
pub(crate) struct Shown {
    name: &'static str,
    /// The simulator's word for it.
    call: &'static str,
    id: String,
    history: usize,
    story: Story,
    document: Value,
    verified: bool,
    /// The event that it has ended has come too.
    announced: bool,
}

/// The HTTP API of the demo, as its requester sees it.
pub(crate) struct Api {
    client: reqwest::Client,
    pub(crate) origin: String,
    key: &'static str,
}

pub(crate) struct Show {
    pub(crate) timeline: Timeline,
    pub(crate) clock: Clock,
    pub(crate) api: Api,
    pub(crate) simulator: Simulator,
    /// The last journal entry shown.
    pub(crate) seen: u64,
    pub(crate) operations: Vec<Shown>,
}

impl Show {
    /// Sends the three requests and shows what happens until all three are called back, or time is up.
    pub(crate) async fn watch(
        &mut self,
        requests: [(&'static str, &'static str, Value); 3],
        callbacks: &mut mpsc::UnboundedReceiver<Callback>,
    ) -> anyhow::Result<bool> {
        let began = tokio::time::Instant::now();
        for (name, call, body) in requests {
            let lines = self.request(name, call, &body).await?;
            self.timeline.show(lines)?;
        }
        while began.elapsed() < LONGEST && !self.operations.iter().all(Shown::is_over) {
            let arrived = tokio::select! {
                Some(callback) = callbacks.recv() => Some(callback),
                () = tokio::time::sleep(LOOK_EVERY) => None,
            };
            // The histories first: what caused their entries has been heard of by the time that it is asked for.
            let mut histories = Vec::new();
            for shown in &mut self.operations {
                histories.push(shown.history(&self.api).await?);
            }
            self.hear_polls();
            let more = std::iter::from_fn(|| callbacks.try_recv().ok());
            for callback in arrived.into_iter().chain(more) {
                self.hear_callback(&callback)?;
            }
            let operations = self.operations.iter_mut().zip(histories);
            let stories = operations.map(|(shown, history)| shown.story.tell(history));
            self.timeline.show(interleave(stories.collect()))?;
        }
        Ok(self.operations.iter().all(Shown::is_well))
    }

    /// Sends one request and returns what can be shown of it so far.
    async fn request(
        &mut self,
        name: &'static str,
        call: &'static str,
        body: &Value,
    ) -> anyhow::Result<Vec<Line>> {
        let is_event = body.get("specversion").is_some();
        let form = if is_event { " as a CloudEvent" } else { "" };
        let sent = format!("→ POST /v1/operations{form}");
        let sent = self.line(name, Colour::Plain, sent);
        let (status, document) = self.api.post("/v1/operations", body, is_event).await?;
        let Some(id) = document["id"].as_str() else {
            bail!("{name} was refused with {status}: {document}");
        };
        let answered = self.line(name, Colour::Plain, format!("← {status}, {id}"));
        let mut shown = Shown {
            name,
            call,
            id: id.to_owned(),
            history: 0,
            story: Story::default(),
            document,
            verified: false,
            announced: false,
        };
        shown.story.hear(Heard::Answer, answered);
        let history = shown.history(&self.api).await?;
        self.operations.push(shown);
        self.hear_polls();
        let mut lines = vec![sent];
        if let Some(shown) = self.operations.last_mut() {
            lines.extend(shown.story.tell(history));
        }
        Ok(lines)
    }

    fn line(&self, operation: &'static str, colour: Colour, text: String) -> Line {
        Line {
            at: (self.clock)(),
            operation,
            colour,
            text,
        }
    }

    fn hear_callback(&mut self, callback: &Callback) -> anyhow::Result<()> {
        let found = self
            .operations
            .iter_mut()
            .find(|shown| shown.id == callback.operation);
        let shown = found.context("a callback came for an operation nobody asked for")?;
        let is_event = callback.kind.starts_with("io.graph-courier.");
        let seen = if is_event {
            &mut shown.announced
        } else {
            &mut shown.verified
        };
        *seen = callback.verified;
        let (colour, verdict) = if callback.verified {
            (Colour::Good, "signature verified")
        } else {
            (Colour::Bad, "SIGNATURE WRONG")
        };
        let (heard, how) = if is_event {
            (Heard::Announcement, "told by event")
        } else {
            (Heard::Callback, "called back")
        };
        let text = format!("{how} {}: {verdict}", callback.kind);
        let line = Line {
            at: callback.at,
            operation: shown.name,
            colour,
            text,
        };
        shown.story.hear(heard, line);
        Ok(())
    }

    fn hear_polls(&mut self) {
        for entry in self.simulator.journal_since(self.seen) {
            self.seen = entry.seq;
            let Some((call, "poll")) = entry.call.split_once('.') else {
                continue;
            };
            let mut operations = self.operations.iter_mut();
            let Some(shown) = operations.find(|shown| shown.call == call) else {
                continue;
            };
            let text = format!("asked Graph: {} {}", entry.method, entry.path);
            let line = Line {
                at: entry.at,
                operation: shown.name,
                colour: Colour::Dim,
                text,
            };
            shown.story.hear(Heard::Poll, line);
        }
    }

    pub(crate) fn conclude(&self, all_well: bool) -> anyhow::Result<()> {
        self.timeline.say("")?;
        let mut lines = Vec::new();
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
            lines.push(self.line(shown.name, colour, text));
        }
        self.timeline.show(lines)?;
        let verdict = if all_well {
            self.timeline.paint("1;32", "All three ended as expected.")
        } else {
            self.timeline
                .paint("1;31", "Not all three ended as expected.")
        };
        self.timeline.say(&format!("\n{verdict}"))
    }
}

impl Api {
    pub(crate) fn new(origin: String, key: &'static str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            client,
            origin,
            key,
        })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.client.get(format!("{}{path}", self.origin));
        let answer = request.header("x-api-key", self.key).send().await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// Sends a request, which may be one in the form of a CloudEvent.
    async fn post(
        &self,
        path: &str,
        body: &Value,
        is_event: bool,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let media_type = if is_event {
            "application/cloudevents+json"
        } else {
            "application/json"
        };
        let request = self
            .client
            .post(format!("{}{path}", self.origin))
            .header("x-api-key", self.key)
            .header("content-type", media_type)
            // Whoever sends an event gets no document unless he asks for it.
            .header("prefer", "return=representation")
            .body(body.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, serde_json::from_slice(&answer.bytes().await?)?))
    }
}

impl Shown {
    /// Reads the operation and returns what is new in its history.
    async fn history(&mut self, api: &Api) -> anyhow::Result<Vec<Entry>> {
        let path = format!("/v1/operations/{}", self.id);
        self.document = api.get(&path).await?;
        let history = api.get(&format!("{path}/history")).await?;
        let entries = history["history"].as_array();
        let entries = entries.map(Vec::as_slice).unwrap_or_default();
        let mut told = Vec::new();
        for entry in entries.iter().skip(self.history) {
            let (colour, text) = describe(entry);
            let event = entry["event"].as_str().unwrap_or_default();
            let line = Line {
                at: entry["at"].as_str().unwrap_or_default().parse()?,
                operation: self.name,
                colour,
                text,
            };
            told.push((event.to_owned(), line));
        }
        self.history = entries.len();
        Ok(told)
    }

    fn is_over(&self) -> bool {
        self.verified && self.announced && self.document["callback"]["status"] == "delivered"
    }

    fn is_well(&self) -> bool {
        self.is_over() && self.document["status"] == "succeeded"
    }
}

/// One entry of the history in plain words.
fn describe(entry: &Value) -> (Colour, String) {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    match text("event") {
        "accepted" => (Colour::Plain, "accepted: the request is on disk".to_owned()),
        "startClaimed" => (Colour::Plain, format!("start claimed, {}", text("detail"))),
        "started" => {
            let id = text("requestId");
            (
                Colour::Plain,
                format!("started: Graph's URL is stored (request-id {id})"),
            )
        }
        "statusChanged" => (Colour::Plain, format!("Graph says {}", text("detail"))),
        "ended" => (Colour::Good, format!("ended: {}", text("status"))),
        "callbackAttempt" => (
            Colour::Plain,
            format!("receiver said {}", entry["httpStatus"]),
        ),
        "announcementAttempt" => (
            Colour::Plain,
            format!("receiver of events said {}", entry["httpStatus"]),
        ),
        other => (Colour::Plain, other.to_owned()),
    }
}
