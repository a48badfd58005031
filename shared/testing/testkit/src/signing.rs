//! Signatures by the `standardwebhooks` crate: an independent implementation of what we sign and verify.

use standardwebhooks::Webhook;

/// Returns one `v1,…` signature.
pub fn standard(secret: &str, id: &str, second: i64, body: &str) -> String {
    let webhook = Webhook::new(secret).unwrap_or_else(|error| panic!("{error}"));
    let signed = webhook.sign(id, second, body.as_bytes());
    signed.unwrap_or_else(|error| panic!("{error}"))
}
