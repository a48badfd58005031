//! Authenticates callers (`docs/adr/0017`).
//!
//! Everything fails closed and compares in constant time over all clients. The answer names the broken rule only for a
//! caller that has proved to know the secret, or where the rule is about the number of credentials and not about any.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::Client;
use crate::config::credentials::Credentials;

pub(crate) mod jwks;
mod jwt;
pub mod signed;

use jwks::KeySets;

/// The authenticated caller of a request.
pub struct Caller<'a> {
    pub client: &'a Client,
    /// The signed identity of the request, if a signature authenticates it.
    pub signed: Option<Signed>,
}

/// The identity of a signed request, by which a repeat is recognised. The signature always covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// The signed `webhook-id`.
    Id(String),
    /// SHA-256 of the signed content.
    Content([u8; 32]),
}

/// The reason why a request has no authenticated caller.
pub enum Denied<'a> {
    /// The request has no credential, or one that matches no client.
    Unproven,
    /// The request has more than one credential; none of them was looked at.
    Several,
    /// The caller has proved to know the client's secret, but breaks this rule.
    Proven {
        client: &'a Client,
        rule: &'static str,
    },
    /// The caller has proved who it is, but its token does not grant the right that is required.
    NotGranted {
        client: &'a Client,
        rule: &'static str,
    },
    /// The issuer's keys are unavailable, so the token can be neither accepted nor refused now.
    Unreachable,
}

impl<'a> From<&'a Client> for Caller<'a> {
    fn from(client: &'a Client) -> Self {
        Self {
            client,
            signed: None,
        }
    }
}

/// Returns the caller of a request.
///
/// A request with `Authorization` or `X-Api-Key` must have exactly one of them, and that one decides. Without them a
/// signature is checked, but only if the request `starts` an operation: it covers neither method nor path.
pub(crate) async fn authenticate<'a>(
    clients: &'a BTreeMap<String, Client>,
    key_sets: &KeySets,
    request: &Request<Bytes>,
    starts: bool,
    now: Timestamp,
) -> Result<Caller<'a>, Denied<'a>> {
    let credential = Credential::read(request.headers());
    let (kind, caller) = match &credential {
        Credential::Key(key) => ("key", by_key(clients, key)),
        Credential::Basic(text) => ("basic", by_password(clients, text)),
        Credential::Bearer(text) => match by_key(clients, text.as_bytes()) {
            Ok(caller) => ("key", Ok(caller)),
            Err(_) => ("bearer", jwt::verify(text, clients, key_sets, now).await),
        },
        Credential::Absent if starts => {
            let signed = signed::verify(request.headers(), request.body(), clients, now);
            ("signature", signed)
        }
        Credential::Absent => ("none", Err(Denied::Unproven)),
        Credential::Unusable => ("unusable", Err(Denied::Unproven)),
        Credential::Several => ("several", Err(Denied::Several)),
    };
    caller.inspect_err(|denied| denied.log(kind))
}

impl Denied<'_> {
    fn log(&self, kind: &'static str) {
        match self {
            Self::Unproven | Self::Several => {
                tracing::info!(credential = kind, "caller refused");
            }
            Self::Proven { client, rule } | Self::NotGranted { client, rule } => {
                tracing::info!(
                    credential = kind,
                    client = client.name,
                    rule,
                    "caller refused"
                );
            }
            Self::Unreachable => {
                tracing::info!(
                    credential = kind,
                    "caller refused for now: its issuer's keys are unavailable"
                );
            }
        }
    }
}

/// Returns the challenges of a 401 (RFC 9110, section 11.6.1): one for each scheme of `Authorization` that a client may
/// use, and one of our own where all clients sign, because a 401 must have one.
///
/// Basic comes first: where a gateway joins the challenges to one line, some clients read only the beginning of it.
pub(crate) fn challenges(clients: &BTreeMap<String, Client>) -> Vec<HeaderValue> {
    let any =
        |used: fn(&Credentials) -> bool| clients.values().any(|client| used(&client.credentials));
    let bearer = any(|known| !known.api_keys.is_empty() || known.jwt.is_some());
    let basic = any(|known| !known.api_keys.is_empty() || known.basic.is_some());
    let schemes = [
        (basic, "Basic realm=\"graph-courier\", charset=\"UTF-8\""),
        (bearer, "Bearer"),
        (
            !basic && !bearer,
            "Webhook-Signature realm=\"graph-courier\"",
        ),
    ];
    let used = schemes.into_iter().filter(|(is_used, _)| *is_used);
    used.map(|(_, challenge)| HeaderValue::from_static(challenge))
        .collect()
}

