//! The storage that a request names.

use serde_json::{Map, Value};

use crate::catalogue::Operation;
use crate::catalogue::schema::Violation;
use crate::config::Client;

/// Returns the rule that a name of a storage breaks. It does not matter for a repeat, whose storage was known once.
pub(super) fn unknown_storage(
    parameters: &Map<String, Value>,
    operation: &Operation,
    client: &Client,
) -> Option<Violation> {
    let (parameter, _) = operation.schema().storage()?;
    let name = parameters.get(parameter)?.as_str()?;
    if client.storages.contains(name) {
        return None;
    }
    let known: Vec<&str> = client.storages.iter().map(String::as_str).collect();
    let rule = if known.is_empty() {
        "cannot be given: the configuration has no storage for this tenant".to_owned()
    } else {
        format!("must be a storage of the tenant: {}", known.join(" or "))
    };
    Some(Violation::new(format!("/parameters/{parameter}"), rule))
}
