//! How a client proves who it is: API keys, Basic, signed requests and JWTs, any of them at once. What they mean is
//! the business of `authenticate`.

use std::collections::BTreeMap;

use http::HeaderName;
use sha2::{Digest, Sha256};
use url::Url;

use super::Client;
use crate::config::reader::Reader;
pub use crate::crypto::hmac::{Encoding, HmacAlgorithm};
use crate::crypto::secret::Secret;
use crate::crypto::webhook_signature::SigningSecret;
use crate::outbound::address::Allowed;

/// Every profile in which one client may prove itself.
#[derive(Default)]
pub struct Credentials {
    /// SHA-256 of each key.
    pub api_keys: Vec<[u8; 32]>,
    pub basic: Option<Basic>,
    pub signed: Option<SignedRequests>,
    pub jwt: Option<JwtRule>,
}

/// RFC 7617.
pub struct Basic {
    pub username: String,
    /// SHA-256 of each password.
    pub passwords: Vec<[u8; 32]>,
}

/// Requests that carry an HMAC of their body.
pub struct SignedRequests {
    pub dialect: Dialect,
    /// The bytes of each secret; any of them may have signed.
    pub secrets: Vec<Vec<u8>>,
}

/// What is signed, and where the signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    StandardWebhooks,
    Zendesk,
    Github,
    BodyHmac {
        header: HeaderName,
        encoding: Encoding,
        algorithm: HmacAlgorithm,
        /// What stands before the signature, as in `sha256=`.
        prefix: String,
    },
}

/// Which tokens (RFC 7519) are the client's.
pub struct JwtRule {
    pub issuer: String,
    pub audience: String,
    /// Where the issuer's keys are (RFC 7517).
    pub jwks_url: Url,
    pub algorithms: Vec<JwtAlgorithm>,
    pub right: Right,
    /// The exact `sub`, if only one subject is meant.
    pub subject: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    Rs256,
    Ps256,
    Es256,
}

/// What a token must grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    Scope(String),
    Role(String),
}

impl Dialect {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::Zendesk => "zendesk",
            Self::Github => "github",
            Self::BodyHmac { .. } => "body-hmac",
        }
    }

    /// The header that holds the signature: it says that a request is signed.
    pub fn header(&self) -> HeaderName {
        match self {
            Self::StandardWebhooks => HeaderName::from_static("webhook-signature"),
            Self::Zendesk => HeaderName::from_static("x-zendesk-webhook-signature"),
            Self::Github => HeaderName::from_static("x-hub-signature-256"),
            Self::BodyHmac { header, .. } => header.clone(),
        }
    }
}

impl JwtAlgorithm {
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Ps256, Self::Es256];

    /// RFC 7518 §3.1.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
    }
}

pub(super) fn credentials(table: &mut Reader<'_>, allowed: &Allowed) -> Credentials {
    let profiles = ["api_keys", "basic", "signed", "jwt"];
    let is_one_given = profiles.iter().any(|key| table.has(key));
    let api_keys = table.texts("api_keys", |text| sha256(&text));
    if !is_one_given || (table.has("api_keys") && api_keys.is_empty()) {
        table.error(
            "api_keys",
            "at least one key is needed (or basic, signed or jwt instead), or nobody can call as this client",
        );
    }
    Credentials {
        api_keys,
        basic: table.optional_table("basic", basic).flatten(),
        signed: table.optional_table("signed", signed).flatten(),
        jwt: table
            .optional_table("jwt", |table| jwt(table, allowed))
            .flatten(),
    }
}

/// `sha256:` and 64 hexadecimal digits.
fn sha256(text: &str) -> Result<[u8; 32], String> {
    let rule = || "must be sha256: and the 64 hexadecimal digits of its SHA-256".to_owned();
    let digits = text.strip_prefix("sha256:").ok_or_else(rule)?;
    let bytes = hex(digits).ok_or_else(rule)?;
    bytes.try_into().map_err(|_| rule())
}

/// The bytes of hexadecimal digits, in either case.
pub(crate) fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect::<Option<_>>())
        .flatten()
}

fn basic(table: &mut Reader<'_>) -> Option<Basic> {
    let username = table.text("username");
    let passwords = table.texts("passwords", |text| sha256(&text));
    if passwords.is_empty() {
        table.error("passwords", "at least one password is needed");
    }
    let username = username?;
    if username.contains(|letter: char| letter == ':' || letter.is_control()) {
        table.error("username", "must hold no colon and no control character");
    }
    Some(Basic {
        username,
        passwords,
    })
}

