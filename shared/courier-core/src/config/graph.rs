//! Reads where Graph is, and the tenants that it is called for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use url::Url;

use super::client::Client;
use super::findings::did_you_mean;
use super::reader::Reader;
use super::storage::{BlobHosts, Storage, storage};
use crate::catalogue::{Catalogue, Operation, TokenKind};
use crate::crypto::secret::Secret;

/// The hosts of Graph and the configured tenants.
pub struct GraphConfig {
    /// The only origin that a Graph token is sent to.
    pub base_url: Url,
    pub login_url: Url,
    pub cloud: String,
    pub tenants: BTreeMap<String, Tenant>,
    /// Hosts besides the built-in ones on which monitors may be; for a test host, also origins such as
    /// `http://127.0.0.1:8081`.
    pub monitor_hosts: Vec<String>,
}

/// A Microsoft Entra tenant, and the app registration that graph-courier uses in it.
pub struct Tenant {
    /// Name of the tenant's table in the configuration.
    pub name: String,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// The first refresh token of the chain; the store keeps the tokens that Graph replaces it with.
    pub refresh_token: Option<Secret>,
    /// The kind of token for operations that work with several (name → kind).
    pub operation_tokens: BTreeMap<String, TokenKind>,
    /// Where containers for operations are made (name → account).
    pub storages: BTreeMap<String, Storage>,
}

impl Tenant {
    /// Returns the kind of token that an operation uses for this tenant.
    pub fn token_kind(&self, operation: &Operation) -> TokenKind {
        let chosen = self.operation_tokens.get(&operation.name);
        chosen.copied().unwrap_or_else(|| operation.default_token())
    }
}

/// Graph root and token host of each cloud (`docs/graph-behaviour.md`, Tokens and clouds), and the end of its storage hosts.
const CLOUDS: [(&str, &str, &str, &str); 4] = [
    (
        "global",
        "https://graph.microsoft.com",
        "https://login.microsoftonline.com",
        "core.windows.net",
    ),
    (
        "us-gov",
        "https://graph.microsoft.us",
        "https://login.microsoftonline.us",
        "core.usgovcloudapi.net",
    ),
    (
        "us-gov-dod",
        "https://dod-graph.microsoft.us",
        "https://login.microsoftonline.us",
        "core.usgovcloudapi.net",
    ),
    (
        "china",
        "https://microsoftgraph.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
        "core.chinacloudapi.cn",
    ),
];

/// The name of the cloud when `base_url` names another host: every operation is permitted there.
pub(super) const TEST_HOST: &str = "test-host";

/// What is written about Graph, right or wrong: what other tables are checked by.
#[derive(Default)]
pub(super) struct WrittenGraph {
    /// The cloud or [`TEST_HOST`]; `None` if the document does not say which.
    pub(super) cloud: Option<String>,
    /// The tenants by name; `None` if the document has no such table.
    pub(super) tenants: Option<BTreeMap<String, WrittenTenant>>,
}

pub(super) struct WrittenTenant {
    pub(super) offset: usize,
    pub(super) has_refresh_token: bool,
    pub(super) operation_tokens: BTreeMap<String, TokenKind>,
}

impl WrittenTenant {
    /// Reports whether this operation needs a signed-in person's token here.
    pub(super) fn is_delegated(&self, operation: &Operation) -> bool {
        let chosen = self.operation_tokens.get(&operation.name).copied();
        chosen.unwrap_or_else(|| operation.default_token()) == TokenKind::Delegated
    }
}

