//! Signs requests for services of AWS: Signature Version 4, in the `Authorization` header.
//!
//! Source: "AWS Signature Version 4 for API requests" in the IAM User Guide. Amazon S3 writes paths in another way and is not
//! served here. `docs/adr/0062` says why this is no crate of the AWS SDK.

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, HOST, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use url::Url;

use crate::crypto::hmac::{Encoding, HmacAlgorithm};
use crate::crypto::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// Headers that are not signed, because what stands between us and the service may change them.
const UNSIGNED: [&str; 7] = [
    "authorization",
    "connection",
    "expect",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
];

/// The keys of an AWS identity. `Debug` shows none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKeys {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl AwsKeys {
    /// Checks that the keys can be sent; the error names the part that cannot, and the rule.
    ///
    /// Temporary keys, such as those of a role, have a session token.
    pub fn new(
        access_key_id: Secret,
        secret_access_key: Secret,
        session_token: Option<Secret>,
    ) -> Result<Self, (&'static str, &'static str)> {
        let is_visible =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let id = access_key_id.expose();
        if !is_visible(id) || id.contains([',', '/']) {
            return Err((
                "access_key_id",
                "must be the id of an AWS access key, such as AKIA and 16 letters or digits",
            ));
        }
        if !is_visible(secret_access_key.expose()) {
            return Err(("secret_access_key", "must hold visible characters only"));
        }
        let token = session_token.as_ref().map(Secret::expose);
        if token.is_some_and(|token| !is_visible(token)) {
            return Err(("session_token", "must hold visible characters only"));
        }
        Ok(Self {
            access_key_id,
            secret_access_key,
            session_token,
        })
    }

    /// Returns what an answer must not repeat into the history.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [&self.access_key_id, &self.secret_access_key]
            .into_iter()
            .chain(&self.session_token)
    }
}

/// The service that a signature is for, by the names of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Such as `eu-central-1`.
    pub region: String,
    /// The service's name in signatures, such as `states` for Step Functions.
    pub service: String,
}

/// A request as it will be sent, apart from the headers that a signature adds.
pub struct Unsigned<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    pub body: &'a [u8],
}

/// Adds `x-amz-date`, `x-amz-security-token` for temporary keys, and `authorization`; returns the signature in it.
///
/// Signed are the host, the method, path, query and body, and every header in `headers` that nothing on the way may
/// change. A service accepts the signature for five minutes around `now`. Fails only if a value cannot be a header.
pub fn sign(
    request: &Unsigned<'_>,
    keys: &AwsKeys,
    scope: &Scope,
    headers: &mut HeaderMap,
    now: Timestamp,
) -> Result<Secret, InvalidHeaderValue> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = time.split('T').next().unwrap_or_default();
    headers.insert(DATE, HeaderValue::from_str(&time)?);
    if let Some(token) = &keys.session_token {
        headers.insert(SECURITY_TOKEN, sensitive(token.expose())?);
    }
    let signed = signed_headers(request.url, headers);
    let names: Vec<&str> = signed.keys().map(String::as_str).collect();
    let names = names.join(";");
    let canonical = canonical_request(request, &signed, &names);
    let Scope { region, service } = scope;
    let place = format!("{date}/{region}/{service}/aws4_request");
    let text = format!(
        "{ALGORITHM}\n{time}\n{place}\n{}",
        content_sha256(canonical.as_bytes())
    );
    let first = format!("AWS4{}", keys.secret_access_key.expose());
    let parts = [date, region, service, "aws4_request", &text];
    let mac = parts.iter().fold(first.into_bytes(), |key, part| {
        HmacAlgorithm::Sha256.sign(&key, &[part.as_bytes()])
    });
    let (id, signature) = (keys.access_key_id.expose(), Encoding::Hex.encode(&mac));
    let value = format!(
        "{ALGORITHM} Credential={id}/{place}, SignedHeaders={names}, Signature={signature}"
    );
    headers.insert(AUTHORIZATION, sensitive(&value)?);
    Ok(Secret::new(signature))
}

/// Returns the SHA-256 of a body as hexadecimal digits, which is also the value of `x-amz-content-sha256` for a service
/// that wants this header.
pub fn content_sha256(body: &[u8]) -> String {
    Encoding::Hex.encode(&Sha256::digest(body))
}

