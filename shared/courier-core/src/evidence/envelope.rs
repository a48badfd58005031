//! The DSSE envelope (Dead Simple Signing Envelope, version 1): a payload, its type, and signatures over both.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::crypto::evidence_keys::{PublicKey, SigningKey};
use crate::strict_json;

pub const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope that has the right form. Nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub payload_type: String,
    pub payload: Vec<u8>,
    pub signatures: Vec<Vec<u8>>,
}

/// Returns what is signed: the pre-authentication encoding of type and payload (DSSE protocol, "PAE").
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Signs a payload and returns the envelope as JSON.
pub fn sign(payload: &[u8], key: &SigningKey) -> Value {
    let signature = key.sign(&pre_authentication(PAYLOAD_TYPE, payload));
    json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": STANDARD.encode(payload),
        "signatures": [{ "keyid": key.public().id(), "sig": STANDARD.encode(signature) }],
    })
}

impl Envelope {
    /// Reads an envelope. The error names the broken rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document = strict_json::parse(bytes).map_err(|error| error.to_string())?;
        let text = |name: &str| {
            let value = document.get(name).and_then(Value::as_str);
            value.ok_or_else(|| format!("it has no text \"{name}\""))
        };
        let signatures = document.get("signatures").and_then(Value::as_array);
        let signatures = signatures.ok_or("it has no list \"signatures\"")?;
        let signatures = signatures.iter().map(|signature| {
            let text = signature.get("sig").and_then(Value::as_str);
            decode(
                text.ok_or("a signature has no text \"sig\"")?,
                "a signature",
            )
        });
        Ok(Self {
            payload_type: text("payloadType")?.to_owned(),
            payload: decode(text("payload")?, "the payload")?,
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }

    /// Returns those keys that have signed. The ids in the envelope are hints that nobody has signed, and are not used.
    pub fn signers<'k>(&self, keys: &'k [PublicKey]) -> Vec<&'k PublicKey> {
        let signed = pre_authentication(&self.payload_type, &self.payload);
        let has_signed = |key: &&PublicKey| {
            let mut signatures = self.signatures.iter();
            signatures.any(|signature| key.verifies(&signed, signature))
        };
        keys.iter().filter(has_signed).collect()
    }
}

/// Decodes base64; DSSE permits the alphabet of URLs too.
fn decode(text: &str, what: &str) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    bytes.map_err(|_| format!("{what} is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector is that of the DSSE protocol, section "Test vectors".
    #[test]
    fn published_encoding_is_reproduced() {
        assert_eq!(
            pre_authentication("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(
            pre_authentication("\u{e9}", b""),
            "DSSEv1 2 \u{e9} 0 ".as_bytes()
        );
    }

    #[test]
    fn only_the_key_that_has_signed_this_payload_as_this_type_is_a_signer() {
        let [one, other] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]).unwrap());
        let keys = [one.public().clone(), other.public().clone()];
        let document = sign(b"{}", &one).to_string();
        let envelope = Envelope::parse(document.as_bytes()).unwrap();
        assert_eq!(envelope.signers(&keys), [one.public()]);
        let other_type = Envelope {
            payload_type: "text/plain".to_owned(),
            ..envelope.clone()
        };
        assert!(other_type.signers(&keys).is_empty());
        let two = Envelope {
            signatures: vec![vec![0; 64], envelope.signatures[0].clone()],
            ..envelope
        };
        assert_eq!(two.signers(&keys), [one.public()]);
    }

    #[test]
    fn what_is_no_envelope_is_refused_with_its_fault() {
        let two = "{\"payload\":\"\",\"payload\":\"\"}";
        for (document, fault) in [
            ("[]", "it has no list \"signatures\""),
            ("{\"signatures\":[]}", "it has no text \"payloadType\""),
            (
                "{\"signatures\":[{}],\"payloadType\":\"t\",\"payload\":\"\"}",
                "a signature has no text \"sig\"",
            ),
            (
                "{\"signatures\":[],\"payloadType\":\"t\",\"payload\":\"?\"}",
                "the payload is not base64",
            ),
            (two, "/payload"),
        ] {
            let told = Envelope::parse(document.as_bytes()).unwrap_err();
            assert!(told.contains(fault), "{document}: {told}");
        }
    }
}
