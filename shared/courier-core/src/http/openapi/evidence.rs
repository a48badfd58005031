//! The schemas of evidence in the OpenAPI document.

use serde_json::{Value, json};

pub(super) use crate::evidence::envelope::MEDIA_TYPE;
use crate::evidence::envelope::PAYLOAD_TYPE;

fn hash() -> Value {
    json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
}

/// Returns the schema of `evidence` in an operation.
pub(super) fn head() -> Value {
    json!({
        "type": "object", "required": ["head"],
        "properties": { "head": hash() },
        "description": "The newest hash of the history's hash chain; in a completion, that of its end",
    })
}

/// Returns the schema of what an erased line of the history keeps for its hash.
pub(super) fn digests() -> Value {
    json!({
        "type": "object", "description": "Digests of what was erased",
        "properties": { "by": hash(), "call": hash(), "detail": hash() },
    })
}

/// Returns the schema of the envelope.
pub(super) fn envelope() -> Value {
    let base64 = json!({ "type": "string", "contentEncoding": "base64" });
    json!({
        "type": "object", "required": ["payloadType", "payload", "signatures"],
        "properties": {
            "payloadType": { "const": PAYLOAD_TYPE },
            "payload": base64,
            "signatures": { "type": "array", "items": {
                "type": "object", "required": ["keyid", "sig"],
                "properties": { "keyid": { "type": "string" }, "sig": base64 },
            } },
        },
    })
}

/// Returns the schema of the public keys.
pub(super) fn key_set() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object", "required": ["keys"],
        "properties": { "keys": { "type": "array", "items": {
            "type": "object", "required": ["kty", "crv", "x", "kid", "pem"],
            "properties": {
                "kty": { "const": "OKP" }, "crv": { "const": "Ed25519" }, "alg": text, "use": text,
                "x": text, "kid": text, "pem": text,
            },
        } } },
    })
}
