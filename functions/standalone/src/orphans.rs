//! What a configuration would leave behind in a data file: operations and sealed data that it knows nothing of.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use courier_core::config::Config;
use courier_core::crypto::seal::Sealed;
use courier_core::graph::foreign;
use courier_core::operation::{Record, SealedField, State};
use courier_local::DataFile;

/// What the findings say whose data no key opens.
pub(crate) const NO_SEAL_KEY: &str = "no configured seal key opens";

/// The findings, each with the number of operations or documents that it is about.
#[derive(Default)]
pub(crate) struct Orphans {
    pub(crate) open: u64,
    /// What waits until the configuration knows it again.
    pub(crate) orphaned: BTreeMap<String, u64>,
    /// What is lost only if somebody asks for it again.
    pub(crate) warnings: BTreeMap<String, u64>,
}

/// Reads the data file in `data` and changes nothing.
pub(crate) fn find(config: &Config, data: &Path) -> anyhow::Result<Orphans> {
    let path = data.join("courier.db");
    anyhow::ensure!(path.exists(), "there is no data file {}", path.display());
    let file = DataFile::open(&path)?;
    let mut orphans = Orphans::default();
    file.visit_records(|record| match record {
        Ok(record) => orphans.record(config, &record),
        Err(_) => orphans.orphan("operations whose record cannot be read"),
    })?;
    file.visit_documents(|key, body| orphans.document(config, &key, &body))
        .context("the documents cannot be read")?;
    Ok(orphans)
}

impl Orphans {
    fn record(&mut self, config: &Config, record: &Record) {
        let opens = |field: SealedField, sealed: &Sealed| {
            let place = field.seal_context(&record.id);
            config.sealer.open(&place, sealed).is_ok()
        };
        let callback = record.callback.as_ref();
        let callback_opens = callback.is_none_or(|callback| {
            let token = callback.token.as_ref();
            opens(SealedField::CallbackUrl, &callback.url)
                && token.is_none_or(|token| opens(SealedField::TaskToken, token))
        });
        if matches!(record.state, State::Closed { .. }) {
            if !callback_opens {
                let text =
                    "closed operations whose completion no configured seal key could deliver again";
                *self.warnings.entry(text.to_owned()).or_default() += 1;
            }
            return;
        }
        self.open += 1;
        if !callback_opens {
            self.orphan("open operations whose callback no configured seal key opens");
        }
        let parameters = record.sealed_parameters.as_ref();
        if !parameters.is_none_or(|sealed| opens(SealedField::Parameters, sealed)) {
            self.orphan("open operations whose parameters no configured seal key opens");
        }
        let monitor = foreign::sealed_monitor(record);
        if !monitor.is_none_or(|sealed| opens(SealedField::Monitor, &sealed)) {
            self.orphan("open operations whose monitor no configured seal key opens");
        }
        let secrets = record.sealed_result.iter().flatten();
        let mut secrets =
            secrets.filter_map(|(_, secret)| serde_json::from_value::<Sealed>(secret.clone()).ok());
        if !secrets.all(|sealed| opens(SealedField::Result, &sealed)) {
            self.orphan("open operations whose secrets no configured seal key opens");
        }
        if config.catalogue.find(&record.operation).is_none() {
            let name = &record.operation;
            self.orphan(&format!(
                "open operations of {name}, which is not in the catalogue"
            ));
        }
        let announcement = record.announcement.as_ref();
        let is_pending = announcement.is_some_and(|one| one.settled.is_none());
        if is_pending && config.events.is_none() {
            self.orphan("open operations whose end is still to be announced, for which [events] is not configured");
        }
        let needs_graph = record.state.outcome().is_none();
        if needs_graph && !config.graph.tenants.contains_key(&record.tenant) {
            let name = &record.tenant;
            self.orphan(&format!(
                "open operations in graph.tenants.{name}, which is not configured"
            ));
        }
        let Some(client) = config.clients.get(&record.client) else {
            let name = &record.client;
            self.orphan(&format!(
                "open operations of clients.{name}, which is not configured"
            ));
            return;
        };
        let profile = callback.and_then(|callback| callback.profile.as_ref());
        if let Some(name) = profile.filter(|name| !client.profiles.all.contains_key(*name)) {
            let client = &client.name;
            self.orphan(&format!(
                "open operations with the callback profile {name}, which clients.{client} does not have"
            ));
        }
    }

    /// Checks the sealed texts of a document, which are fields of a JSON object.
    fn document(&mut self, config: &Config, key: &str, body: &str) {
        let fields: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(body).unwrap_or_default();
        for name in ["key", "token"] {
            let sealed = fields.get(name).cloned();
            let sealed = sealed.and_then(|value| serde_json::from_value::<Sealed>(value).ok());
            if sealed.is_some_and(|sealed| config.sealer.open(key, &sealed).is_err()) {
                self.orphan(&format!(
                    "document {key}, which no configured seal key opens"
                ));
            }
        }
    }

    fn orphan(&mut self, text: &str) {
        *self.orphaned.entry(text.to_owned()).or_default() += 1;
    }
}
