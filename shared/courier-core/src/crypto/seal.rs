//! Seals secrets that must be stored: XChaCha20-Poly1305, bound to the operation and the field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};

use crate::crypto::secret::Secret;

const VERSION: &str = "v1.";
const NONCE_BYTES: usize = 24;

/// Sealed text, safe to store: `v1.` and base64 of nonce and ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// Seals and opens with the key of `[seal]`.
pub struct Sealer(XChaCha20Poly1305);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    #[error("the key must be 32 bytes in base64")]
    BadKey,
    #[error("the sealed text was not made with this key for this place")]
    Unreadable,
}

impl Sealer {
    /// Creates a sealer from a key of 32 bytes in base64.
    pub fn new(key: &Secret) -> Result<Self, SealError> {
        let bytes = STANDARD
            .decode(key.expose().trim())
            .map_err(|_| SealError::BadKey)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| SealError::BadKey)?;
        Ok(Self(cipher))
    }

    /// Seals `text` for one `place` (operation id and field); it cannot be opened for another one.
    pub fn seal(&self, place: &str, text: &Secret) -> Sealed {
        let mut nonce = [0_u8; NONCE_BYTES];
        #[expect(
            clippy::expect_used,
            reason = "without the system's randomness nothing here is safe"
        )]
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let payload = Payload {
            msg: text.expose().as_bytes(),
            aad: place.as_bytes(),
        };
        #[expect(clippy::expect_used, reason = "fails only beyond 256 GiB")]
        let ciphertext = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the text is short");
        let bytes: Vec<u8> = nonce.into_iter().chain(ciphertext).collect();
        Sealed(format!("{VERSION}{}", STANDARD.encode(bytes)))
    }

    /// Opens text that was sealed for the same `place`.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        let body = sealed
            .0
            .strip_prefix(VERSION)
            .ok_or(SealError::Unreadable)?;
        let bytes = STANDARD.decode(body).map_err(|_| SealError::Unreadable)?;
        let (nonce, ciphertext) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Unreadable)?;
        let payload = Payload {
            msg: ciphertext,
            aad: place.as_bytes(),
        };
        let text = self
            .0
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError::Unreadable)?;
        String::from_utf8(text)
            .map(Secret::new)
            .map_err(|_| SealError::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(fill: u8) -> Sealer {
        Sealer::new(&Secret::new(STANDARD.encode([fill; 32]))).unwrap()
    }

    #[test]
    fn sealed_text_opens_only_with_its_key_and_for_its_place() {
        let sealed = sealer(1).seal("op_1/url", &Secret::new("https://canary"));
        assert!(!format!("{sealed:?}").contains("canary"));
        assert_eq!(
            sealer(1).open("op_1/url", &sealed),
            Ok(Secret::new("https://canary"))
        );
        assert_eq!(
            sealer(1).open("op_2/url", &sealed),
            Err(SealError::Unreadable)
        );
        assert_eq!(
            sealer(2).open("op_1/url", &sealed),
            Err(SealError::Unreadable)
        );
    }

    #[test]
    fn short_key_is_refused() {
        assert_eq!(
            Sealer::new(&Secret::new("c2hvcnQ=")).err(),
            Some(SealError::BadKey)
        );
    }
}
