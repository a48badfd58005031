//! Reads one client of the configuration: its credentials, and what it may start.

use std::collections::BTreeSet;

use super::aws::Aws;
use super::callback::{self, CallbackProfiles};
use super::credentials::{Credentials, credentials};
use super::event_rules::EventRules;
use super::findings::did_you_mean;
use super::graph::{TEST_HOST, WrittenGraph};
use crate::catalogue::{Catalogue, Operation};
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
    /// Names of the storages of its tenant.
    pub storages: BTreeSet<String>,
    pub callback_origins: Vec<String>,
    pub signing_secrets: Vec<SigningSecret>,
    pub profiles: CallbackProfiles,
    /// Events are sent about its operations, where events are configured.
    pub events: bool,
    /// Whose events are the client's requests.
    pub event_rules: EventRules,
}

/// What the rest of the document says, by which a client is checked.
pub(super) struct Context<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) graph: &'a WrittenGraph,
    pub(super) allowed: &'a Allowed,
    pub(super) aws: &'a Aws,
    /// The default rate limit, for clients that set none.
    pub(super) requests_per_minute: u32,
}

/// Reads one client. After a mistake the result only serves to find further ones.
pub(super) fn client(name: &str, table: &mut Reader<'_>, context: &Context<'_>) -> Client {
    let allowed = context.allowed;
    let tenant = tenant(table, context.graph);
    let credentials = credentials(table, allowed);
    let own = table.number(REQUESTS_PER_MINUTE, 1, MOST_REQUESTS);
    let open = table.number(MAX_OPEN_OPERATIONS, 1, MOST_REQUESTS);
    let operations = operations(table, context, tenant.as_deref());
    let callback_origins = table.texts("callback_origins", |text| {
        target_url::parse_origin(&text, !allowed.networks.is_empty())
    });
    let signing_secrets = table.secrets("signing_secrets", SigningSecret::parse);
    let profiles = callback::profiles(table, allowed, context.aws);
    if table.has_items("callback_origins") && profiles.need_signing() {
        table.require_items(
            "signing_secrets",
            "callbacks are signed: at least one secret is needed",
        );
    }
    let events = table.flag("events").unwrap_or(true);
    let event_rules = EventRules::read(table);
    warn(table, &callback_origins);
    Client {
        name: name.to_owned(),
        tenant: tenant.unwrap_or_default(),
        credentials,
        requests_per_minute: own.unwrap_or(context.requests_per_minute),
        max_open_operations: open.unwrap_or(DEFAULT_OPEN_OPERATIONS),
        operations,
        storages: BTreeSet::new(),
        callback_origins,
        signing_secrets,
        profiles,
        events,
        event_rules,
    }
}

/// Reads the name of the client's tenant, which must be configured.
fn tenant(table: &mut Reader<'_>, graph: &WrittenGraph) -> Option<String> {
    let name = table.text("tenant")?;
    if let Some(tenants) = &graph.tenants
        && !tenants.contains_key(&name)
    {
        let hint = did_you_mean(&name, tenants.keys().map(String::as_str));
        table.error("tenant", &format!("there is no graph.tenants.{name}{hint}"));
    }
    Some(name)
}

/// Reads the operations, each of which the client's tenant and cloud must be able to run.
fn operations(
    table: &mut Reader<'_>,
    context: &Context<'_>,
    tenant: Option<&str>,
) -> BTreeSet<String> {
    table.require_items("operations", "at least one operation is needed");
    let Context {
        catalogue, graph, ..
    } = context;
    let operations: Vec<&Operation> = table.texts("operations", |name| {
        let Some(operation) = catalogue.find(&name) else {
            let known = catalogue.iter().map(|operation| operation.name.as_str());
            let hint = did_you_mean(&name, known);
            return Err(format!("{name} is not an operation{hint}"));
        };
        match &graph.cloud {
            Some(cloud) if cloud != TEST_HOST && !operation.clouds.contains(cloud) => {
                Err(format!("{name} is not offered in {cloud}"))
            }
            Some(_) | None => Ok(operation),
        }
    });
    let written = graph.tenants.as_ref().zip(tenant);
    let written = written.and_then(|(tenants, name)| tenants.get_key_value(name));
    if let Some((tenant, written)) = written
        && !written.has_refresh_token
    {
        let delegated = |operation: &&&Operation| written.is_delegated(operation);
        for Operation { name, .. } in operations.iter().filter(delegated) {
            let key = format!("graph.tenants.{tenant}.refresh_token");
            let rule = format!("{name} needs a signed-in user's token");
            table.error_at(written.offset, &key, &rule);
        }
    }
    let names = operations.iter().map(|operation| operation.name.clone());
    names.collect()
}

/// Warns about callbacks that anybody on the way can read, and about settings that have no effect.
fn warn(table: &mut Reader<'_>, callback_origins: &[String]) {
    if callback_origins
        .iter()
        .any(|origin| origin.starts_with("http://"))
    {
        let text = "an http:// origin: whoever is on the way can read the completions";
        table.warn("callback_origins", text);
    }
    for key in ["signing_secrets", "callback", "profiles"] {
        if table.has(key) && !table.has_or_means("callback_origins") {
            table.warn(key, "has no effect: there are no callback_origins");
        }
    }
}
