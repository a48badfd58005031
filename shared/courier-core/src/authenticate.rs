//! Who is calling: an API key, stored as its SHA-256, compared in constant time (DESIGN §7).

use std::collections::BTreeMap;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Client;
use crate::problem::Problem;

/// The client whose key was sent as `Authorization: Bearer` or `X-Api-Key`. Fails closed: two credentials are none.
pub(crate) fn client_of<'a>(
    clients: &'a BTreeMap<String, Client>,
    headers: &HeaderMap,
) -> Result<&'a Client, Problem> {
    let key = key(headers).ok_or(Problem::Unauthenticated)?;
    let hash: [u8; 32] = Sha256::digest(key).into();
    // Every key of every client is compared: the time tells nothing.
    let mut found = None;
    for client in clients.values() {
        for known in &client.api_keys {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(client);
            }
        }
    }
    found.ok_or(Problem::Unauthenticated)
}

fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| key.trim().as_bytes())
    });
    let plain = headers
        .get_all("x-api-key")
        .iter()
        .map(|value| Some(value.as_bytes()));
    let mut keys = bearer.chain(plain);
    match (keys.next(), keys.next()) {
        (Some(Some(key)), None) if !key.is_empty() => Some(key),
        _ => None,
    }
}
