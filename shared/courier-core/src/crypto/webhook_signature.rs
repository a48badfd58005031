//! Signs callbacks as Standard Webhooks 1.0 requires, so that receivers can verify them with any of its libraries.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::crypto::hmac::HmacAlgorithm;
use crate::crypto::secret::Secret;

const SECRET_PREFIX: &str = "whsec_";
/// The permitted lengths of a secret in bytes.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A symmetric signing secret: `whsec_` and 24 to 64 bytes in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Parses a signing secret. The error names the broken rule and contains no part of the secret.
    pub fn parse(text: &Secret) -> Result<Self, String> {
        let encoded = text
            .expose()
            .strip_prefix(SECRET_PREFIX)
            .ok_or_else(|| format!("must begin with {SECRET_PREFIX}"))?;
        let key = STANDARD
            .decode(encoded)
            .map_err(|_| format!("must be base64 after {SECRET_PREFIX}"))?;
        if !SECRET_LENGTHS.contains(&key.len()) {
            return Err(format!(
                "must hold {} to {} bytes",
                SECRET_LENGTHS.start(),
                SECRET_LENGTHS.end()
            ));
        }
        Ok(Self(key))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn sign(&self, content: &[&[u8]]) -> String {
        let signature = HmacAlgorithm::Sha256.sign(&self.0, content);
        format!("v1,{}", STANDARD.encode(signature))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Returns the value of `webhook-signature`: one signature per secret, so that receivers can rotate theirs.
///
/// `timestamp` is the time of this attempt and goes into `webhook-timestamp` as whole seconds.
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp: Timestamp, body: &[u8]) -> String {
    let seconds = timestamp.as_second().to_string();
    let content = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(&content)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn secret(text: &str) -> Result<SigningSecret, String> {
        SigningSecret::parse(&Secret::new(text))
    }

    fn of_length(bytes: usize) -> String {
        format!("whsec_{}", STANDARD.encode(vec![b'a'; bytes]))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The vector is the published one; `standardwebhooks` 1.1.0 of PyPI gives the same signature.
    #[test]
    fn published_vector_is_reproduced() {
        let secrets = [secret(SECRET).unwrap()];
        assert_eq!(
            sign(&secrets, ID, at(1_614_265_330), br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn every_configured_secret_signs() {
        let secrets = [secret(SECRET).unwrap(), secret(&of_length(64)).unwrap()];
        assert_eq!(
            sign(&secrets, ID, at(1_614_265_330), b""),
            "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A= v1,6fhM1wDHGkc018OHrIgfeTobOWqifBnXeoNn8agF20Y="
        );
        assert_eq!(sign(&[], ID, at(1), b""), "");
    }

    #[test]
    fn fractions_of_a_second_are_cut_off_as_in_the_header() {
        let secrets = [secret(SECRET).unwrap()];
        let precise = Timestamp::new(1_614_265_330, 999_000_000).unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            sign(&secrets, ID, precise, body),
            sign(&secrets, ID, at(1_614_265_330), body)
        );
        assert_ne!(
            sign(&secrets, ID, at(1_614_265_331), body),
            sign(&secrets, ID, at(1_614_265_330), body)
        );
    }

    #[test]
    fn secret_must_have_24_to_64_bytes_in_base64() {
        for length in [24, 25, 32, 63, 64] {
            assert!(secret(&of_length(length)).is_ok(), "{length}");
        }
        for length in [0, 1, 23, 65, 1000] {
            assert_eq!(
                secret(&of_length(length)),
                Err("must hold 24 to 64 bytes".to_owned())
            );
        }
        for wrong in [
            "",
            "whsec",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_canary!",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let rule = secret(wrong).unwrap_err();
            assert!(
                !rule.contains("canary") && !rule.contains("MfKQ9"),
                "{rule}"
            );
        }
        assert_eq!(format!("{:?}", secret(SECRET)), "Ok([secret])");
    }
}
