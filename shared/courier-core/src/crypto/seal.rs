//! Seals secrets that must be stored: XChaCha20-Poly1305, bound to the operation and the field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::crypto::hmac::Encoding;
use crate::crypto::secret::Secret;

/// The form of the version before: `v1.` and base64 of nonce and ciphertext. It does not say which key sealed it.
const WITHOUT_KEY_ID: &str = "v1.";
const WITH_KEY_ID: &str = "v2.";
const NONCE_BYTES: usize = 24;
const KEY_ID_BYTES: usize = 4;

/// Sealed text, safe to store: `v2.`, the id of the key, a dot, and base64 of nonce and ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Returns sealed text that was stored outside a field of its own.
    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id of the key that sealed the text, unless the version before sealed it.
    pub fn key_id(&self) -> Option<&str> {
        let (id, _) = self.0.strip_prefix(WITH_KEY_ID)?.split_once('.')?;
        Some(id)
    }
}

/// Seals with the first key of `[seal]`, and opens with all of them.
pub struct Sealer {
    first: SealKey,
    others: Vec<SealKey>,
}

struct SealKey {
    /// Eight hexadecimal digits of a hash of the key, which say nothing of use about it.
    id: String,
    cipher: XChaCha20Poly1305,
}

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
        Ok(Self {
            first: SealKey::new(key)?,
            others: Vec::new(),
        })
    }

    /// Adds a key that only opens: of the time before a rotation, or after the next one.
    pub fn add(&mut self, key: &Secret) -> Result<(), SealError> {
        self.others.push(SealKey::new(key)?);
        Ok(())
    }

    /// Returns the ids of the keys, the one that seals first.
    pub fn key_ids(&self) -> Vec<&str> {
        self.keys().map(|key| key.id.as_str()).collect()
    }

    /// Reports whether the first key sealed this text, so that the other keys are not needed for it.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        sealed.key_id() == Some(&self.first.id)
    }

    fn keys(&self) -> impl Iterator<Item = &SealKey> {
        std::iter::once(&self.first).chain(&self.others)
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
        let SealKey { id, cipher } = &self.first;
        #[expect(clippy::expect_used, reason = "fails only beyond 256 GiB")]
        let ciphertext = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the text is short");
        let bytes: Vec<u8> = nonce.into_iter().chain(ciphertext).collect();
        Sealed(format!("{WITH_KEY_ID}{id}.{}", STANDARD.encode(bytes)))
    }

    /// Opens text that was sealed for the same `place`.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        let (id, body) = match sealed.0.strip_prefix(WITHOUT_KEY_ID) {
            Some(body) => (None, body),
            None => {
                let rest = sealed.0.strip_prefix(WITH_KEY_ID);
                let (id, body) = rest
                    .and_then(|rest| rest.split_once('.'))
                    .ok_or(SealError::Unreadable)?;
                (Some(id), body)
            }
        };
        let bytes = STANDARD.decode(body).map_err(|_| SealError::Unreadable)?;
        let mut keys = self.keys().filter(|key| id.is_none_or(|id| key.id == id));
        keys.find_map(|key| key.open(place, &bytes))
            .ok_or(SealError::Unreadable)
    }
}

impl SealKey {
    fn new(key: &Secret) -> Result<Self, SealError> {
        let bytes = STANDARD
            .decode(key.expose().trim())
            .map_err(|_| SealError::BadKey)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| SealError::BadKey)?;
        let mut hash = Sha256::new();
        hash.update(b"graph-courier seal key id v1\0");
        hash.update(&bytes);
        let id = Encoding::Hex.encode(&hash.finalize()[..KEY_ID_BYTES]);
        Ok(Self { id, cipher })
    }

    fn open(&self, place: &str, bytes: &[u8]) -> Option<Secret> {
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: ciphertext,
            aad: place.as_bytes(),
        };
        let text = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        String::from_utf8(text).map(Secret::new).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> Secret {
        Secret::new(STANDARD.encode([fill; 32]))
    }

    fn sealer(fill: u8) -> Sealer {
        Sealer::new(&key(fill)).unwrap()
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
    fn after_a_rotation_the_first_key_seals_and_every_key_opens() {
        let old = sealer(1).seal("op_1/url", &Secret::new("https://canary"));
        let mut rotated = sealer(2);
        assert!(rotated.open("op_1/url", &old).is_err());
        rotated.add(&key(1)).unwrap();
        assert!(rotated.open("op_1/url", &old).is_ok() && !rotated.is_current(&old));
        let new = rotated.seal("op_1/url", &Secret::new("https://canary"));
        assert!(sealer(2).open("op_1/url", &new).is_ok() && rotated.is_current(&new));
        assert_eq!(new.key_id(), rotated.key_ids().first().copied());
    }

    #[test]
    fn text_of_the_version_before_names_no_key_and_is_tried_with_each() {
        let new = sealer(1).seal("op_1/url", &Secret::new("https://canary"));
        let (_, body) = new.0.rsplit_once('.').unwrap();
        let old = Sealed(format!("v1.{body}"));
        assert_eq!(old.key_id(), None);
        let mut rotated = sealer(2);
        assert_eq!(rotated.open("op_1/url", &old), Err(SealError::Unreadable));
        rotated.add(&key(1)).unwrap();
        let opened = rotated.open("op_1/url", &old);
        assert_eq!(opened, Ok(Secret::new("https://canary")));
    }

    #[test]
    fn short_key_is_refused() {
        assert_eq!(
            Sealer::new(&Secret::new("c2hvcnQ=")).err(),
            Some(SealError::BadKey)
        );
    }
}