fn sensitive(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns the headers to sign by name, each with its values in their canonical form.
fn signed_headers(url: &Url, headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut signed = BTreeMap::new();
    for name in headers
        .keys()
        .filter(|name| !UNSIGNED.contains(&name.as_str()))
    {
        let values = headers.get_all(name).iter();
        let values: Vec<String> = values.map(|value| trimmed(value.as_bytes())).collect();
        signed.insert(name.as_str().to_owned(), values.join(","));
    }
    // As the HTTP client writes it: the port only if it is not the scheme's own, which the URL's parser drops.
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    signed.insert(HOST.as_str().to_owned(), host.to_owned());
    signed
}

/// Returns a header's value without spaces at its ends and with one space for several.
fn trimmed(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn canonical_request(
    request: &Unsigned<'_>,
    signed: &BTreeMap<String, String>,
    names: &str,
) -> String {
    let Unsigned { method, url, body } = request;
    let headers: String = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let (path, query) = (canonical_path(url.path()), canonical_query(url));
    format!(
        "{method}\n{path}\n{query}\n{headers}\n{names}\n{}",
        content_sha256(body)
    )
}

/// Returns the path with each segment encoded once more than it is sent, and without empty segments.
fn canonical_path(path: &str) -> String {
    let segments: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(encoded)
        .collect();
    let end = if path.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", segments.join("/"))
}

fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Percent-encodes every byte that is not unreserved (RFC 3986, section 2.3), with capital digits.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(token: Option<&str>) -> AwsKeys {
        AwsKeys::new(
            Secret::new("AKIDEXAMPLE"),
            Secret::new("canary/secret"),
            token.map(Secret::new),
        )
        .unwrap()
    }

    /// Returns the headers that a signed request to Lambda has.
    fn signed(url: &str, token: Option<&str>, body: &[u8]) -> HeaderMap {
        let scope = Scope {
            region: "eu-central-1".to_owned(),
            service: "lambda".to_owned(),
        };
        let url = Url::parse(url).unwrap();
        let request = Unsigned {
            method: &Method::POST,
            url: &url,
            body,
        };
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("x"));
        sign(
            &request,
            &keys(token),
            &scope,
            &mut headers,
            "2026-11-27T22:05:09.7Z".parse().unwrap(),
        )
        .unwrap();
        headers
    }

    /// The callback id of a durable function has `/` and `=`, which are sent encoded and signed encoded twice.
    #[test]
    fn path_is_signed_with_each_percent_sign_encoded_again() {
        assert_eq!(
            canonical_path("/a/%2Fb%3D/succeed"),
            "/a/%252Fb%253D/succeed"
        );
        assert_eq!(canonical_path("//a//b/"), "/a/b/");
        assert_eq!(canonical_path("/"), "/");
    }

    #[test]
    fn what_is_sent_is_signed_and_what_proxies_change_is_not() {
        let first = signed(
            "https://lambda.eu-central-1.amazonaws.com/a",
            Some("canary-token"),
            b"{}",
        );
        assert_eq!(first["x-amz-date"], "20261127T220509Z");
        assert_eq!(first["x-amz-security-token"], "canary-token");
        let text = |headers: &HeaderMap| headers["authorization"].to_str().unwrap().to_owned();
        let names = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261127/eu-central-1/lambda/aws4_request, \
                     SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
        assert!(text(&first).starts_with(names), "{}", text(&first));
        for other in [
            signed(
                "https://lambda.eu-central-1.amazonaws.com/b",
                Some("canary-token"),
                b"{}",
            ),
            signed(
                "https://lambda.eu-central-1.amazonaws.com:8443/a",
                Some("canary-token"),
                b"{}",
            ),
            signed(
                "https://lambda.eu-central-1.amazonaws.com/a?b",
                Some("canary-token"),
                b"{}",
            ),
            signed(
                "https://lambda.eu-central-1.amazonaws.com/a",
                Some("canary-tokem"),
                b"{}",
            ),
            signed(
                "https://lambda.eu-central-1.amazonaws.com/a",
                Some("canary-token"),
                b"{ }",
            ),
        ] {
            assert_ne!(text(&first), text(&other));
        }
    }

    #[test]
    fn debug_of_keys_and_headers_shows_no_key_and_no_signature() {
        let headers = signed(
            "https://lambda.eu-central-1.amazonaws.com/a",
            Some("canary-token"),
            b"",
        );
        let shown = format!("{:?} {headers:?}", keys(Some("canary-token")));
        for secret in ["canary", "AKID", "Signature"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn keys_that_cannot_be_sent_are_refused_by_name() {
        for (parts, name) in [
            (["", "b", "c"], "access_key_id"),
            (["a/b", "b", "c"], "access_key_id"),
            (["a", "b\n", "c"], "secret_access_key"),
            (["a", "b", "c d"], "session_token"),
        ] {
            let [id, key, token] = parts.map(Secret::new);
            assert_eq!(AwsKeys::new(id, key, Some(token)).unwrap_err().0, name);
        }
    }
}
