//! The headers of one attempt. Time and signatures are of the attempt; id and body are those of the event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac as Mac, KeyInit, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use sha2::{Sha256, Sha384, Sha512};

use super::Letter;
use crate::profile::{Algorithm, Encoding, Hmac, Signature};
use crate::secret::Secret;
use crate::webhook;

/// Every header but `host` and `content-length`; `credentials` prove us to the receiver.
pub(super) fn of(
    letter: &Letter<'_>,
    body: &[u8],
    credentials: Option<&(HeaderName, Secret)>,
    now: Timestamp,
) -> Result<HeaderMap, &'static str> {
    let (event, profile) = (letter.event, &letter.way.profile);
    let mut headers = Headers(HeaderMap::new());
    for (name, value) in &profile.headers {
        headers.insert(name, value)?;
    }
    headers.insert("content-type", &profile.content_type)?;
    // The id lets any receiver tell a repeat, signed or not.
    headers.insert("webhook-id", &event.id)?;
    headers.insert("webhook-timestamp", &now.as_second().to_string())?;
    let secrets = &letter.client.signing_secrets;
    if profile.signature != Signature::None && !secrets.is_empty() {
        let signature = webhook::sign(secrets, &event.id, now, body);
        headers.insert("webhook-signature", &signature)?;
    }
    if profile.signature != Signature::None {
        headers.insert("ce-specversion", "1.0")?;
        headers.insert("ce-id", &event.id)?;
        headers.insert("ce-type", &event.kind)?;
        headers.insert("ce-source", "/v1/operations")?;
        headers.insert("ce-subject", letter.record.id.as_str())?;
        if let Some(ended_at) = letter.record.ended_at {
            headers.insert("ce-time", &ended_at.to_string())?;
        }
    }
    if let Some(traceparent) = &letter.record.traceparent {
        headers.insert("traceparent", traceparent)?;
    }
    if let (Some(hmac), Some(secret)) = (&profile.hmac, letter.way.secrets.first()) {
        headers.insert(&hmac.header, &signature(hmac, secret, body))?;
    }
    if let Some((name, value)) = credentials {
        headers.insert(name.as_str(), value.expose())?;
    }
    Ok(headers.0)
}

struct Headers(HeaderMap);

impl Headers {
    fn insert(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header cannot be sent")?;
        let value = HeaderValue::from_str(value).map_err(|_| "a header cannot be sent")?;
        self.0.insert(name, value);
        Ok(())
    }
}

/// HMAC of the body alone.
fn signature(hmac: &Hmac, secret: &Secret, body: &[u8]) -> String {
    macro_rules! mac {
        ($hash:ty) => {{
            // HMAC takes keys of any length.
            let mac = Mac::<$hash>::new_from_slice(secret.expose().as_bytes())
                .expect("HMAC takes any key");
            mac.chain_update(body).finalize().into_bytes().to_vec()
        }};
    }
    let bytes = match hmac.algorithm {
        Algorithm::Sha256 => mac!(Sha256),
        Algorithm::Sha384 => mac!(Sha384),
        Algorithm::Sha512 => mac!(Sha512),
    };
    let encoded = match hmac.encoding {
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!("{}{encoded}", hmac.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, in base64 and hexadecimal.
    #[test]
    fn the_published_vectors_are_reproduced() {
        let secret = Secret::new("Jefe");
        let signed = |algorithm, encoding, prefix: &str| {
            let hmac = Hmac {
                header: "x".to_owned(),
                algorithm,
                encoding,
                prefix: prefix.to_owned(),
            };
            signature(&hmac, &secret, b"what do ya want for nothing?")
        };
        assert_eq!(
            signed(Algorithm::Sha256, Encoding::Hex, "sha256="),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            signed(Algorithm::Sha256, Encoding::Base64, ""),
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
        );
        let sha384 = signed(Algorithm::Sha384, Encoding::Hex, "");
        assert!(
            sha384.starts_with("af45d2e376484031617f78d2b58a6b1b"),
            "{sha384}"
        );
        let sha512 = signed(Algorithm::Sha512, Encoding::Hex, "");
        assert!(
            sha512.starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"),
            "{sha512}"
        );
    }
}
