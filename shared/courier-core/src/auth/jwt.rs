//! Verifies JSON Web Tokens (RFC 7519, RFC 8725).
//!
//! The algorithm must be one that is configured for the client, and the key is one of its issuer's, found by `kid`.
//! Everything else that a token's header says about keys is ignored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::jwks::{Key, KeySets};
use super::{Denied, Principal};
use crate::config::credentials::{JwtAlgorithm, JwtRule, Right};
use crate::strict_json;

/// Accepted difference between the issuer's clock and ours, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// Returns the one caller whose rule the token meets.
///
/// The error names a broken rule only if the token's signature is valid for somebody.
pub(super) async fn verify<'a>(
    text: &str,
    known: &[Principal<'a>],
    key_sets: &KeySets,
    now: Timestamp,
) -> Result<Principal<'a>, Denied<'a>> {
    let token = Token::parse(text).ok_or(Denied::Unproven)?;
    let (mut keeping, mut breaking) = (Vec::new(), Vec::new());
    let mut is_unreachable = false;
    for one in known {
        let rule = one.credentials().jwt.as_ref();
        let Some(rule) = rule.filter(|rule| token.is_for(rule)) else {
            continue;
        };
        let matches = |key: &Key| key.matches(&token.kid, token.algorithm);
        let Ok(keys) = key_sets.get(&rule.jwks_url, matches).await else {
            is_unreachable = true;
            continue;
        };
        if !keys
            .iter()
            .any(|key| matches(key) && token.is_signed_by(key))
        {
            continue;
        }
        match token.judge(rule, now) {
            Ok(()) => keeping.push(*one),
            Err(broken) => breaking.push((broken, *one)),
        }
    }
    match (keeping.as_slice(), furthest(&breaking)) {
        ([one], _) => Ok(*one),
        ([one, ..], _) => Err(Denied::Proven {
            name: one.name(),
            rule: "the token fits several clients",
        }),
        ([], Some((Broken::Right, one))) => Err(Denied::NotGranted {
            name: one.name(),
            rule: Broken::Right.rule(),
        }),
        ([], Some((broken, one))) => Err(Denied::Proven {
            name: one.name(),
            rule: broken.rule(),
        }),
        ([], None) if is_unreachable => Err(Denied::Unreachable),
        ([], None) => Err(Denied::Unproven),
    }
}

/// Returns the caller whose rule the token came closest to meeting, with the rule that it broke.
fn furthest<'a>(breaking: &[(Broken, Principal<'a>)]) -> Option<(Broken, Principal<'a>)> {
    breaking.iter().copied().max_by_key(|(broken, _)| *broken)
}

/// A rule that a token with a valid signature breaks, in the order in which the rules are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Broken {
    Kind,
    IdToken,
    Expired,
    Early,
    Audience,
    Subject,
    Right,
}

impl Broken {
    fn rule(self) -> &'static str {
        match self {
            Self::Kind => "the token's `typ` is not that of an access token",
            Self::IdToken => "the token is an ID token; send an access token",
            Self::Expired => "the token has no `exp` to come",
            Self::Early => "the token's `nbf` is still to come",
            Self::Audience => "the token is for another audience",
            Self::Subject => "the token is of another subject",
            Self::Right => "the token lacks the required scope or role",
        }
    }
}

/// What a token's header says that the token is (`typ`: RFC 9068, section 4; RFC 8725, section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    AccessToken,
    /// `JWT`, or nothing.
    AnyToken,
    Other,
}

impl Kind {
    fn of(header: &Map<String, Value>) -> Self {
        let Some(kind) = header.get("typ") else {
            return Self::AnyToken;
        };
        let kind = kind.as_str().unwrap_or_default().to_ascii_lowercase();
        match kind.as_str() {
            "at+jwt" | "application/at+jwt" => Self::AccessToken,
            "jwt" => Self::AnyToken,
            _ => Self::Other,
        }
    }
}

/// Claims that an issuer puts into ID tokens (OpenID Connect Core 1.0, sections 2 and 3.3.2.11).
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// A token that is parsed but not yet verified.
struct Token<'t> {
    algorithm: JwtAlgorithm,
    kid: String,
    kind: Kind,
    /// The signed bytes: header and claims, as they were sent.
    content: &'t [u8],
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (content, signature) = text.rsplit_once('.')?;
        let (header, claims) = content.split_once('.')?;
        let header = object(header)?;
        // A token with an extension that is not understood must be refused (RFC 7515 §4.1.11), and we support none.
        if header.contains_key("crit") {
            return None;
        }
        Some(Self {
            algorithm: JwtAlgorithm::parse(header.get("alg")?.as_str()?)?,
            kid: header.get("kid")?.as_str()?.to_owned(),
            kind: Kind::of(&header),
            content: content.as_bytes(),
            claims: object(claims)?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    fn is_for(&self, rule: &JwtRule) -> bool {
        let issuer = self.claims.get("iss").and_then(Value::as_str);
        issuer == Some(&rule.issuer) && rule.algorithms.contains(&self.algorithm)
    }

    fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(self.algorithm, self.content, &self.signature)
    }

    fn judge(&self, rule: &JwtRule, now: Timestamp) -> Result<(), Broken> {
        let now = now.as_duration().as_secs_f64();
        let time = |name: &str| self.claims.get(name).map(Value::as_f64);
        let is_current = matches!(time("exp"), Some(Some(end)) if now < end + LEEWAY_SECONDS);
        let has_begun = match time("nbf") {
            None => true,
            Some(begin) => begin.is_some_and(|begin| begin <= now + LEEWAY_SECONDS),
        };
        let subject = self.claims.get("sub").and_then(Value::as_str);
        let is_granted = match &rule.right {
            Right::Scope(scope) => self.lists("scp", scope) || self.lists("scope", scope),
            Right::Role(role) => self.holds("roles", role),
        };
        let has_id_claim = ID_TOKEN_CLAIMS
            .iter()
            .any(|name| self.claims.contains_key(*name));
        let is_id_token = self.kind == Kind::AnyToken && has_id_claim;
        [
            (self.kind != Kind::Other, Broken::Kind),
            (!is_id_token, Broken::IdToken),
            (is_current, Broken::Expired),
            (has_begun, Broken::Early),
            (self.holds("aud", &rule.audience), Broken::Audience),
            (
                rule.subject.is_none() || subject == rule.subject.as_deref(),
                Broken::Subject,
            ),
            (is_granted, Broken::Right),
        ]
        .into_iter()
        .find_map(|(is_kept, broken)| (!is_kept).then_some(Err(broken)))
        .unwrap_or(Ok(()))
    }

    /// Reports whether a claim is `text`, or a list that contains `text`.
    fn holds(&self, name: &str, text: &str) -> bool {
        match self.claims.get(name) {
            Some(Value::String(one)) => one == text,
            Some(Value::Array(all)) => all.iter().any(|one| one == text),
            _ => false,
        }
    }

    /// Reports whether a claim contains `text`, also in a list that is separated by spaces (RFC 8693 §4.2).
    fn lists(&self, name: &str, text: &str) -> bool {
        let claim = self.claims.get(name).and_then(Value::as_str);
        self.holds(name, text) || claim.is_some_and(|all| all.split(' ').any(|one| one == text))
    }
}

/// Decodes one part of a token: base64url without padding around a JSON object without duplicate names.
fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    let value = strict_json::parse(&bytes).ok()?;
    value.as_object().cloned()
}
