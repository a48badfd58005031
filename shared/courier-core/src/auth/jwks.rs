//! Fetches the public keys of issuers (RFC 7517) through the outbound guard and caches them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use url::Url;

use crate::cached::{Cached, Failure, Lease};
use crate::config::credentials::{JwtAlgorithm, JwtRule};
use crate::outbound::{Call, Read, Route, Transport, retry_after};
use crate::strict_json;
use crate::time::{Clock, later};

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a key set counts as current if its response has no `max-age`.
const DEFAULT_FRESHNESS: Duration = Duration::from_secs(10 * 60);
/// Shortest time for which a key set counts as current, whatever its `max-age`.
const MIN_FRESHNESS: Duration = Duration::from_secs(60);
/// Longest time for which an old key set is used while no new one can be fetched.
const MAX_KEY_SET_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest time between two fetches because a token names a key that is not in the set.
const REFETCH_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of keys in a set; a larger set is refused.
const MAX_KEYS: usize = 100;

/// The key sets of every configured issuer.
pub(crate) struct KeySets {
    transport: Arc<dyn Transport>,
    clock: Clock,
    sets: BTreeMap<Url, Cached<Arc<[Key]>, ()>>,
}

/// No usable key set is available, so a token can be neither accepted nor refused.
pub(crate) struct Unreachable;

impl KeySets {
    pub(crate) fn new<'a>(
        transport: Arc<dyn Transport>,
        rules: impl Iterator<Item = &'a JwtRule>,
        clock: Clock,
    ) -> Self {
        Self {
            transport,
            clock,
            sets: rules
                .map(|rule| (rule.jwks_url.clone(), Cached::new(FETCH_TIMEOUT)))
                .collect(),
        }
    }

    /// Returns the keys at `url`, fetched anew if they are no longer current or none of them `fits`.
    ///
    /// Fetches are at least [`REFETCH_INTERVAL`] apart, so tokens with unknown keys cannot cause one fetch each.
    pub(crate) async fn get(
        &self,
        url: &Url,
        fits: impl Fn(&Key) -> bool,
    ) -> Result<Arc<[Key]>, Unreachable> {
        let cached = self.sets.get(url).ok_or(Unreachable)?;
        let suits = |keys: &Arc<[Key]>| keys.iter().any(&fits);
        let keys = cached.get(&self.clock, suits, || self.fetch(url)).await;
        keys.map_err(|_| Unreachable)
    }

    async fn fetch(&self, url: &Url) -> Result<Lease<Arc<[Key]>>, Failure<()>> {
        let fetched = fetch(&*self.transport, url, &self.clock).await;
        fetched.map_err(|(error, retry_after)| {
            let origin = url.origin().ascii_serialization();
            tracing::warn!(
                jwks.origin = origin,
                error,
                "fetching an issuer's keys failed; using the cached ones, if any"
            );
            Failure {
                error: (),
                retry_after,
            }
        })
    }
}

/// Fetches a key set. The error says what is wrong, and how long the issuer asks us to wait.
async fn fetch(
    transport: &dyn Transport,
    url: &Url,
    clock: &Clock,
) -> Result<Lease<Arc<[Key]>>, (String, Option<Duration>)> {
    let accept = HeaderValue::from_static("application/json");
    let sent = transport.send(Call {
        route: Route::Guarded,
        method: Method::GET,
        url: url.clone(),
        headers: HeaderMap::from_iter([(header::ACCEPT, accept)]),
        body: Vec::new(),
        read: Read::Whole,
        timeout: FETCH_TIMEOUT,
    });
    let answered = sent
        .await
        .map_err(|unanswered| (unanswered.to_string(), None))?;
    let (headers, now) = (&answered.headers, clock());
    if answered.status != StatusCode::OK {
        let pause = retry_after::parse(headers.get("retry-after"), headers.get("date"), now);
        return Err((format!("answered {}", answered.status.as_u16()), pause));
    }
    let body = answered.text();
    let body = body.map_err(|unreadable| (format!("answered 200, but {unreadable}"), None))?;
    let keys = parse(body).map_err(|error| (error, None))?;
    let freshness = max_age(headers).unwrap_or(DEFAULT_FRESHNESS);
    Ok(Lease {
        value: keys,
        renew_at: later(now, freshness.clamp(MIN_FRESHNESS, MAX_KEY_SET_AGE)),
        expires_at: later(now, MAX_KEY_SET_AGE),
        refetch_at: later(now, REFETCH_INTERVAL),
    })
}

/// Returns the first valid `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut seconds = texts.flat_map(|text| text.split(',')).filter_map(|one| {
        let (name, seconds) = one.trim().split_once('=')?;
        let is_age = name.eq_ignore_ascii_case("max-age");
        seconds.parse().ok().filter(|_| is_age)
    });
    seconds.next().map(Duration::from_secs)
}

/// Returns the usable keys of a key set and skips all others. The error says what is wrong with the set.
fn parse(body: &[u8]) -> Result<Arc<[Key]>, String> {
    let value = strict_json::parse(body).map_err(|error| error.to_string())?;
    let keys = value["keys"]
        .as_array()
        .ok_or("the key set has no list of keys")?;
    if keys.len() > MAX_KEYS {
        return Err(format!("the key set has more than {MAX_KEYS} keys"));
    }
    Ok(keys.iter().filter_map(Key::parse).collect())
}

