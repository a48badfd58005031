//! What a token permits, compared with what operations need.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use courier_core::catalogue::TokenKind;
use courier_core::config::{Config, Tenant};
use serde_json::Value;

/// The permissions that operations need, each with the operations that need it.
pub(super) type Needed = BTreeMap<String, BTreeSet<String>>;

/// Returns what the operations need that clients of this tenant may ask for, by kind of token.
pub(super) fn needed(config: &Config, tenant: &Tenant) -> BTreeMap<TokenKind, Needed> {
    let mut needed: BTreeMap<TokenKind, Needed> = BTreeMap::new();
    let clients = config.clients.values();
    let names = clients
        .filter(|client| client.tenant == tenant.name)
        .flat_map(|client| &client.operations);
    for operation in names.filter_map(|name| config.catalogue.find(name)) {
        let kind = tenant.token_kind(operation);
        let by_kind = needed.entry(kind).or_default();
        for permission in operation.permissions.get(&kind).into_iter().flatten() {
            let users = by_kind.entry(permission.clone()).or_default();
            users.insert(operation.name.clone());
        }
    }
    needed
}

/// Returns the permissions in an access token: `roles` of an application, `scp` of a person.
///
/// `None` if it is no token that can be read. Nobody verifies it here: only Graph has to believe it.
pub(super) fn granted(token: &str, kind: TokenKind) -> Option<BTreeSet<String>> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let claims = claims.as_object()?;
    Some(match kind {
        TokenKind::Application => {
            let roles = claims.get("roles").and_then(Value::as_array);
            let roles = roles.map(Vec::as_slice).unwrap_or_default();
            roles
                .iter()
                .filter_map(|role| Some(role.as_str()?.to_owned()))
                .collect()
        }
        TokenKind::Delegated => {
            let scopes = claims.get("scp").and_then(Value::as_str);
            scopes
                .unwrap_or_default()
                .split(' ')
                .map(str::to_owned)
                .collect()
        }
    })
}

/// Returns those of the needed permissions that are not granted, nor included in one that is.
pub(super) fn missing<'a>(
    needed: &'a Needed,
    granted: &BTreeSet<String>,
) -> Vec<(&'a String, &'a BTreeSet<String>)> {
    let is_missing = |(permission, _): &(&'a String, &'a BTreeSet<String>)| {
        let writing = permission.replace(".Read.", ".ReadWrite.");
        !granted.contains(*permission) && !granted.contains(&writing)
    };
    needed.iter().filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn what_is_granted_is_read_from_the_token_and_compared() {
        let application = token(&json!({ "roles": ["User.Export.All", "Team.ReadWrite.All"] }));
        let granted_all = granted(&application, TokenKind::Application).unwrap();
        let delegated = token(&json!({ "scp": "Goals.Read openid" }));
        let scopes = granted(&delegated, TokenKind::Delegated).unwrap();
        assert!(scopes.contains("Goals.Read"));
        let needed: Needed = ["User.Export.All", "Team.Read.All", "Schedule.ReadWrite.All"]
            .map(|name| (name.to_owned(), BTreeSet::from(["x".to_owned()])))
            .into();
        let missing = missing(&needed, &granted_all);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].0, "Schedule.ReadWrite.All");
        for opaque in ["", "opaque", "a.b.c", "a.W10.c"] {
            assert_eq!(granted(opaque, TokenKind::Application), None, "{opaque}");
        }
        let none = granted(&token(&json!({})), TokenKind::Application);
        assert_eq!(none, Some(BTreeSet::new()));
    }
}
