//! The configuration document, parsed once. Every mistake is reported, each with the name of its key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::Table;

use crate::catalogue::Catalogue;
use crate::config::graph::graph;
use crate::config::reader::Reader;
use crate::crypto::seal::Sealer;
use crate::outbound::address::Allowed;

mod callback;
mod client;
pub mod credentials;
mod graph;
mod reader;

pub use callback::{CallbackProfile, CallbackProfiles, ClientAuthentication, OAuth2, Proof};
pub use client::Client;
use client::{MOST_REQUESTS, REQUESTS_PER_MINUTE, check_client, client};
use credentials::check_ambiguity;
pub use graph::{GraphConfig, Tenant};
pub use reader::Resolve;

/// A valid configuration, in which every secret reference is resolved and every name is known.
pub struct Config {
    pub graph: GraphConfig,
    pub clients: BTreeMap<String, Client>,
    pub sealer: Sealer,
    /// The networks in which receivers may be, besides public addresses.
    pub allowed: Arc<Allowed>,
    pub callbacks: Callbacks,
    /// Default rate limit for clients that set none.
    pub requests_per_minute: u32,
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
}

/// All mistakes in a configuration, each with the name of its key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} mistake(s):\n{}", .0.len(), .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

impl Config {
    /// Parses the document and resolves its secrets.
    pub fn parse(
        text: &str,
        catalogue: &Catalogue,
        resolve: Resolve<'_>,
    ) -> Result<Self, ConfigErrors> {
        // Only the parser's message is used: its full error quotes the line, which may contain a secret.
        let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(0, |span| text[..span.start].lines().count().max(1));
            ConfigErrors(vec![format!("line {line}: not TOML: {}", error.message())])
        })?;
        let mut root = Reader::new("", &table, resolve);
        let sealer = root.table("seal", |seal| seal.sealer("key"));
        let callbacks = root.optional_table("callbacks", callbacks);
        let callbacks = callbacks.unwrap_or_default();
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
        let allowed = Allowed {
            networks: callbacks.allow_networks.clone(),
        };
        let graph = root.table("graph", graph);
        let clients = root.tables("clients", |name, table| {
            client(name, table, &allowed, requests_per_minute)
        });
        if callbacks.origin.is_none()
            && clients.values().any(|client| client.profiles.shake_hands())
        {
            root.error("callbacks.origin", "is needed for handshake = true");
        }
        let mut errors = root.finish();
        check_ambiguity(&clients, &mut errors);
        if let Some(graph) = &graph {
            for client in clients.values() {
                check_client(client, graph, catalogue, &mut errors);
            }
        }
        match (graph, sealer) {
            (Some(graph), Some(sealer)) if errors.is_empty() => Ok(Self {
                graph,
                clients,
                sealer,
                allowed: Arc::new(allowed),
                callbacks,
                requests_per_minute,
                retention: Duration::from_secs(u64::from(days) * 24 * 3600),
            }),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

fn callbacks(table: &mut Reader<'_>) -> Callbacks {
    let origin = table.optional_text("origin");
    if origin.as_deref().is_some_and(|name| !is_dns_name(name)) {
        table.error("origin", "must be a DNS name such as courier.example");
    }
    Callbacks {
        allow_networks: table.networks("allow_networks"),
        in_flight_per_host: table.number("in_flight_per_host", 1, 10_000),
        origin,
    }
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
        tenant_id = "t"
        client_id = "c"
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
        Config::parse(text, Catalogue::shipped(), &resolve)
            .err()
            .unwrap()
            .0
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
            .replace("tenant_id = \"t\"", "tenant_id = 7")
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
        assert!(found[0].starts_with("line 2: not TOML"), "{found:?}");
        assert!(!found[0].contains("canary"), "{found:?}");
    }
}