impl WrittenGraph {
    /// Warns about tenants and refresh tokens that no client uses. `table` is the root of the document.
    pub(super) fn warn_of_unused(
        &self,
        clients: &BTreeMap<String, Client>,
        catalogue: &Catalogue,
        table: &mut Reader<'_>,
    ) {
        for (name, tenant) in self.tenants.iter().flatten() {
            let mut users = clients
                .values()
                .filter(|client| client.tenant == *name)
                .peekable();
            let place = format!("graph.tenants.{name}");
            if users.peek().is_none() {
                table.warn_at(tenant.offset, &place, "no client uses this tenant");
            } else if tenant.has_refresh_token {
                let mut operations = users.flat_map(|client| &client.operations);
                let is_delegated = |name: &String| {
                    let operation = catalogue.find(name);
                    operation.is_some_and(|operation| tenant.is_delegated(operation))
                };
                if !operations.any(is_delegated) {
                    let place = format!("{place}.refresh_token");
                    let text = "no client of this tenant asks for an operation that needs it";
                    table.warn_at(tenant.offset, &place, text);
                }
            }
        }
    }
}

/// Reads the table and notes in `written` what other tables are checked by.
pub(super) fn graph(
    table: &mut Reader<'_>,
    written: &mut WrittenGraph,
    catalogue: &Catalogue,
) -> Option<GraphConfig> {
    let cloud = table.optional_text("cloud");
    let base_url = table.origin("base_url");
    let login_url = table.origin("login_url");
    let is_test_host = table.has("base_url") || table.has("login_url");
    let monitor_hosts = table.texts("monitor_hosts", |host| monitor_host(host, is_test_host));
    let seen = RefCell::new(BTreeMap::new());
    let blob_hosts = blob_hosts(cloud.as_deref(), is_test_host);
    let tenants = table.tables("tenants", |name, table| {
        let (tenant, found) = tenant(name, table, blob_hosts, catalogue);
        seen.borrow_mut().insert(name.to_owned(), found);
        tenant
    });
    let seen = seen.into_inner();
    if !table.has("tenants") {
        table.missing("tenants", &[], "at least one tenant is needed");
    } else if table.has_empty_table("tenants") {
        table.error("tenants", "at least one tenant is needed");
    }
    written.tenants = table.has("tenants").then_some(seen);
    let hosts = ["cloud", "base_url", "login_url"].map(|key| table.has(key));
    let (cloud, base_url, login_url) = match hosts {
        [false, true, true] => {
            written.cloud = Some(TEST_HOST.to_owned());
            table.warn(
                "base_url",
                "not Microsoft Graph: tokens and personal data go to this host",
            );
            (TEST_HOST.to_owned(), base_url?, login_url?)
        }
        [is_named, false, false] => {
            let name = if is_named {
                cloud?
            } else {
                "global".to_owned()
            };
            let Some((_, base, login, _)) = CLOUDS.iter().find(|(known, ..)| *known == name) else {
                let hint = did_you_mean(&name, CLOUDS.map(|(known, ..)| known));
                let rule = format!("must be global, us-gov, us-gov-dod or china{hint}");
                table.error("cloud", &rule);
                return None;
            };
            written.cloud = Some(name.clone());
            (name, Url::parse(base).ok()?, Url::parse(login).ok()?)
        }
        [true, _, _] => {
            table.error("cloud", "either cloud, or base_url and login_url, not both");
            return None;
        }
        [false, has_base, _] => {
            let (missing, given) = if has_base {
                ("login_url", "base_url")
            } else {
                ("base_url", "login_url")
            };
            table.missing(missing, &[], &format!("is needed beside {given}"));
            return None;
        }
    };
    Some(GraphConfig {
        base_url,
        login_url,
        cloud,
        tenants,
        monitor_hosts,
    })
}

fn blob_hosts(cloud: Option<&str>, is_test_host: bool) -> BlobHosts {
    if is_test_host {
        return BlobHosts::Named;
    }
    let name = cloud.unwrap_or("global");
    let cloud = CLOUDS.iter().find(|(known, ..)| *known == name);
    cloud.map_or(BlobHosts::Unknown, |(_, _, _, suffix)| {
        BlobHosts::Of(suffix)
    })
}

