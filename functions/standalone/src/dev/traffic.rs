//! The requests of `courier dev`: what a service desk asks for in a day, and what goes wrong with some of it.

use anyhow::{Context, bail};
use graph_simulator::{Action, Declared, Fault, Simulator};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// One request for each operation; `{n}` becomes twelve digits.
const REQUESTS: &str = include_str!("requests.json");

pub(crate) struct Traffic<'a> {
    pub(crate) simulator: &'a Simulator,
    pub(crate) client: reqwest::Client,
    /// The root URL of the API.
    pub(crate) origin: String,
    pub(crate) key: &'static str,
    /// The root URL of the receiver.
    pub(crate) receiver: String,
    templates: Vec<Value>,
    /// Requests that were sent so far.
    sent: usize,
}

impl<'a> Traffic<'a> {
    pub(crate) fn new(
        simulator: &'a Simulator,
        (origin, key): (String, &'static str),
        receiver: String,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            simulator,
            client: reqwest::Client::builder().no_proxy().build()?,
            origin,
            key,
            receiver,
            templates: serde_json::from_str(REQUESTS).context("requests.json")?,
            sent: 0,
        })
    }

    /// Returns the names of the operations that are asked for.
    pub(crate) fn operations() -> anyhow::Result<Vec<String>> {
        let templates: Vec<Value> = serde_json::from_str(REQUESTS).context("requests.json")?;
        let names = templates.iter().filter_map(|one| one["operation"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Returns how many operations are open, up to 200.
    pub(crate) async fn count_open(&self, key: &str) -> anyhow::Result<usize> {
        let url = format!("{}/v1/operations?status=open&limit=200", self.origin);
        let answer = self.client.get(url).header("x-api-key", key).send().await?;
        let page: Value = serde_json::from_slice(&answer.bytes().await?)?;
        Ok(page["operations"].as_array().map_or(0, Vec::len))
    }

    /// Sends the next request. Each third job ends in another way than the ordinary one, and each fifth receiver is down.
    pub(crate) async fn send_next(&mut self) -> anyhow::Result<()> {
        let number = self.sent;
        self.sent += 1;
        let template = &self.templates[number % self.templates.len()];
        let text = template
            .to_string()
            .replace("{n}", &format!("{number:012}"));
        let mut body: Value = serde_json::from_str(&text)?;
        let name = body["operation"].as_str().unwrap_or_default().to_owned();
        let path = if number % 5 == 3 {
            "down"
        } else {
            "hooks/graph"
        };
        body["reference"] = format!("DEV-{}", number + 1).into();
        body["callback"] = json!({ "url": format!("{}/{path}", self.receiver) });
        let is_odd = number % 3 == 2;
        if is_odd {
            self.disturb(&name, number)?;
        }
        let request = self.client.post(format!("{}/v1/operations", self.origin));
        let request = request
            .header("x-api-key", self.key)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        if is_odd {
            self.calm(&name)?;
        }
        if status.is_client_error() && status != StatusCode::UNPROCESSABLE_ENTITY {
            bail!("{name} was refused with {status}: {}", answer.text().await?);
        }
        Ok(())
    }

    /// Has the next job of this operation end in another way, or its start go unanswered.
    fn disturb(&self, name: &str, number: usize) -> anyhow::Result<()> {
        if name == "user.exportPersonalData" {
            self.simulator
                .script(Fault::new("export.start", Action::LostAfter));
            return Ok(());
        }
        let shipped = Declared::shipped();
        let declared = shipped.iter().find(|one| one.name() == name);
        let ends: Vec<&str> = declared.iter().flat_map(|one| one.ends()).collect();
        if let Some(end) = ends.get(number / 3 % ends.len().max(1)) {
            self.simulator.set_variant(name, end)?;
        }
        Ok(())
    }

    fn calm(&self, name: &str) -> anyhow::Result<()> {
        if name != "user.exportPersonalData" {
            self.simulator.set_variant(name, "ordinary")?;
        }
        Ok(())
    }
}
