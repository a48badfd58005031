//! One client of the configuration: who may call us, how it proves that, and what it may ask for.

use std::collections::BTreeSet;

use super::callback::{self, Ways};
use super::{GraphConfig, TEST_HOST};
use crate::address::Allowed;
use crate::callback_url;
use crate::catalogue::{Catalogue, TokenKind};
use crate::config_reader::Reader;
use crate::webhook::SigningSecret;

/// Who may call us, and what for.
pub struct Client {
    pub name: String,
    pub tenant: String,
    /// SHA-256 of each key.
    pub api_keys: Vec<[u8; 32]>,
    pub operations: BTreeSet<String>,
    pub callback_origins: Vec<String>,
    pub signing_secrets: Vec<SigningSecret>,
    pub ways: Ways,
}

pub(super) fn client(name: &str, table: &mut Reader<'_>, allowed: &Allowed) -> Option<Client> {
    let tenant = table.text("tenant");
    let api_keys = table.texts("api_keys", |text| api_key(&text));
    if api_keys.is_empty() {
        table.error(
            "api_keys",
            "at least one key is needed, or nobody can call as this client",
        );
    }
    let operations = table.texts("operations", Ok);
    if operations.is_empty() {
        table.error("operations", "at least one operation is needed");
    }
    let callback_origins = table.texts("callback_origins", |text| {
        callback_url::parse_origin(&text, !allowed.networks.is_empty())
    });
    let signing_secrets = table.secrets("signing_secrets", SigningSecret::parse);
    let ways = callback::ways(table, allowed);
    if !callback_origins.is_empty() && signing_secrets.is_empty() && ways.need_signing() {
        table.error(
            "signing_secrets",
            "callbacks are signed: at least one secret is needed",
        );
    }
    Some(Client {
        name: name.to_owned(),
        tenant: tenant?,
        api_keys,
        operations: operations.into_iter().collect(),
        callback_origins,
        signing_secrets,
        ways,
    })
}

/// `sha256:` and 64 hexadecimal digits.
fn api_key(text: &str) -> Result<[u8; 32], String> {
    let rule = || "must be sha256: and the 64 hexadecimal digits of the key's SHA-256".to_owned();
    let digits = text
        .strip_prefix("sha256:")
        .filter(|digits| digits.is_ascii())
        .ok_or_else(rule)?;
    if digits.len() != 64 {
        return Err(rule());
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| rule())?;
    }
    Ok(hash)
}

/// What a client may do must be possible at Graph.
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
