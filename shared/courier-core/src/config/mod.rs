//! The configuration document (DESIGN §4.3), parsed once. Everything that is wrong is reported together, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use toml::Table;
use url::Url;

use crate::catalogue::Catalogue;
use crate::config::reader::Reader;
use crate::crypto::seal::Sealer;
use crate::crypto::secret::{Secret, SecretReference};
use crate::outbound::address::Allowed;

mod callback;
mod client;
pub mod credentials;
mod reader;

pub use callback::{ClientAuthentication, OAuth2, Proof, Way, Ways};
pub use client::Client;
use client::{MOST_REQUESTS, REQUESTS_PER_MINUTE, check_client, client};
use credentials::check_ambiguity;

/// A configuration that holds: every reference is resolved, every name known.
pub struct Config {
    pub graph: GraphConfig,
    pub clients: BTreeMap<String, Client>,
    pub sealer: Sealer,
    /// Receivers may be here besides public addresses.
    pub allowed: Arc<Allowed>,
    pub callbacks: Callbacks,
    /// Of each client that names no number of its own.
    pub requests_per_minute: u32,
}

/// What holds for every receiver.
#[derive(Debug, Default)]
pub struct Callbacks {
    pub allow_networks: Vec<IpNet>,
    /// Deliveries at once to one receiver; 20 where nothing is said.
    pub in_flight_per_host: Option<u32>,
    /// Our DNS name in the handshake of CloudEvents.
    pub origin: Option<String>,
}

pub struct GraphConfig {
    /// The only origin a Graph token is sent to.
    pub base_url: Url,
    pub login_url: Url,
    pub cloud: String,
    pub tenants: BTreeMap<String, Tenant>,
}

pub struct Tenant {
    pub name: String,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// Seeds the chain of refresh tokens; the store keeps what Graph replaces it with.
    pub refresh_token: Option<Secret>,
}

/// Fetches a secret; the error says what is missing, never what it is.
pub type Resolve<'a> = &'a dyn Fn(&SecretReference) -> Result<Secret, String>;

/// Every mistake, each with the name of its key.
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
        // The error of the TOML parser quotes the line, which may hold a secret.
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
        let allowed = Allowed {
            networks: callbacks.allow_networks.clone(),
        };
        let graph = root.table("graph", graph);
        let clients = root.tables("clients", |name, table| {
            client(name, table, &allowed, requests_per_minute)
        });
        if callbacks.origin.is_none() && clients.values().any(|client| client.ways.shake_hands()) {
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
            }),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

/// Token host and Graph root of each cloud (graph-facts §6).
const CLOUDS: [(&str, &str, &str); 4] = [
    (
        "global",
        "https://graph.microsoft.com",
        "https://login.microsoftonline.com",
    ),
    (
        "us-gov",
        "https://graph.microsoft.us",
        "https://login.microsoftonline.us",
    ),
    (
        "us-gov-dod",
        "https://dod-graph.microsoft.us",
        "https://login.microsoftonline.us",
    ),
    (
        "china",
        "https://microsoftgraph.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
    ),
];

/// The cloud of a host that is not Microsoft's: every operation may be tried there.
const TEST_HOST: &str = "test-host";

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

fn graph(table: &mut Reader<'_>) -> Option<GraphConfig> {
    let cloud = table.optional_text("cloud");
    let base_url = table.origin("base_url");
    let login_url = table.origin("login_url");
    let tenants = table.tables("tenants", tenant);
    if tenants.is_empty() {
        table.error("tenants", "at least one tenant is needed");
    }
    let (cloud, base_url, login_url) = match (cloud, base_url, login_url) {
        (None, Some(base_url), Some(login_url)) => (TEST_HOST.to_owned(), base_url, login_url),
        (cloud, None, None) => {
            let cloud = cloud.unwrap_or_else(|| "global".to_owned());
            let Some((_, base, login)) = CLOUDS.iter().find(|(name, ..)| *name == cloud) else {
                table.error("cloud", "must be global, us-gov, us-gov-dod or china");
                return None;
            };
            (cloud, Url::parse(base).ok()?, Url::parse(login).ok()?)
        }
        (Some(_), _, _) => {
            table.error("cloud", "either cloud, or base_url and login_url, not both");
            return None;
        }
        (None, _, _) => {
            table.error("base_url", "base_url and login_url belong together");
            return None;
        }
    };
    Some(GraphConfig {
        base_url,
        login_url,
        cloud,
        tenants,
    })
}

fn tenant(name: &str, table: &mut Reader<'_>) -> Option<Tenant> {
    // All are asked for before the first mistake counts, or the others would be called unknown.
    let tenant_id = table.text("tenant_id");
    let client_id = table.text("client_id");
    let client_secret = table.secret("client_secret");
    let refresh_token = table.optional_secret("refresh_token");
    Some(Tenant {
        name: name.to_owned(),
        tenant_id: tenant_id?,
        client_id: client_id?,
        client_secret: client_secret?,
        refresh_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_documented_example_is_read() {
        let config = Config::parse(GOOD, Catalogue::shipped(), &resolve).unwrap_or_else(|errors| {
            panic!("{errors}");
        });
        assert_eq!(
            config.graph.base_url.as_str(),
            "https://graph.microsoft.com/"
        );
        assert_eq!(config.clients["servicenow"].tenant, "contoso");
        assert_eq!(config.requests_per_minute, 60);
    }

    #[test]
    fn every_mistake_is_reported_at_once_by_name() {
        let text = GOOD
            .replace("cloud = \"global\"", "cloud = \"mars\"\ncolour = 1")
            .replace("tenant_id = \"t\"", "tenant_id = 7")
            .replace("env:WHSEC", "env:NOWHERE")
            .replace("\"sha256:0", "\"sha256:x")
            .replace("10.20.0.0/16", "10.20.0.0/99")
            .replace("= 60", "= 0");
        let found = errors(&text).join("\n");
        for name in [
            "graph.cloud: must be global",
            "graph.colour: is not a known key",
            "graph.tenants.contoso.tenant_id: must be a text",
            "clients.servicenow.api_keys[0]: must be sha256:",
            "clients.servicenow.signing_secrets[0]: environment variable NOWHERE is not set",
            "callbacks.allow_networks[0]",
            "limits.requests_per_minute",
        ] {
            assert!(found.contains(name), "{name} not in\n{found}");
        }
    }

    #[test]
    fn what_a_client_may_do_must_be_possible() {
        let no_user = GOOD.replace("refresh_token", "#");
        assert_eq!(errors(&no_user).len(), 1);
        assert!(errors(&no_user)[0].starts_with("graph.tenants.contoso.refresh_token:"));
        let other_cloud = GOOD.replace("\"global\"", "\"china\"");
        assert!(errors(&other_cloud)[0].contains("goals.exportJob is not offered in china"));
        let unknown = GOOD.replace("\"goals.exportJob\"", "\"goals.export\"");
        assert!(errors(&unknown)[0].contains("goals.export is not an operation"));
    }

    #[test]
    fn a_token_is_never_sent_in_clear_beyond_this_machine() {
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
    fn text_that_is_not_toml_is_refused_without_quoting_it() {
        let found = errors("[graph]\nclient_secret = canary canary\n");
        assert!(found[0].starts_with("line 2: not TOML"), "{found:?}");
        assert!(!found[0].contains("canary"), "{found:?}");
    }
}