/// A public key for signatures.
pub(crate) struct Key {
    kid: String,
    /// The `alg` of the key: the only algorithm it may be used with, if it has one.
    algorithm: Option<JwtAlgorithm>,
    material: Material,
}

enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// An uncompressed point.
    P256(Vec<u8>),
}

impl Key {
    /// Reads one key of a set; `None` if it is not an RSA or P-256 key for verifying signatures.
    ///
    /// A symmetric key is skipped too, because in a public set everyone knows it.
    fn parse(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).map(|value| value.as_str());
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)??).ok();
        if text("use").is_some_and(|purpose| purpose != Some("sig")) {
            return None;
        }
        let operations = value.get("key_ops").map(Value::as_array);
        let is_for_verifying =
            |all: Option<&Vec<Value>>| all.is_some_and(|all| all.iter().any(|one| one == "verify"));
        if !operations.is_none_or(is_for_verifying) {
            return None;
        }
        let material = match text("kty")?? {
            "RSA" => Material::Rsa(RsaPublicKeyComponents {
                n: bytes("n")?,
                e: bytes("e")?,
            }),
            "EC" if text("crv") == Some(Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                let is_point = (x.len(), y.len()) == (32, 32);
                is_point.then(|| Material::P256([&[4], x.as_slice(), &y].concat()))?
            }
            _ => return None,
        };
        let algorithm = match text("alg") {
            Some(name) => Some(JwtAlgorithm::parse(name?)?),
            None => None,
        };
        Some(Self {
            kid: text("kid")??.to_owned(),
            algorithm,
            material,
        })
    }

    pub(super) fn matches(&self, kid: &str, algorithm: JwtAlgorithm) -> bool {
        let is_its_kind = match (&self.material, algorithm) {
            (Material::Rsa(_), JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256)
            | (Material::P256(_), JwtAlgorithm::Es256) => true,
            (Material::Rsa(_), JwtAlgorithm::Es256)
            | (Material::P256(_), JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256) => false,
        };
        is_its_kind && self.kid == kid && self.algorithm.is_none_or(|its| its == algorithm)
    }

    pub(super) fn verifies(
        &self,
        algorithm: JwtAlgorithm,
        content: &[u8],
        signature: &[u8],
    ) -> bool {
        let verified = match (&self.material, algorithm) {
            (Material::Rsa(key), JwtAlgorithm::Rs256) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA256, content, signature)
            }
            (Material::Rsa(key), JwtAlgorithm::Ps256) => {
                key.verify(&RSA_PSS_2048_8192_SHA256, content, signature)
            }
            (Material::P256(point), JwtAlgorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(content, signature)
            }
            (Material::Rsa(_), JwtAlgorithm::Es256)
            | (Material::P256(_), JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256) => return false,
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The payload of RFC 7515, appendices A.2 and A.3.
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const A2_KEY: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const A3_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    #[test]
    fn published_signatures_verify_and_altered_ones_do_not() {
        let rsa = json!({ "kty": "RSA", "kid": "k", "n": A2_KEY, "e": "AQAB" });
        let curve = json!({ "kty": "EC", "kid": "k", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
        for (key, header, signature, its) in [
            (
                rsa,
                "eyJhbGciOiJSUzI1NiJ9",
                A2_SIGNATURE,
                JwtAlgorithm::Rs256,
            ),
            (
                curve,
                "eyJhbGciOiJFUzI1NiJ9",
                A3_SIGNATURE,
                JwtAlgorithm::Es256,
            ),
        ] {
            let key = Key::parse(&key).unwrap();
            let content = format!("{header}.{PAYLOAD}");
            let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            for algorithm in JwtAlgorithm::ALL {
                let verified = key.verifies(algorithm, content.as_bytes(), &signature);
                assert_eq!(verified, algorithm == its, "{algorithm:?}");
            }
            assert!(!key.verifies(its, &content.as_bytes()[1..], &signature));
            signature[40] ^= 1;
            assert!(!key.verifies(its, content.as_bytes(), &signature));
        }
    }

    #[test]
    fn max_age_is_read_from_cache_control() {
        for (values, expected) in [
            (&["max-age=60"][..], Some(60)),
            (&["public, Max-Age=3600, must-revalidate"], Some(3600)),
            (&["no-cache", "max-age=5"], Some(5)),
            (&["s-maxage=5"], None),
            (&["max-age=-1"], None),
            (&["max-age=x, max-age=7"], Some(7)),
            (&["max-age"], None),
            (&[], None),
        ] {
            let pairs = values
                .iter()
                .map(|value| (header::CACHE_CONTROL, HeaderValue::from_static(value)));
            let mut headers = HeaderMap::new();
            pairs.for_each(|(name, value)| {
                headers.append(name, value);
            });
            assert_eq!(
                max_age(&headers),
                expected.map(Duration::from_secs),
                "{values:?}"
            );
        }
    }
}
