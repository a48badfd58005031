//! Reads the credentials of a caller: API keys, Basic, signed requests, JWTs and a queue, any of them at once. The
//! module `auth` verifies requests by them.

use http::HeaderName;
use url::Url;

use super::event_rules;
use super::findings::did_you_mean;
use super::reader::Reader;
pub use crate::crypto::hmac::{Encoding, HmacAlgorithm};
use crate::crypto::secret::Secret;
use crate::crypto::webhook_signature::SigningSecret;
use crate::outbound::address::Allowed;

/// The ways in which one client may authenticate.
#[derive(Default)]
pub struct Credentials {
    /// SHA-256 of each API key.
    pub api_keys: Vec<[u8; 32]>,
    pub basic: Option<Basic>,
    pub signed: Option<SignedRequests>,
    pub jwt: Option<JwtRule>,
    /// The name of the SQS queue whose messages are this client's requests.
    pub queue: Option<String>,
}

/// A user name and its passwords for HTTP Basic authentication (RFC 7617).
pub struct Basic {
    pub username: String,
    /// SHA-256 of each password.
    pub passwords: Vec<[u8; 32]>,
}

/// The settings for requests that carry an HMAC of their body.
pub struct SignedRequests {
    pub dialect: Dialect,
    /// The bytes of each secret; a request may be signed with any of them.
    pub secrets: Vec<Vec<u8>>,
}

/// The content that a request signs, and the header that holds the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    StandardWebhooks,
    Zendesk,
    Github,
    BodyHmac {
        header: HeaderName,
        encoding: Encoding,
        algorithm: HmacAlgorithm,
        /// Text before the signature in the header, such as `sha256=`.
        prefix: String,
    },
}

/// The rule by which a JWT (RFC 7519) is accepted as the client's.
pub struct JwtRule {
    pub issuer: String,
    pub audience: String,
    /// URL of the issuer's key set (RFC 7517).
    pub jwks_url: Url,
    pub algorithms: Vec<JwtAlgorithm>,
    pub right: Right,
    /// The exact `sub` that is required, if only one subject may call.
    pub subject: Option<String>,
}

/// A signature algorithm that a token may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    Rs256,
    Ps256,
    Es256,
}

/// The scope or role that a token must grant.
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

    /// Returns the names of the header that may hold the signature; its presence means that a request is signed.
    ///
    /// The first name is the dialect's own. Svix's libraries send Standard Webhooks under another one.
    pub fn headers(&self) -> Vec<HeaderName> {
        let svix = HeaderName::from_static("svix-signature");
        let other = (*self == Self::StandardWebhooks).then_some(svix);
        [self.header()].into_iter().chain(other).collect()
    }

    /// Returns the dialect's own name of the header that holds the signature.
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

    /// Returns the name of the algorithm in a token's header (RFC 7518 §3.1).
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

/// Reads the credentials of a client.
pub(super) fn credentials(table: &mut Reader<'_>, allowed: &Allowed) -> Credentials {
    let rule = "at least one key is needed (or basic, signed, jwt or source instead), or nobody can call as this client";
    let unsigned = read(table, allowed, &["basic", "signed", "jwt", "source"], rule);
    Credentials {
        signed: table.optional_table("signed", signed).flatten(),
        queue: event_rules::queue(table),
        ..unsigned
    }
}

/// Reads the credentials of an operator, who signs no requests: a signature proves only a request that starts something.
pub(super) fn operator_credentials(table: &mut Reader<'_>, allowed: &Allowed) -> Credentials {
    let rule =
        "at least one key is needed (or basic or jwt instead), or nobody can call as this operator";
    read(table, allowed, &["basic", "jwt"], rule)
}

/// Reads the credentials but signatures; `instead` names the keys that `api_keys` may be left out for.
fn read(
    table: &mut Reader<'_>,
    allowed: &Allowed,
    instead: &'static [&'static str],
    rule: &str,
) -> Credentials {
    let api_keys = table.texts("api_keys", |text| sha256(&text));
    if table.has("api_keys") {
        table.require_items("api_keys", rule);
    } else if !instead.iter().any(|key| table.has(key)) {
        table.missing("api_keys", instead, rule);
    }
    Credentials {
        api_keys,
        basic: table.optional_table("basic", basic).flatten(),
        signed: None,
        jwt: table
            .optional_table("jwt", |table| jwt(table, allowed))
            .flatten(),
        queue: None,
    }
}

