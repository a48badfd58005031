//! What the demo shows: each operation from request to verified callback, told by its history, by Graph's journal and
//! by the receiver.

use std::time::Duration;

use anyhow::{Context, bail};
use courier_core::time::Clock;
use graph_simulator::Simulator;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::demo::API_KEY;
use crate::receiver::Callback;
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
    document: Value,
    verified: bool,
}

pub(crate) struct Show {
    pub(crate) timeline: Timeline,
    pub(crate) clock: Clock,
    pub(crate) api: String,
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
        let client = reqwest::Client::builder().no_proxy().build()?;
        let began = tokio::time::Instant::now();
        for (name, call, body) in requests {
            let shown = self.request(&client, name, call, &body).await?;
            self.operations.push(shown);
        }
        while began.elapsed() < LONGEST && !self.operations.iter().all(Shown::is_over) {
            let mut lines = Vec::new();
            tokio::select! {
                Some(callback) = callbacks.recv() => lines.push(self.callback_line(&callback)?),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            lines.extend(self.poll_lines());
            for shown in &mut self.operations {
                lines.extend(shown.history_lines(&client, &self.api).await?);
            }
            self.timeline.show(lines)?;
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
        let sent = self.line(name, Colour::Plain, "→ POST /v1/operations".to_owned());
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
        let answered = self.line(name, Colour::Plain, format!("← {status}, {id}"));
        let mut shown = Shown {
            name,
            call,
            id: id.to_owned(),
            history: 0,
            document,
            verified: false,
        };
        let mut lines = vec![sent];
        lines.extend(shown.history_lines(client, &self.api).await?);
        lines.push(answered);
        self.timeline.show(lines)?;
        Ok(shown)
    }

    fn line(&self, operation: &'static str, colour: Colour, text: String) -> Line {
        Line {
            at: (self.clock)(),
            operation,
            colour,
            text,
        }
    }

    fn callback_line(&mut self, callback: &Callback) -> anyhow::Result<Line> {
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
        let text = format!("called back {}: {verdict}", callback.kind);
        Ok(Line {
            at: callback.at,
            operation: shown.name,
            colour,
            text,
        })
    }

    fn poll_lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for entry in self.simulator.journal_since(self.seen) {
            self.seen = entry.seq;
            let Some((call, "poll")) = entry.call.split_once('.') else {
                continue;
            };
            let Some(shown) = self.operations.iter().find(|shown| shown.call == call) else {
                continue;
            };
            let text = format!("asked Graph: {} {}", entry.method, entry.path);
            lines.push(Line {
                at: entry.at,
                operation: shown.name,
                colour: Colour::Dim,
                text,
            });
        }
        lines
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
        Ok(self.timeline.say(&format!("\n{verdict}"))?)
    }
}

impl Shown {
    /// What has happened since the last look.
    async fn history_lines(
        &mut self,
        client: &reqwest::Client,
        api: &str,
    ) -> anyhow::Result<Vec<Line>> {
        let url = format!("{api}/v1/operations/{}", self.id);
        let get = |url: String| client.get(url).header("x-api-key", API_KEY).send();
        self.document = serde_json::from_slice(&get(url.clone()).await?.bytes().await?)?;
        let history = get(format!("{url}/history")).await?.bytes().await?;
        let history: Value = serde_json::from_slice(&history)?;
        let entries = history["history"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut lines = Vec::new();
        for entry in entries.iter().skip(self.history) {
            let (colour, text) = describe(entry);
            let at = entry["at"].as_str().unwrap_or_default().parse()?;
            lines.push(Line {
                at,
                operation: self.name,
                colour,
                text,
            });
        }
        self.history = entries.len();
        Ok(lines)
    }

    fn is_over(&self) -> bool {
        self.verified && self.document["callback"]["status"] == "delivered"
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
        other => (Colour::Plain, other.to_owned()),
    }
}
