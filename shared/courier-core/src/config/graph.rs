//! Reads where Graph is, and the tenants that it is called for.

use std::collections::BTreeMap;

use url::Url;

use super::reader::Reader;
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

pub(super) fn graph(table: &mut Reader<'_>) -> Option<GraphConfig> {
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
    // All keys are read before the first mistake returns, or the others would be reported as unknown keys.
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
