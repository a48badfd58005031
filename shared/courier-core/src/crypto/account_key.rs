//! The key of an Azure storage account, which signs requests to it and shared access signatures for what is in it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::crypto::hmac::{Encoding, HmacAlgorithm};
use crate::crypto::secret::Secret;

/// Azure's keys have 64 bytes; emulators take shorter ones.
const LEAST_BYTES: usize = 32;

/// An account key. `Debug` prints a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountKey(Vec<u8>);

impl AccountKey {
    /// Parses a key as Azure shows it, in base64. The error names the broken rule and contains no part of the key.
    pub fn parse(text: &Secret) -> Result<Self, &'static str> {
        if text.expose().contains("AccountKey=") {
            return Err("is a connection string: only what follows AccountKey= is the key");
        }
        let key = STANDARD
            .decode(text.expose())
            .map_err(|_| "must be the key of the storage account, in base64 as Azure shows it")?;
        if key.len() < LEAST_BYTES {
            return Err(
                "is too short for the key of a storage account, which has 64 bytes in base64",
            );
        }
        Ok(Self(key))
    }

    /// Returns the HMAC-SHA256 of the text in base64, which all signatures of Azure Storage are.
    pub fn sign(&self, text: &str) -> String {
        Encoding::Base64.encode(&HmacAlgorithm::Sha256.sign(&self.0, &[text.as_bytes()]))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_about_a_key_contains_no_part_of_it() {
        let short = STANDARD.encode(b"canary");
        for text in ["canary", "AccountName=a;AccountKey=canary==", &short] {
            let rule = AccountKey::parse(&Secret::new(text)).unwrap_err();
            assert!(!rule.contains("canary"), "{rule}");
        }
        let key = AccountKey::parse(&Secret::new(STANDARD.encode([7; 64]))).unwrap();
        assert_eq!(format!("{key:?}"), "[secret]");
    }
}