fn signed(table: &mut Reader<'_>) -> Option<SignedRequests> {
    let word = table.text("dialect");
    let dialect = match word.as_deref() {
        Some("standard-webhooks") => Some(Dialect::StandardWebhooks),
        Some("zendesk") => Some(Dialect::Zendesk),
        Some("github") => Some(Dialect::Github),
        Some("body-hmac") => body_hmac(table),
        Some(_) => {
            let rule = "must be standard-webhooks, zendesk, github or body-hmac";
            table.error("dialect", rule);
            None
        }
        None => None,
    };
    let is_standard = word.as_deref() == Some("standard-webhooks");
    let secrets = table.secrets("secrets", |secret| {
        if is_standard {
            SigningSecret::parse(secret).map(|secret| secret.bytes().to_vec())
        } else {
            text_secret(secret)
        }
    });
    if secrets.is_empty() {
        table.error("secrets", "at least one secret is needed");
    }
    Some(SignedRequests {
        dialect: dialect?,
        secrets,
    })
}

/// A secret whose text is the key.
fn text_secret(secret: &Secret) -> Result<Vec<u8>, String> {
    let bytes = secret.expose().as_bytes();
    if bytes.len() < 16 {
        return Err("must have at least 16 bytes, or it could be guessed".to_owned());
    }
    Ok(bytes.to_vec())
}

/// Headers that mean something else here.
const TAKEN: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "prefer",
    "traceparent",
    "transfer-encoding",
    "webhook-signature",
    "x-api-key",
    "x-zendesk-webhook-signature",
];

fn body_hmac(table: &mut Reader<'_>) -> Option<Dialect> {
    let header = table.text("header");
    let encoding = table.text("encoding");
    let algorithm = table.text("algorithm");
    let prefix = table.optional_text("prefix").unwrap_or_default();
    let header = header.and_then(|text| {
        let name = HeaderName::try_from(text).ok();
        let name = name.filter(|name| !TAKEN.contains(&name.as_str()));
        if name.is_none() {
            table.error("header", "must be the name of a header with no other use");
        }
        name
    });
    let encoding = Encoding::parse(&encoding?).map_err(|rule| table.error("encoding", rule));
    let algorithm =
        HmacAlgorithm::parse(&algorithm?).map_err(|rule| table.error("algorithm", rule));
    Some(Dialect::BodyHmac {
        header: header?,
        encoding: encoding.ok()?,
        algorithm: algorithm.ok()?,
        prefix,
    })
}

fn jwt(table: &mut Reader<'_>, allowed: &Allowed) -> Option<JwtRule> {
    let issuer = table.text("issuer");
    let audience = table.text("audience");
    let jwks_url = table.endpoint("jwks_url", allowed);
    let is_listed = table.has("algorithms");
    let mut algorithms = table.texts("algorithms", |text| {
        JwtAlgorithm::parse(&text).ok_or_else(|| "must be RS256, PS256 or ES256".to_owned())
    });
    if algorithms.is_empty() {
        if is_listed {
            table.error("algorithms", "at least one algorithm is needed");
        }
        algorithms = JwtAlgorithm::ALL.to_vec();
    }
    let scope = table.optional_text("required_scope").map(Right::Scope);
    let role = table.optional_text("required_role").map(Right::Role);
    let right = match (scope, role) {
        (Some(right), None) | (None, Some(right)) => Some(right),
        (Some(_), Some(_)) => {
            table.error("required_role", "either required_scope or required_role");
            None
        }
        (None, None) => {
            let rule = "a scope (or required_role instead) is needed, or every token of the issuer would do";
            table.error("required_scope", rule);
            None
        }
    };
    let subject = table.optional_text("subject");
    Some(JwtRule {
        issuer: issuer?,
        audience: audience?,
        jwks_url: jwks_url?,
        algorithms,
        right: right?,
        subject,
    })
}

/// Who calls must be unambiguous: no two clients share a credential.
pub(super) fn check_ambiguity(clients: &BTreeMap<String, Client>, errors: &mut Vec<String>) {
    let mut seen: BTreeMap<[u8; 32], (&str, String)> = BTreeMap::new();
    for client in clients.values() {
        for (key, identity) in identities(&client.credentials) {
            let place = format!("clients.{}.{key}", client.name);
            match seen.get(&identity) {
                Some((other, first)) if *other != client.name => {
                    errors.push(format!(
                        "{place}: is also {first}: who calls would be unclear"
                    ));
                }
                Some(_) => {}
                None => {
                    seen.insert(identity, (&client.name, place));
                }
            }
        }
    }
}

/// Where a credential stands, and a hash that only the same credential has.
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
    found
}
