//! Authenticates callers (`docs/adr/0017`).
//!
//! Everything fails closed and compares in constant time over all clients and operators. The answer names the broken rule only for a
//! caller that has proved to know the secret, or where the rule is about the number of credentials and not about any.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::credentials::Credentials;
use crate::config::{Client, Config, Operator};

pub(crate) mod jwks;
mod jwt;
pub mod signed;

use jwks::KeySets;

/// The client that an operation is started for.
pub struct Caller<'a> {
    pub client: &'a Client,
    /// The signed identity of the request, if a signature authenticates it.
    pub signed: Option<Signed>,
    /// When the caller has no more use for the operation, if it says so.
    pub expires: Option<Timestamp>,
}

/// Somebody whom the configuration knows, and who proves it with credentials.
#[derive(Clone, Copy)]
pub enum Principal<'a> {
    /// A system that asks for operations, and sees its own.
    Client(&'a Client),
    /// Somebody who runs graph-courier, and sees the operations of many clients.
    Operator(&'a Operator),
}

impl<'a> Principal<'a> {
    /// Returns all clients and operators.
    fn all(config: &'a Config) -> Vec<Self> {
        let clients = config.clients.values().map(Self::Client);
        let operators = config.operators.values().map(Self::Operator);
        clients.chain(operators).collect()
    }

    pub fn name(self) -> &'a str {
        match self {
            Self::Client(client) => &client.name,
            Self::Operator(operator) => &operator.name,
        }
    }

    /// Returns kind and name, as histories and logs have them: `client tickets`, `operator night-shift`.
    pub fn label(self) -> String {
        match self {
            Self::Client(client) => format!("client {}", client.name),
            Self::Operator(operator) => format!("operator {}", operator.name),
        }
    }

    pub(crate) fn credentials(self) -> &'a Credentials {
        match self {
            Self::Client(client) => &client.credentials,
            Self::Operator(operator) => &operator.credentials,
        }
    }

    pub(crate) fn requests_per_minute(self) -> u32 {
        match self {
            Self::Client(client) => client.requests_per_minute,
            Self::Operator(operator) => operator.requests_per_minute,
        }
    }
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
    /// The caller has proved to know the secret of the client or operator of this name, but breaks this rule.
    Proven { name: &'a str, rule: &'static str },
    /// The caller has proved who it is, but its token does not grant the right that is required.
    NotGranted { name: &'a str, rule: &'static str },
    /// The issuer's keys are unavailable, so the token can be neither accepted nor refused now.
    Unreachable,
}

impl<'a> From<&'a Client> for Caller<'a> {
    fn from(client: &'a Client) -> Self {
        Self {
            client,
            signed: None,
            expires: None,
        }
    }
}

/// Returns the caller of a request, and what identifies the request if a signature authenticates it.
///
/// A request with `Authorization` or `X-Api-Key` must have exactly one of them, and that one decides. Without them a
/// signature is checked, but only if the request `starts` an operation: it covers neither method nor path.
pub(crate) async fn authenticate<'a>(
    config: &'a Config,
    key_sets: &KeySets,
    request: &Request<Bytes>,
    starts: bool,
    now: Timestamp,
) -> Result<(Principal<'a>, Option<Signed>), Denied<'a>> {
    let known = Principal::all(config);
    let credential = Credential::read(request.headers());
    let unsigned = |found: Result<Principal<'a>, Denied<'a>>| found.map(|found| (found, None));
    let (kind, caller) = match &credential {
        Credential::Key(key) => ("key", unsigned(by_key(&known, key))),
        Credential::Basic(text) => ("basic", unsigned(by_password(&known, text))),
        Credential::Bearer(text) => match by_key(&known, text.as_bytes()) {
            Ok(caller) => ("key", Ok((caller, None))),
            Err(_) => {
                let verified = jwt::verify(text, &known, key_sets, now).await;
                ("bearer", unsigned(verified))
            }
        },
        Credential::Absent if starts => {
            let clients = &config.clients;
            let signed = signed::verify(request.headers(), request.body(), clients, now);
            let signed = signed.map(|caller| (Principal::Client(caller.client), caller.signed));
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
            Self::Proven { name, rule } | Self::NotGranted { name, rule } => {
                tracing::info!(credential = kind, client = name, rule, "caller refused");
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

/// Returns the client whose requests arrive in this queue. Only the host of an intake queue asks: the name is what the
/// platform says about the queue, and no part of a request.
pub(crate) fn by_queue<'a>(config: &'a Config, queue: &str) -> Option<Principal<'a>> {
    let mut clients = config.clients.values();
    let found = clients.find(|client| client.credentials.queue.as_deref() == Some(queue));
    found.map(Principal::Client)
}

/// Returns the challenges of a 401 (RFC 9110, section 11.6.1): one for each scheme of `Authorization` that a client may
/// use, and one of our own where all clients sign, because a 401 must have one.
///
/// Basic comes first: where a gateway joins the challenges to one line, some clients read only the beginning of it.
pub(crate) fn challenges(config: &Config) -> Vec<HeaderValue> {
    let known = Principal::all(config);
    let any = |used: fn(&Credentials) -> bool| known.iter().any(|one| used(one.credentials()));
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

fn by_key<'a>(known: &[Principal<'a>], key: &[u8]) -> Result<Principal<'a>, Denied<'a>> {
    let hash: [u8; 32] = Sha256::digest(key).into();
    // Every key of everybody is compared, so that the time taken reveals nothing.
    let keys = |one: &Principal<'_>| any_is(&one.credentials().api_keys, &hash);
    only(known.iter().copied(), keys).ok_or(Denied::Unproven)
}

/// Returns the caller with this user name and password (RFC 7617: the user name ends at the first colon), or with this
/// user name as an API key, whatever the password: Freshservice and others send a key in this way.
fn by_password<'a>(known: &[Principal<'a>], text: &str) -> Result<Principal<'a>, Denied<'a>> {
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
    let matches = |one: &Principal<'_>| {
        let Credentials {
            api_keys, basic, ..
        } = one.credentials();
        let by_key = any_is(api_keys, &username) & is_named;
        match basic {
            Some(basic) => {
                let known: [u8; 32] = Sha256::digest(&basic.username).into();
                by_key | known.ct_eq(&username) & any_is(&basic.passwords, &password)
            }
            None => by_key,
        }
    };
    only(known.iter().copied(), matches).ok_or(Denied::Unproven)
}

fn any_is(known: &[[u8; 32]], hash: &[u8; 32]) -> Choice {
    let none = Choice::from(0);
    known
        .iter()
        .fold(none, |found, known| found | known.ct_eq(hash))
}

/// Returns the one that matches, if exactly one does. All are checked, so that the time reveals nothing.
fn only<T>(all: impl Iterator<Item = T>, matches: impl Fn(&T) -> Choice) -> Option<T> {
    let mut found = Vec::new();
    for one in all {
        if bool::from(matches(&one)) {
            found.push(one);
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Some(one),
        _ => None,
    }
}
