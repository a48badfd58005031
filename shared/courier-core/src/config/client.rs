//! Reads one client of the configuration: its credentials, and what it may start.

use std::collections::BTreeSet;

use super::callback::{self, CallbackProfiles};
use super::credentials::{Credentials, credentials};
use super::graph::{GraphConfig, TEST_HOST};
use crate::catalogue::{Catalogue, TokenKind};
use crate::config::reader::Reader;
use crate::crypto::webhook_signature::SigningSecret;
use crate::outbound::address::Allowed;
use crate::outbound::target_url;

pub(super) const REQUESTS_PER_MINUTE: &str = "requests_per_minute";
pub(super) const MOST_REQUESTS: u32 = 1_000_000;
const MAX_OPEN_OPERATIONS: &str = "max_open_operations";
/// Open operations of a client that sets no number. A queue of SQS holds 120,000 waiting messages.
const DEFAULT_OPEN_OPERATIONS: u32 = 20_000;

/// A system that may call graph-courier, with its credentials and permissions.
pub struct Client {
    pub name: String,
    pub tenant: String,
    pub credentials: Credentials,
    pub requests_per_minute: u32,
    /// Approximate limit of operations that are open at the same time, or whose completion is not yet delivered.
    pub max_open_operations: u32,
    pub operations: BTreeSet<String>,
    pub callback_origins: Vec<String>,
    pub signing_secrets: Vec<SigningSecret>,
    pub profiles: CallbackProfiles,
}

/// Reads one client. `requests_per_minute` is the default rate limit for clients that set none.
pub(super) fn client(
    name: &str,
    table: &mut Reader<'_>,
    allowed: &Allowed,
    requests_per_minute: u32,
) -> Option<Client> {
    let tenant = table.text("tenant");
    let credentials = credentials(table, allowed);
    let own = table.number(REQUESTS_PER_MINUTE, 1, MOST_REQUESTS);
    let open = table.number(MAX_OPEN_OPERATIONS, 1, MOST_REQUESTS);
    let operations = table.texts("operations", Ok);
    if operations.is_empty() {
        table.error("operations", "at least one operation is needed");
    }
    let callback_origins = table.texts("callback_origins", |text| {
        target_url::parse_origin(&text, !allowed.networks.is_empty())
    });
    let signing_secrets = table.secrets("signing_secrets", SigningSecret::parse);
    let profiles = callback::profiles(table, allowed);
    if !callback_origins.is_empty() && signing_secrets.is_empty() && profiles.need_signing() {
        table.error(
            "signing_secrets",
            "callbacks are signed: at least one secret is needed",
        );
    }
    Some(Client {
        name: name.to_owned(),
        tenant: tenant?,
        credentials,
        requests_per_minute: own.unwrap_or(requests_per_minute),
        max_open_operations: open.unwrap_or(DEFAULT_OPEN_OPERATIONS),
        operations: operations.into_iter().collect(),
        callback_origins,
        signing_secrets,
        profiles,
    })
}

/// Adds an error for everything that the client is permitted but its tenant or cloud cannot do at Graph.
pub(super) fn check_client(
    client: &Client,
    graph: &GraphConfig,
    catalogue: &Catalogue,
    errors: &mut Vec<String>,
) {
    let place = format!("clients.{}", client.name);
    let tenant = graph.tenants.get(&client.tenant);
    if tenant.is_none() {
        errors.push(format!(
            "{place}.tenant: there is no graph.tenants.{}",
            client.tenant
        ));
    }
    for name in &client.operations {
        let Some(operation) = catalogue.find(name) else {
            errors.push(format!("{place}.operations: {name} is not an operation"));
            continue;
        };
        let delegated = operation.token == TokenKind::Delegated;
        if delegated && tenant.is_some_and(|tenant| tenant.refresh_token.is_none()) {
            let tenant = &client.tenant;
            errors.push(format!(
                "graph.tenants.{tenant}.refresh_token: {name} needs a signed-in user's token"
            ));
        }
        if graph.cloud != TEST_HOST && !operation.clouds.contains(&graph.cloud) {
            errors.push(format!(
                "{place}.operations: {name} is not offered in {}",
                graph.cloud
            ));
        }
    }
}
