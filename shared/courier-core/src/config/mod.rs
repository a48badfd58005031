//! The configuration document, parsed once. Every mistake is reported, each with the name of its key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::de::DeTable;
use url::Url;

use crate::catalogue::Catalogue;
use crate::crypto::evidence_keys::EvidenceKeys;
use crate::crypto::seal::Sealer;
use crate::legal::Calendars;
use crate::outbound::address::Allowed;
use crate::outbound::proxy::Proxy;

mod ambiguity;
mod aws;
mod callback;
mod client;
pub mod credentials;
mod event_rules;
mod events;
mod evidence;
mod findings;
mod graph;
#[cfg(test)]
mod known_keys;
mod legal;
mod log_filter;
mod operator;
mod outbound;
mod own_operations;
mod profile_changes;
mod reader;
mod seal;
mod storage;
mod values;

use ambiguity::check_ambiguity;
pub use aws::{Aws, Sigv4};
pub use callback::{CallbackProfile, CallbackProfiles, ClientAuthentication, OAuth2, Proof};
pub use client::Client;
use client::{Context, MOST_REQUESTS, REQUESTS_PER_MINUTE, client};
pub use event_rules::EventRules;
use events::events;
pub use events::{EventBus, EventTarget, Events};
pub use findings::{ConfigErrors, Finding};
use findings::{Found, placed, syntax};
pub use graph::{GraphConfig, Tenant};
use graph::{WrittenGraph, graph};
pub use log_filter::log_filter_mistake;
pub use operator::Operator;
use operator::operator;
pub use own_operations::OwnOperations;
use reader::Reader;
pub use reader::Resolve;
pub use storage::Storage;

/// A valid configuration, in which every secret reference is resolved and every name is known.
pub struct Config {
    /// The operations that can be run: the shipped ones and the operator's own.
    pub catalogue: &'static Catalogue,
    pub graph: GraphConfig,
    pub clients: BTreeMap<String, Client>,
    pub operators: BTreeMap<String, Operator>,
    pub sealer: Sealer,
    /// The keys that sign evidence; `None` if none is made.
    pub evidence: Option<EvidenceKeys>,
    /// The networks in which receivers may be, besides public addresses.
    pub allowed: Arc<Allowed>,
    pub callbacks: Callbacks,
    /// Where events about operations go; `None` if nowhere.
    pub events: Option<Events>,
    /// The identity with which services of AWS are called.
    pub aws: Aws,
    /// The public holidays that legal clocks may name.
    pub calendars: Calendars,
    /// The proxy through which calls leave the network; `None` if they go straight.
    pub proxy: Option<Proxy>,
    /// The URL under which callers reach us, without a slash at its end: it stands in front of `/v1`.
    pub public_url: Option<String>,
    /// Default rate limit for clients that set none.
    pub requests_per_minute: u32,
    /// What is permitted but surely unwanted.
    pub warnings: Vec<Finding>,
    /// Time for which a record is kept after the end of its operation.
    pub retention: Duration,
}

/// Idempotency keys are promised for 30 days after the end.
const LEAST_RETENTION_DAYS: u32 = 30;
const MOST_RETENTION_DAYS: u32 = 3650;
const RETENTION_DAYS: u32 = 90;

/// The settings that apply to every receiver.
#[derive(Debug, Default)]
pub struct Callbacks {
    pub allow_networks: Vec<IpNet>,
    /// Limit of deliveries in flight to one receiver; the default is 20.
    pub in_flight_per_host: Option<u32>,
    /// Our DNS name in the CloudEvents handshake.
    pub origin: Option<String>,
    /// The absolute URI in `ce-source`; the default is made of the deployment's id.
    pub source: Option<String>,
    /// The history keeps how a receiver's answer begins.
    pub keep_answers: bool,
}

impl Config {
    /// Parses the document and resolves its secrets.
    pub fn parse(
        text: &str,
        catalogue: &'static Catalogue,
        resolve: Resolve<'_>,
    ) -> Result<Self, ConfigErrors> {
        Self::parse_on(text, catalogue, resolve, &Aws::default())
    }

