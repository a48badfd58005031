//! Reads one operator of the configuration: a person or a tool of those who run graph-courier.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Client, MOST_REQUESTS, REQUESTS_PER_MINUTE};
use super::credentials::{Credentials, operator_credentials};
use super::findings::did_you_mean;
use crate::config::reader::Reader;
use crate::outbound::address::Allowed;

/// Somebody who sees the operations of many clients and may act on them.
pub struct Operator {
    pub name: String,
    pub credentials: Credentials,
    pub requests_per_minute: u32,
    /// The clients whose operations the operator sees; `None` for all of them.
    pub clients: Option<BTreeSet<String>>,
    /// The operator sees everything and changes nothing.
    pub read_only: bool,
}

impl Operator {
    /// Reports whether the operator sees the operations of this client.
    pub fn sees(&self, client: &str) -> bool {
        self.clients
            .as_ref()
            .is_none_or(|clients| clients.contains(client))
    }
}

/// Reads one operator. After a mistake the result only serves to find further ones.
pub(super) fn operator(
    name: &str,
    table: &mut Reader<'_>,
    clients: &BTreeMap<String, Client>,
    allowed: &Allowed,
    requests_per_minute: u32,
) -> Operator {
    let credentials = operator_credentials(table, allowed);
    let own = table.number(REQUESTS_PER_MINUTE, 1, MOST_REQUESTS);
    let is_limited = table.has("clients");
    let seen = table.texts("clients", |name| match clients.contains_key(&name) {
        true => Ok(name),
        false => {
            let hint = did_you_mean(&name, clients.keys().map(String::as_str));
            Err(format!("there is no clients.{name}{hint}"))
        }
    });
    if is_limited {
        let rule = "at least one client is needed; leave it out to see all of them";
        table.require_items("clients", rule);
    }
    Operator {
        name: name.to_owned(),
        credentials,
        requests_per_minute: own.unwrap_or(requests_per_minute),
        clients: is_limited.then(|| seen.into_iter().collect()),
        read_only: table.flag("read_only").unwrap_or(false),
    }
}
