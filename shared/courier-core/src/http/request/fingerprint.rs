//! Hashes what a request asks for, which tells a repeat from another request under the same idempotency key.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::catalogue::Operation;
use crate::crypto::hmac::Encoding;

/// What a request asks for, without its secrets.
pub(super) struct Asked<'r> {
    pub(super) operation: &'r Operation,
    /// Valid parameters, those that are secrets in the form that may be stored.
    pub(super) parameters: &'r Map<String, Value>,
    pub(super) callback: Value,
    pub(super) reference: Option<&'r str>,
    /// What the request says of its legal clock. A request without one has the hash that it always had.
    pub(super) legal: Option<Value>,
}

impl Asked<'_> {
    /// Returns the hash, which is the same for all spellings of one request.
    ///
    /// The deadline is not in it: a client that repeats a request may compute a new one, and the first one stays.
    pub(super) fn fingerprint(&self) -> String {
        let mut parameters = Value::Object(self.parameters.clone());
        self.operation.schema().make_canonical(&mut parameters);
        let asked = json!([
            self.operation.name,
            parameters,
            self.callback,
            self.reference
        ]);
        self.hash(asked)
    }

    /// Returns the hash as version 0.1 made it, of parameters and deadline as they were written.
    pub(super) fn former_fingerprint(&self, deadline: Option<&str>) -> String {
        let asked = json!([
            self.operation.name,
            self.parameters,
            self.callback,
            self.reference,
            deadline,
        ]);
        self.hash(asked)
    }

    fn hash(&self, mut asked: Value) -> String {
        if let (Value::Array(parts), Some(legal)) = (&mut asked, &self.legal) {
            parts.push(json!({ "legal": legal }));
        }
        hash(asked)
    }
}

fn hash(mut payload: Value) -> String {
    // The order of an object's fields is no part of what it says (RFC 8259, section 4).
    payload.sort_all_objects();
    Encoding::Hex.encode(&Sha256::digest(payload.to_string()))
}
