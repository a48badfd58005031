//! Reads where Graph is, and the tenants that it is called for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use url::Url;

use super::client::Client;
use super::findings::did_you_mean;
use super::reader::Reader;
use crate::catalogue::{Catalogue, TokenKind};
use crate::crypto::secret::Secret;

/// The hosts of Graph and the configured tenants.
pub struct GraphConfig {
    /// The only origin that a Graph token is sent to.
    pub base_url: Url,
    pub login_url: Url,
    pub cloud: String,
    pub tenants: BTreeMap<String, Tenant>,
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
}

/// Token host and Graph root of each cloud (`docs/graph-behaviour.md`, Tokens and clouds).
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
                    operation.is_some_and(|operation| operation.token == TokenKind::Delegated)
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
pub(super) fn graph(table: &mut Reader<'_>, written: &mut WrittenGraph) -> Option<GraphConfig> {
    let cloud = table.optional_text("cloud");
    let base_url = table.origin("base_url");
    let login_url = table.origin("login_url");
    let is_test_host = table.has("base_url") || table.has("login_url");
    let seen = RefCell::new(BTreeMap::new());
    let tenants = table.tables("tenants", |name, table| {
        let (tenant, found) = tenant(name, table, is_test_host);
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
            let Some((_, base, login)) = CLOUDS.iter().find(|(known, ..)| *known == name) else {
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
    })
}

fn tenant(
    name: &str,
    table: &mut Reader<'_>,
    is_test_host: bool,
) -> (Option<Tenant>, WrittenTenant) {
    // All keys are read before the first mistake returns, or the others would be reported as unknown keys.
    let tenant_id = table.text("tenant_id");
    let client_id = table.text("client_id");
    let client_secret = table.secret("client_secret");
    let refresh_token = table.optional_secret("refresh_token");
    let written = WrittenTenant {
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
        })
    };
    (tenant(), written)
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
