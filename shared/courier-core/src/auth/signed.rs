//! Verifies requests that carry an HMAC of their body: Standard Webhooks 1.0 (also under Svix's names of its headers),
//! the dialects of Zendesk and GitHub, and a configurable HMAC of the body alone.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Caller, Denied, Signed, only};
use crate::config::Client;
use crate::config::credentials::{Dialect, Encoding, HmacAlgorithm, SignedRequests, hex};

/// Accepted difference between a signed timestamp and our clock, in seconds, in both directions.
const TIMESTAMP_TOLERANCE_SECONDS: u64 = 5 * 60;

/// Returns the client that has signed this request, with what identifies the request when it is repeated.
pub fn verify<'a>(
    headers: &HeaderMap,
    body: &[u8],
    clients: &'a BTreeMap<String, Client>,
    now: Timestamp,
) -> Result<Caller<'a>, Denied<'a>> {
    let header = signature_header(headers, clients).ok_or(Denied::Unproven)?;
    let claim = |client: &'a Client| {
        let configured = client.credentials.signed.as_ref();
        let signed = configured.filter(|signed| signed.dialect.headers().contains(&header))?;
        Some((
            signed,
            Claim::read(&signed.dialect, &header, headers, body)?,
        ))
    };
    let none = Choice::from(0);
    let signer = only(clients.values(), |client| {
        claim(client).map_or(none, |(signed, claim)| claim.is_of(signed))
    });
    let client = signer.ok_or(Denied::Unproven)?;
    let (_, claim) = claim(client).ok_or(Denied::Unproven)?;
    let second = now.as_second();
    if claim
        .second
        .is_some_and(|signed| signed.abs_diff(second) > TIMESTAMP_TOLERANCE_SECONDS)
    {
        let rule = "the signed timestamp is more than 5 minutes away";
        let name = &client.name;
        return Err(Denied::Proven { name, rule });
    }
    Ok(Caller {
        client,
        signed: Some(claim.same),
        expires: None,
    })
}

/// Returns the header that holds the request's signature, among those that any client uses; `None` if there are two.
fn signature_header(headers: &HeaderMap, clients: &BTreeMap<String, Client>) -> Option<HeaderName> {
    let signed = clients
        .values()
        .filter_map(|client| client.credentials.signed.as_ref());
    let mut present = signed
        .flat_map(|signed| signed.dialect.headers())
        .filter(|name| headers.contains_key(name));
    let first = present.next()?;
    present.all(|other| other == first).then_some(first)
}

/// The signature of a request and what it covers, read in one dialect and not yet verified.
struct Claim<'r> {
    content: Vec<&'r [u8]>,
    algorithm: HmacAlgorithm,
    /// The signatures of the request, of which one must match.
    signatures: Vec<Vec<u8>>,
    /// The signed timestamp, in whole seconds, if the dialect has one.
    second: Option<i64>,
    /// The identity of the request, by which a repeat is recognised.
    same: Signed,
}

impl<'r> Claim<'r> {
    /// Reads the signature from the header of this name, and what belongs to it from the dialect's other headers.
    fn read(
        dialect: &Dialect,
        name: &HeaderName,
        headers: &'r HeaderMap,
        body: &'r [u8],
    ) -> Option<Self> {
        let signature = once(headers, name.as_str())?;
        let of_body = |signature: Vec<u8>, algorithm| Self {
            content: vec![body],
            algorithm,
            signatures: vec![signature],
            second: None,
            same: Signed::Content(Sha256::digest(body).into()),
        };
        match dialect {
            Dialect::StandardWebhooks => Self::standard(headers, name, signature, body),
            Dialect::Zendesk => {
                let time = once(headers, "x-zendesk-webhook-signature-timestamp")?;
                let hash = Sha256::new().chain_update(time).chain_update(body);
                Some(Self {
                    content: vec![time.as_bytes(), body],
                    algorithm: HmacAlgorithm::Sha256,
                    signatures: vec![STANDARD.decode(signature).ok()?],
                    second: Some(time.parse::<Timestamp>().ok()?.as_second()),
                    same: Signed::Content(hash.finalize().into()),
                })
            }
            Dialect::Github => {
                let signature = hex(signature.strip_prefix("sha256=")?)?;
                Some(of_body(signature, HmacAlgorithm::Sha256))
            }
            Dialect::BodyHmac {
                encoding,
                algorithm,
                prefix,
                ..
            } => {
                let text = signature.strip_prefix(prefix.as_str())?;
                let signature = match encoding {
                    Encoding::Hex => hex(text),
                    Encoding::Base64 => STANDARD.decode(text).ok(),
                };
                Some(of_body(signature?, *algorithm))
            }
        }
    }

    /// Reads a request whose headers are either `webhook-*` or `svix-*`; one with both kinds means nothing.
    fn standard(
        headers: &'r HeaderMap,
        name: &HeaderName,
        signatures: &str,
        body: &'r [u8],
    ) -> Option<Self> {
        let mut spellings = [
            ["webhook-id", "webhook-timestamp", "webhook-signature"],
            ["svix-id", "svix-timestamp", "svix-signature"],
        ];
        if name.as_str().starts_with("svix-") {
            spellings.reverse();
        }
        let [[id, time, _], other] = spellings;
        if other.iter().any(|name| headers.contains_key(*name)) {
            return None;
        }
        let id = once(headers, id)?;
        let time = once(headers, time)?;
        let is_id = (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte != b'\t');
        let is_time = time.bytes().all(|byte| byte.is_ascii_digit());
        let signatures = signatures
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        (is_id && is_time).then_some(Self {
            content: vec![id.as_bytes(), b".", time.as_bytes(), b".", body],
            algorithm: HmacAlgorithm::Sha256,
            signatures: signatures.collect(),
            second: Some(time.parse().ok()?),
            same: Signed::Id(id.to_owned()),
        })
    }

    /// Reports whether any of the client's secrets made any of the signatures; all pairs are compared.
    fn is_of(&self, signed: &SignedRequests) -> Choice {
        let mut found = Choice::from(0);
        for secret in &signed.secrets {
            let expected = self.algorithm.sign(secret, &self.content);
            for signature in &self.signatures {
                found |= expected.ct_eq(signature);
            }
        }
        found
    }
}

/// Returns a header's value if the header was sent exactly once, as visible ASCII.
fn once<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}