/// Reads a host on which monitors may be; only a test host's may be an origin with a scheme and a port.
fn monitor_host(text: String, is_test_host: bool) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(fits);
    let is_name = name.contains('.') && name.split('.').all(is_label);
    let is_origin = || {
        let url = Url::parse(&text).ok();
        url.is_some_and(|url| url.origin().ascii_serialization() == text)
    };
    if is_name || (is_test_host && is_origin()) {
        Ok(text)
    } else {
        Err("must be a host such as api.example.com, or *.example.com for all below it".to_owned())
    }
}

fn tenant(
    name: &str,
    table: &mut Reader<'_>,
    blob_hosts: BlobHosts,
    catalogue: &Catalogue,
) -> (Option<Tenant>, WrittenTenant) {
    let is_test_host = matches!(blob_hosts, BlobHosts::Named);
    // All keys are read before the first mistake returns, or the others would be reported as unknown keys.
    let tenant_id = table.text("tenant_id");
    let client_id = table.text("client_id");
    let client_secret = table.secret("client_secret");
    let refresh_token = table.optional_secret("refresh_token");
    let operation_tokens = operation_tokens(table, catalogue);
    let storages = table.tables("storage", |name, table| storage(name, table, blob_hosts));
    let written = WrittenTenant {
        operation_tokens: operation_tokens.clone(),
        offset: table.offset_of(""),
        has_refresh_token: table.has_or_means("refresh_token"),
    };
    if let Some(rule) = tenant_id
        .as_deref()
        .and_then(|id| tenant_rule(id, is_test_host))
    {
        table.error("tenant_id", rule);
    }
    if client_id
        .as_deref()
        .is_some_and(|id| !is_test_host && !is_guid(id))
    {
        table.error("client_id", "must be the GUID of the app registration");
    }
    let tenant = || {
        Some(Tenant {
            name: name.to_owned(),
            tenant_id: tenant_id?,
            client_id: client_id?,
            client_secret: client_secret?,
            refresh_token,
            operation_tokens,
            storages,
        })
    };
    (tenant(), written)
}

/// Reads the table that chooses among the kinds of token of an operation.
fn operation_tokens(table: &mut Reader<'_>, catalogue: &Catalogue) -> BTreeMap<String, TokenKind> {
    let mut chosen = BTreeMap::new();
    for (name, word) in table.text_map("operation_tokens") {
        let key = format!("operation_tokens.{name}");
        let Some(operation) = catalogue.find(&name) else {
            let known = catalogue.iter().map(|operation| operation.name.as_str());
            let hint = did_you_mean(&name, known);
            table.error(&key, &format!("{name} is not an operation{hint}"));
            continue;
        };
        match operation.token.iter().find(|kind| kind.as_str() == word) {
            Some(kind) => {
                chosen.insert(name, *kind);
            }
            None => {
                let kinds: Vec<&str> = operation.token.iter().map(|kind| kind.as_str()).collect();
                table.error(&key, &format!("must be {}", kinds.join(" or ")));
            }
        }
    }
    chosen
}

/// Returns the rule that a tenant id breaks. A test host may know its tenants by any name.
fn tenant_rule(id: &str, is_test_host: bool) -> Option<&'static str> {
    const SHARED: [&str; 3] = ["common", "organizations", "consumers"];
    let lower = id.to_ascii_lowercase();
    if SHARED.contains(&lower.as_str()) {
        return Some("must be one tenant: common, organizations and consumers stand for many");
    }
    let letters = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(inner)
    };
    let is_name = id.split('.').all(letters) && id.len() <= 253;
    let is_right = is_guid(id) || (is_name && (id.contains('.') || is_test_host));
    (!is_right).then_some(
        "must be the tenant's GUID or one of its domain names, such as contoso.onmicrosoft.com",
    )
}

/// Reports whether a text is a GUID as Entra shows it: 8-4-4-4-12 hexadecimal digits.
fn is_guid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}
