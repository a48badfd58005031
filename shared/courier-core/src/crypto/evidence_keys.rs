//! The Ed25519 keys (RFC 8032) that sign evidence, and the public keys that verify it.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::crypto::secret::Secret;

const KEY_BYTES: usize = 32;
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// What stands before the key in the DER form of an Ed25519 public key (RFC 8410, section 4).
const PUBLIC_DER_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PRIVATE_RULE: &str =
    "must be an Ed25519 private key: 32 bytes in base64, or a PEM file of the kind PRIVATE KEY";
const PUBLIC_RULE: &str = "must be an Ed25519 public key: a PEM file of the kind PUBLIC KEY, a JWK Set, or 32 bytes in base64";

/// The keys of `[evidence]`: the first signs, and all of them are published.
#[derive(Debug)]
pub struct EvidenceKeys {
    first: SigningKey,
    /// Public keys of the time before a rotation, or after the next one.
    others: Vec<PublicKey>,
}

/// A private key and its public one.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

/// A key of the list in the configuration: a retired one may stand there without its private part.
#[derive(Debug)]
pub enum ListedKey {
    Private(SigningKey),
    Public(PublicKey),
}

impl ListedKey {
    /// Parses a private key, or the PEM of a public one. The error names the broken rule and contains no part of the key.
    pub fn parse(text: &Secret) -> Result<Self, String> {
        if text.expose().contains(&format!("-----BEGIN {PUBLIC}-----")) {
            return Ok(Self::Public(PublicKey::parse(text.expose())?));
        }
        SigningKey::parse(text).map(Self::Private)
    }

    /// Returns the public key, whichever part of it was listed.
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Private(key) => &key.public,
            Self::Public(key) => key,
        }
    }
}

impl EvidenceKeys {
    /// Creates the ring from the keys of a configuration; `None` if the first one cannot sign, or there is none.
    pub fn new(keys: Vec<ListedKey>) -> Option<Self> {
        let mut keys = keys.into_iter();
        let ListedKey::Private(first) = keys.next()? else {
            return None;
        };
        let others = keys.map(|key| key.public().clone()).collect();
        Some(Self { first, others })
    }

    /// Returns the key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.first
    }

    /// Returns every public key, the one of the key that signs first.
    pub fn public(&self) -> impl Iterator<Item = &PublicKey> {
        std::iter::once(&self.first.public).chain(&self.others)
    }

    /// Returns the public keys as a JWK Set (RFC 7517), each also in PEM.
    pub fn jwk_set(&self) -> Value {
        jwk_set(self.public())
    }
}

/// Returns public keys as a JWK Set (RFC 7517), each also in PEM.
pub fn jwk_set<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> Value {
    let keys: Vec<Value> = keys.into_iter().map(PublicKey::jwk).collect();
    json!({ "keys": keys })
}

impl SigningKey {
    fn parse(text: &Secret) -> Result<Self, String> {
        let text = text.expose().trim();
        let pair = match pem(text, PRIVATE) {
            Some(der) => Ed25519KeyPair::from_pkcs8(&der.ok_or(PRIVATE_RULE)?),
            None => {
                let seed = STANDARD.decode(text).map_err(|_| PRIVATE_RULE)?;
                if seed.len() != KEY_BYTES {
                    return Err(PRIVATE_RULE.to_owned());
                }
                Ed25519KeyPair::from_seed_unchecked(&seed)
            }
        };
        Self::of(pair.map_err(|_| PRIVATE_RULE)?)
    }

    /// Creates the key of a seed of 32 random bytes.
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Result<Self, String> {
        Self::of(Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| PRIVATE_RULE)?)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, String> {
        let bytes = pair.public_key().as_ref().try_into();
        let public = PublicKey(bytes.map_err(|_| PRIVATE_RULE)?);
        Ok(Self { pair, public })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the signature, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl PublicKey {
    /// Parses PEM (RFC 7468), or 32 bytes in base64.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bytes = match pem(text, PUBLIC) {
            Some(der) => {
                let der = der.ok_or(PUBLIC_RULE)?;
                der.strip_prefix(&PUBLIC_DER_PREFIX).map(<[u8]>::to_vec)
            }
            None => {
                let standard = STANDARD.decode(text);
                standard.or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
            }
        };
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(Self(bytes.ok_or(PUBLIC_RULE)?))
    }

