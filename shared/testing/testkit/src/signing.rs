//! Signatures by the `standardwebhooks` crate: the other side of what we sign and verify.

use standardwebhooks::Webhook;

/// One `v1,…` signature.
pub fn standard(secret: &str, id: &str, second: i64, body: &str) -> String {
    let webhook = Webhook::new(secret).unwrap_or_else(|error| panic!("{error}"));
    let signed = webhook.sign(id, second, body.as_bytes());
    signed.unwrap_or_else(|error| panic!("{error}"))
}
