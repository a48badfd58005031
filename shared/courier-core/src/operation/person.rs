//! The hash by which the operations about one person are found.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Number of bytes of the SHA-256 that are kept.
const KEPT_BYTES: usize = 16;

/// Returns the hash of a person's id or e-mail address, whatever its letter case.
///
/// It keeps the name out of an index and of queries. It is no secret: who can guess the name can compute the hash.
pub fn person_hash(person: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"graph-courier person v1\0");
    hash.update(person.trim().to_lowercase());
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..KEPT_BYTES])
}