    /// Parses one key in the form of [`Self::parse`], or the Ed25519 keys of a JWK Set.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        if !text.trim_start().starts_with('{') {
            return Ok(vec![Self::parse(text)?]);
        }
        let set: Value = serde_json::from_str(text).map_err(|_| PUBLIC_RULE)?;
        let keys = set["keys"].as_array().ok_or(PUBLIC_RULE)?;
        let ours = keys.iter().filter(|key| key["crv"] == "Ed25519");
        let keys: Result<Vec<Self>, String> = ours
            .map(|key| Self::parse(key["x"].as_str().unwrap_or_default()))
            .collect();
        keys.and_then(|keys| match keys.is_empty() {
            true => Err(PUBLIC_RULE.to_owned()),
            false => Ok(keys),
        })
    }

    /// Returns the id of the key: its JWK thumbprint (RFC 7638), 43 characters.
    pub fn id(&self) -> String {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.base64());
        URL_SAFE_NO_PAD.encode(Sha256::digest(jwk))
    }

    fn base64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn jwk(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.base64(), "kid": self.id(), "alg": "EdDSA", "use": "sig",
            "pem": self.pem(),
        })
    }

    pub fn pem(&self) -> String {
        let der = STANDARD.encode([&PUBLIC_DER_PREFIX[..], &self.0].concat());
        format!("-----BEGIN {PUBLIC}-----\n{der}\n-----END {PUBLIC}-----\n")
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// Returns the bytes of a PEM file of this kind, or `Some(None)` if it is broken; `None` if the text is no PEM.
fn pem(text: &str, kind: &str) -> Option<Option<Vec<u8>>> {
    if !text.starts_with("-----BEGIN ") {
        return None;
    }
    let body = text.strip_prefix(&format!("-----BEGIN {kind}-----"));
    let body = body.and_then(|body| body.strip_suffix(&format!("-----END {kind}-----")));
    let base64 = body.map(|body| body.split_ascii_whitespace().collect::<String>());
    Some(base64.and_then(|base64| STANDARD.decode(base64).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors are test 1 of RFC 8032, section 7.1, and appendix A of RFC 8037.
    const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PUBLIC_HEX: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    fn signing(text: &str) -> SigningKey {
        match ListedKey::parse(&Secret::new(text)).unwrap() {
            ListedKey::Private(key) => key,
            ListedKey::Public(_) => panic!("a public key"),
        }
    }

    #[test]
    fn published_vectors_are_reproduced() {
        let key = signing(SEED);
        assert_eq!(*key.public(), PublicKey::parse(PUBLIC_HEX).unwrap());
        assert_eq!(key.public().id(), THUMBPRINT);
        let signature = key.sign(b"");
        assert!(signature.starts_with(&[0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60]));
        assert!(key.public().verifies(b"", &signature));
        assert!(!key.public().verifies(b" ", &signature));
        assert!(!key.public().verifies(b"", &signature[..63]));
    }

    #[test]
    fn a_key_is_read_from_base64_from_pem_and_from_a_jwk_set() {
        // Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`.
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let key = signing(private);
        assert_eq!(key.public().id(), THUMBPRINT);
        let pem = key.public().pem();
        assert_eq!(
            pem,
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
        );
        let old = signing("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let retired = ListedKey::parse(&Secret::new(old.public().pem())).unwrap();
        let ring = EvidenceKeys::new(vec![ListedKey::Private(key), retired]).unwrap();
        let published = PublicKey::parse_all(&ring.jwk_set().to_string()).unwrap();
        let all: Vec<PublicKey> = ring.public().cloned().collect();
        assert_eq!(published, all);
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_wrong_key_is_refused_without_being_repeated() {
        for wrong in [
            "",
            "canary",
            "Y2FuYXJ5",
            "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----",
        ] {
            let error = ListedKey::parse(&Secret::new(wrong)).unwrap_err();
            assert!(error.starts_with("must be an Ed25519"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let public = ListedKey::Public(PublicKey::parse(PUBLIC_HEX).unwrap());
        assert!(EvidenceKeys::new(vec![public]).is_none());
        assert!(EvidenceKeys::new(Vec::new()).is_none());
    }
}