/// Parses `sha256:` followed by 64 hexadecimal digits.
fn sha256(text: &str) -> Result<[u8; 32], String> {
    let rule = || "must be sha256: and the 64 hexadecimal digits of its SHA-256".to_owned();
    let digits = text.strip_prefix("sha256:").ok_or_else(rule)?;
    let bytes = hex(digits).ok_or_else(rule)?;
    bytes.try_into().map_err(|_| rule())
}

/// Decodes hexadecimal digits of either case; `None` for anything else.
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
    table.require_items("passwords", "at least one password is needed");
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
    let name = table.text("dialect");
    let dialect = match name.as_deref() {
        Some("standard-webhooks") => Some(Dialect::StandardWebhooks),
        Some("zendesk") => Some(Dialect::Zendesk),
        Some("github") => Some(Dialect::Github),
        Some("body-hmac") => body_hmac(table),
        Some(other) => {
            let known = ["standard-webhooks", "zendesk", "github", "body-hmac"];
            let hint = did_you_mean(other, known);
            let rule = format!("must be standard-webhooks, zendesk, github or body-hmac{hint}");
            table.error("dialect", &rule);
            table.excuse(&BODY_HMAC_KEYS);
            None
        }
        None => {
            table.excuse(&BODY_HMAC_KEYS);
            None
        }
    };
    let is_standard = name.as_deref() == Some("standard-webhooks");
    let secrets = table.secrets("secrets", |secret| {
        if is_standard {
            SigningSecret::parse(secret).map(|secret| secret.bytes().to_vec())
        } else {
            text_secret(secret)
        }
    });
    table.require_items("secrets", "at least one secret is needed");
    Some(SignedRequests {
        dialect: dialect?,
        secrets,
    })
}

/// Returns the bytes of a secret whose text itself is the key.
fn text_secret(secret: &Secret) -> Result<Vec<u8>, String> {
    let bytes = secret.expose().as_bytes();
    if bytes.len() < 16 {
        return Err("must have at least 16 bytes, or it could be guessed".to_owned());
    }
    Ok(bytes.to_vec())
}

/// Headers that have another meaning in a request and cannot hold a signature.
const RESERVED_HEADERS: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "prefer",
    "svix-signature",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "webhook-signature",
    "x-api-key",
    "x-zendesk-webhook-signature",
];

/// The keys that only the dialect `body-hmac` has.
const BODY_HMAC_KEYS: [&str; 4] = ["header", "encoding", "algorithm", "prefix"];

fn body_hmac(table: &mut Reader<'_>) -> Option<Dialect> {
    let header = table.text("header");
    let encoding = table.text("encoding");
    let algorithm = table.text("algorithm");
    let prefix = table.optional_text("prefix").unwrap_or_default();
    let header = header.and_then(|text| {
        let name = HeaderName::try_from(text).ok();
        let name = name.filter(|name| !RESERVED_HEADERS.contains(&name.as_str()));
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
    if is_listed {
        table.require_items("algorithms", "at least one algorithm is needed");
    }
    if algorithms.is_empty() {
        algorithms = JwtAlgorithm::ALL.to_vec();
    }
    let scope = table.optional_text("required_scope").map(Right::Scope);
    let role = table.optional_text("required_role").map(Right::Role);
    match (table.has("required_scope"), table.has("required_role")) {
        (true, true) => table.error("required_role", "either required_scope or required_role"),
        (false, false) => {
            let rule = "a scope (or required_role instead) is needed, or every token of the issuer would do";
            table.missing("required_scope", &["required_role"], rule);
        }
        (true, false) | (false, true) => {}
    }
    let subject = table.optional_text("subject");
    Some(JwtRule {
        issuer: issuer?,
        audience: audience?,
        jwks_url: jwks_url?,
        algorithms,
        right: scope.or(role)?,
        subject,
    })
}
