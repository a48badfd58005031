//! HMAC (RFC 2104) of what we receive and of what we send, with the names of its settings in the configuration.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Sha256, Sha384, Sha512};

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HmacAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// The encoding of a signature as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Hex,
    Base64,
}

impl HmacAlgorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|algorithm| algorithm.as_str() == text);
        found.ok_or("must be sha256, sha384 or sha512")
    }

    /// Returns the signature of the concatenated pieces of `content`.
    pub(crate) fn sign(self, key: &[u8], content: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => sign::<Hmac<Sha256>>(key, content),
            Self::Sha384 => sign::<Hmac<Sha384>>(key, content),
            Self::Sha512 => sign::<Hmac<Sha512>>(key, content),
        }
    }
}

fn sign<M: Mac + KeyInit>(key: &[u8], content: &[&[u8]]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    for part in content {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

impl Encoding {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut all = [Self::Hex, Self::Base64].into_iter();
        let found = all.find(|encoding| encoding.as_str() == text);
        found.ok_or("must be hex or base64")
    }

    /// Writes bytes as text.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors are those of RFC 4231, test case 2.
    #[test]
    fn published_vectors_are_reproduced() {
        let signed = |algorithm: HmacAlgorithm, encoding: Encoding| {
            let content: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
            encoding.encode(&algorithm.sign(b"Jefe", &content))
        };
        assert_eq!(
            signed(HmacAlgorithm::Sha256, Encoding::Hex),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            signed(HmacAlgorithm::Sha256, Encoding::Base64),
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
        );
        let sha384 = signed(HmacAlgorithm::Sha384, Encoding::Hex);
        assert!(sha384.starts_with("af45d2e376484031617f78d2b58a6b1b"));
        let sha512 = signed(HmacAlgorithm::Sha512, Encoding::Hex);
        assert!(sha512.starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
    }
}
