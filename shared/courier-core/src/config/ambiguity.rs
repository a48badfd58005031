//! Finds credentials that two callers share: a request must identify exactly one of them.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::client::Client;
use super::credentials::{Credentials, Right};
use super::operator::Operator;
use crate::config::reader::Reader;

/// Reports every credential that two callers share, because a request must identify exactly one caller.
///
/// `table` is the root of the document.
pub(super) fn check_ambiguity(
    clients: &BTreeMap<String, Client>,
    operators: &BTreeMap<String, Operator>,
    table: &mut Reader<'_>,
) {
    let clients = clients.iter();
    let clients = clients.map(|(name, one)| ("clients", name.as_str(), &one.credentials));
    let operators = operators.iter();
    let operators = operators.map(|(name, one)| ("operators", name.as_str(), &one.credentials));
    let mut seen: BTreeMap<[u8; 32], ((&str, &str), String)> = BTreeMap::new();
    for (kind, name, credentials) in clients.chain(operators) {
        for (key, identity) in identities(credentials) {
            let place = format!("{kind}.{name}.{key}");
            match seen.get(&identity) {
                Some((other, first)) if *other != (kind, name) => {
                    let rule = format!("is also {first}: who calls would be unclear");
                    let offset = table.offset_within(&[kind, name], &key);
                    table.error_at(offset, &place, &rule);
                }
                Some(_) => {}
                None => {
                    seen.insert(identity, ((kind, name), place));
                }
            }
        }
    }
}

/// Returns each credential's place in the configuration, with a hash that only an equal credential has.
fn identities(credentials: &Credentials) -> Vec<(String, [u8; 32])> {
    let mut found = Vec::new();
    let mut add = |place: String, parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        found.push((place, hash.finalize().into()));
    };
    for (index, key) in credentials.api_keys.iter().enumerate() {
        add(format!("api_keys[{index}]"), &[b"key", key]);
    }
    if let Some(basic) = &credentials.basic {
        for (index, password) in basic.passwords.iter().enumerate() {
            let place = format!("basic.passwords[{index}]");
            add(place, &[b"basic", basic.username.as_bytes(), password]);
        }
    }
    if let Some(signed) = &credentials.signed {
        let header = signed.dialect.header();
        for (index, secret) in signed.secrets.iter().enumerate() {
            let place = format!("signed.secrets[{index}]");
            add(place, &[b"signed", header.as_str().as_bytes(), secret]);
        }
    }
    if let Some(rule) = &credentials.jwt {
        let (kind, right) = match &rule.right {
            Right::Scope(scope) => ("scope", scope),
            Right::Role(role) => ("role", role),
        };
        let subject = rule.subject.as_deref().unwrap_or_default();
        let parts = ["jwt", &rule.issuer, &rule.audience, kind, right, subject];
        add("jwt".to_owned(), &parts.map(str::as_bytes));
    }
    if let Some(queue) = &credentials.queue {
        add("source".to_owned(), &[b"queue", queue.as_bytes()]);
    }
    found
}