/// The credential of a request, other than a signature.
enum Credential<'h> {
    /// `X-Api-Key`.
    Key(&'h [u8]),
    /// An API key or a JWT.
    Bearer(&'h str),
    Basic(&'h str),
    /// An unknown scheme, or a scheme without a value.
    Unusable,
    Several,
    Absent,
}

impl<'h> Credential<'h> {
    fn read(headers: &'h HeaderMap) -> Self {
        let authorization = headers.get_all(header::AUTHORIZATION).iter();
        let api_keys = headers.get_all("x-api-key").iter();
        let keys = api_keys.map(|value| Self::Key(value.as_bytes()));
        let mut found = authorization.map(Self::scheme).chain(keys);
        match (found.next(), found.next()) {
            (None, _) => Self::Absent,
            (_, Some(_)) => Self::Several,
            (Some(Self::Key(b"") | Self::Bearer("") | Self::Basic("")), None) => Self::Unusable,
            (Some(credential), None) => credential,
        }
    }

    fn scheme(value: &'h HeaderValue) -> Self {
        let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((scheme, text)) = parts else {
            return Self::Unusable;
        };
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Self::Bearer(text.trim()),
            "basic" => Self::Basic(text.trim()),
            _ => Self::Unusable,
        }
    }
}

fn by_key<'a>(clients: &'a BTreeMap<String, Client>, key: &[u8]) -> Result<Caller<'a>, Denied<'a>> {
    let hash: [u8; 32] = Sha256::digest(key).into();
    // Every key of every client is compared, so that the time taken reveals nothing.
    let keys = |client: &Client| any_is(&client.credentials.api_keys, &hash);
    only(clients, keys)
        .map(Caller::from)
        .ok_or(Denied::Unproven)
}

/// Returns the client with this user name and password (RFC 7617: the user name ends at the first colon), or with this
/// user name as an API key, whatever the password: Freshservice and others send a key in this way.
fn by_password<'a>(
    clients: &'a BTreeMap<String, Client>,
    text: &str,
) -> Result<Caller<'a>, Denied<'a>> {
    let pair = STANDARD.decode(text).map_err(|_| Denied::Unproven)?;
    // Some clients, such as Python's requests, send ISO 8859-1 although the challenge asks for UTF-8 (RFC 7617 §2.1).
    let pair = String::from_utf8(pair).unwrap_or_else(|error| {
        let bytes = error.into_bytes();
        bytes.into_iter().map(char::from).collect()
    });
    let pair = pair.into_bytes();
    let colon = pair.iter().position(|byte| *byte == b':');
    let (username, password) = pair.split_at(colon.ok_or(Denied::Unproven)?);
    let is_named = Choice::from(u8::from(!username.is_empty()));
    let username: [u8; 32] = Sha256::digest(username).into();
    let password: [u8; 32] = Sha256::digest(&password[1..]).into();
    let matches = |client: &Client| {
        let Credentials {
            api_keys, basic, ..
        } = &client.credentials;
        let by_key = any_is(api_keys, &username) & is_named;
        match basic {
            Some(basic) => {
                let known: [u8; 32] = Sha256::digest(&basic.username).into();
                by_key | known.ct_eq(&username) & any_is(&basic.passwords, &password)
            }
            None => by_key,
        }
    };
    only(clients, matches)
        .map(Caller::from)
        .ok_or(Denied::Unproven)
}

fn any_is(known: &[[u8; 32]], hash: &[u8; 32]) -> Choice {
    let none = Choice::from(0);
    known
        .iter()
        .fold(none, |found, known| found | known.ct_eq(hash))
}

/// Returns the client that matches, if exactly one does. All clients are checked, so that the time reveals nothing.
fn only<'a>(
    clients: &'a BTreeMap<String, Client>,
    matches: impl Fn(&'a Client) -> Choice,
) -> Option<&'a Client> {
    let mut found = Vec::new();
    for client in clients.values() {
        if bool::from(matches(client)) {
            found.push(client);
        }
    }
    match found.as_slice() {
        [client] => Some(client),
        _ => None,
    }
}