    /// Parses the document as [`Config::parse`] does, on a host that has an identity of AWS of its own.
    pub fn parse_on(
        text: &str,
        catalogue: &'static Catalogue,
        resolve: Resolve<'_>,
        host: &Aws,
    ) -> Result<Self, ConfigErrors> {
        let failed = |found: Vec<Found>| ConfigErrors {
            document: None,
            mistakes: placed(text, found),
        };
        let (document, mistakes) = DeTable::parse_recoverable(text);
        if !mistakes.is_empty() {
            return Err(failed(syntax(&mistakes)));
        }
        let mut root = Reader::new("", 0, document.get_ref(), resolve);
        let public_url = root.public_url("public_url");
        let sealer = root.table("seal", seal::seal);
        let callbacks = root.optional_table("callbacks", callbacks);
        let (callbacks, allowed) = callbacks.unwrap_or_default();
        let proxy = root
            .optional_table("outbound", outbound::outbound)
            .flatten();
        let aws = root.optional_table("aws", |table| aws::aws(table, host));
        let aws = aws.unwrap_or_else(|| host.clone());
        let events = root
            .optional_table("events", |table| events(table, &allowed, &aws))
            .flatten();
        let evidence = root.optional_table("evidence", evidence::evidence);
        let calendars = root.optional_table("legal", legal::legal);
        let requests_per_minute = root
            .optional_table("limits", |limits| {
                limits.number(REQUESTS_PER_MINUTE, 1, MOST_REQUESTS)
            })
            .flatten()
            .unwrap_or(600);
        let days = root.optional_table("retention", |retention| {
            retention.number("days", LEAST_RETENTION_DAYS, MOST_RETENTION_DAYS)
        });
        let days = days.flatten().unwrap_or(RETENTION_DAYS);
        let mut written = WrittenGraph::default();
        // The host has read the directory already.
        let _ = root.optional_text("catalogue");
        let graph = root.table("graph", |table| graph(table, &mut written, catalogue));
        let context = Context {
            catalogue,
            graph: &written,
            allowed: &allowed,
            aws: &aws,
            requests_per_minute,
        };
        let mut clients = root.tables("clients", |name, table| Some(client(name, table, &context)));
        let tenants = graph.as_ref().map(|graph| &graph.tenants);
        for client in clients.values_mut() {
            let tenant = tenants.and_then(|tenants| tenants.get(&client.tenant));
            let storages = tenant.into_iter().flat_map(|tenant| tenant.storages.keys());
            client.storages = storages.cloned().collect();
        }
        if callbacks.origin.is_none()
            && clients.values().any(|client| client.profiles.shake_hands())
        {
            root.error("callbacks.origin", "is needed for handshake = true");
        }
        let operators = root.tables("operators", |name, table| {
            let limit = requests_per_minute;
            Some(operator(name, table, &clients, &allowed, limit))
        });
        check_ambiguity(&clients, &operators, &mut root);
        written.warn_of_unused(&clients, catalogue, &mut root);
        let (mistakes, warnings) = root.finish();
        match (graph, sealer) {
            (Some(graph), Some(sealer)) if mistakes.is_empty() => Ok(Self {
                catalogue,
                graph,
                clients,
                operators,
                sealer,
                evidence: evidence.flatten(),
                allowed: Arc::new(allowed),
                callbacks,
                events,
                aws,
                calendars: calendars.unwrap_or_default(),
                proxy,
                public_url,
                requests_per_minute,
                warnings: placed(text, warnings),
                retention: Duration::from_secs(u64::from(days) * 24 * 3600),
            }),
            _ => Err(failed(mistakes)),
        }
    }
}

/// Reads the table, and the networks by which the rest of the document is checked.
fn callbacks(table: &mut Reader<'_>) -> (Callbacks, Allowed) {
    let origin = table.optional_text("origin");
    if origin.as_deref().is_some_and(|name| !is_dns_name(name)) {
        table.error("origin", "must be a DNS name such as courier.example");
    }
    let source = table.optional_text("source");
    if source.as_deref().is_some_and(|uri| !is_absolute_uri(uri)) {
        table.error(
            "source",
            "must be an absolute URI such as https://courier.example",
        );
    }
    let allow_networks = table.networks("allow_networks");
    let in_flight_per_host = table.number("in_flight_per_host", 1, 10_000);
    if allow_networks
        .iter()
        .any(|network| network.prefix_len() == 0)
    {
        let text = "permits every address, that of this machine and of cloud metadata too";
        table.warn("allow_networks", text);
    }
    let is_certain = table.count_items("allow_networks") == allow_networks.len()
        && (table.has("allow_networks") || !table.has_or_means("allow_networks"));
    let networks = if is_certain {
        allow_networks.clone()
    } else {
        // A mistake in the networks must not make other addresses of the document look wrong.
        vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
    };
    let origin = match origin {
        // Something stands there, so it is not missing.
        None if table.has_or_means("origin") => Some(String::new()),
        origin => origin,
    };
    let callbacks = Callbacks {
        allow_networks,
        in_flight_per_host,
        origin,
        source,
        keep_answers: table.flag("keep_answers").unwrap_or(false),
    };
    (callbacks, Allowed { networks })
}

/// Reports whether a text may be a `ce-source` (CloudEvents 1.0, `source`): an absolute URI that identifies us.
fn is_absolute_uri(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    visible
        && Url::parse(text).is_ok_and(|url| url.username().is_empty() && url.password().is_none())
}

fn is_dns_name(name: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    name.bytes().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::{Secret, SecretReference};

    const GOOD: &str = r#"
        [graph]
        cloud = "global"
        [graph.tenants.contoso]
        tenant_id = "contoso.onmicrosoft.com"
        client_id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
        client_secret = "env:GRAPH_SECRET"
        refresh_token = "env:GRAPH_REFRESH"
        [clients.servicenow]
        tenant = "contoso"
        api_keys = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
        operations = ["user.exportPersonalData", "goals.exportJob"]
        callback_origins = ["https://contoso.service-now.com"]
        signing_secrets = ["env:WHSEC"]
        [seal]
        key = "env:SEAL"
        [callbacks]
        allow_networks = ["10.20.0.0/16"]
        [limits]
        requests_per_minute = 60
    "#;

    fn resolve(reference: &SecretReference) -> Result<Secret, String> {
        match reference {
            SecretReference::Env(name) if name == "SEAL" => {
                Ok(Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
            }
            SecretReference::Env(name) if name == "WHSEC" => {
                Ok(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
            }
            SecretReference::Env(name) if name.starts_with("GRAPH") => Ok(Secret::new("canary")),
            SecretReference::Env(name) => Err(format!("environment variable {name} is not set")),
            SecretReference::File(_) | SecretReference::AwsSecret { .. } => Err("no".to_owned()),
        }
    }

    fn errors(text: &str) -> Vec<String> {
        let parsed = Config::parse(text, Catalogue::shipped(), &resolve);
        parsed.err().unwrap().texts()
    }

    #[test]
    fn valid_configuration_is_read() {
        let config = Config::parse(GOOD, Catalogue::shipped(), &resolve).unwrap_or_else(|errors| {
            panic!("{errors}");
        });
        assert_eq!(
            config.graph.base_url.as_str(),
            "https://graph.microsoft.com/"
        );
        assert_eq!(config.clients["servicenow"].tenant, "contoso");
        assert_eq!(config.requests_per_minute, 60);
        assert_eq!(config.retention.as_secs(), 90 * 24 * 3600);
    }

    #[test]
    fn all_mistakes_are_reported_together_by_key() {
        let text = GOOD
            .replace("cloud = \"global\"", "cloud = \"mars\"\ncolour = 1")
            .replace("\"contoso.onmicrosoft.com\"", "7")
            .replace("env:WHSEC", "env:NOWHERE")
            .replace("\"sha256:0", "\"sha256:x")
            .replace("10.20.0.0/16", "10.20.0.0/99")
            .replace("= 60", "= 0")
            + "[retention]\ndays = 29\n";
        let found = errors(&text).join("\n");
        for name in [
            "graph.cloud: must be global",
            "graph.colour: is not a known key",
            "graph.tenants.contoso.tenant_id: must be a text",
            "clients.servicenow.api_keys[0]: must be sha256:",
            "clients.servicenow.signing_secrets[0]: environment variable NOWHERE is not set",
            "callbacks.allow_networks[0]",
            "limits.requests_per_minute",
            "retention.days: must be a whole number from 30 to 3650",
        ] {
            assert!(found.contains(name), "{name} not in\n{found}");
        }
    }

    #[test]
    fn operation_that_the_tenant_or_cloud_cannot_run_is_reported() {
        let no_user = GOOD.replace("refresh_token", "#");
        assert_eq!(errors(&no_user).len(), 1);
        assert!(errors(&no_user)[0].starts_with("graph.tenants.contoso.refresh_token:"));
        let other_cloud = GOOD.replace("\"global\"", "\"china\"");
        assert!(errors(&other_cloud)[0].contains("goals.exportJob is not offered in china"));
        let unknown = GOOD.replace("\"goals.exportJob\"", "\"goals.export\"");
        assert!(errors(&unknown)[0].contains("goals.export is not an operation"));
    }

    #[test]
    fn plain_http_to_graph_is_refused_beyond_loopback() {
        let hosts = |base: &str| {
            GOOD.replace(
                "cloud = \"global\"",
                &format!("base_url = \"{base}\"\nlogin_url = \"http://127.0.0.1:1\""),
            )
        };
        assert!(
            Config::parse(&hosts("http://127.0.0.1:9"), Catalogue::shipped(), &resolve).is_ok()
        );
        assert!(
            errors(&hosts("http://graph.example"))[0].starts_with("graph.base_url: must be https")
        );
        assert!(errors(&hosts("https://graph.example/v1.0"))[0].starts_with("graph.base_url:"));
    }

    #[test]
    fn invalid_toml_is_reported_by_line_without_quoting_it() {
        let found = errors("[graph]\nclient_secret = canary canary\n");
        assert!(found[0].starts_with("not TOML"), "{found:?}");
        assert!(!found[0].contains("canary"), "{found:?}");
    }
}
