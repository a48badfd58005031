//! Azure's blob service, as far as an export needs it: containers that are made with the key of one account, and the
//! signatures by which the export may write into them.
//!
//! It follows Microsoft's pages [Authorize with Shared Key](https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key)
//! and [Create a service SAS](https://learn.microsoft.com/rest/api/storageservices/create-service-sas).

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use sha2::Sha256;
use url::Url;
use url::form_urlencoded;

use crate::answer::{Answer, Call, Content};

/// The account that there is, the one of Microsoft's own emulators, at `http://ADDRESS/devstoreaccount1`.
pub const STORAGE_ACCOUNT: &str = "devstoreaccount1";
/// Its key, which everybody knows.
pub const STORAGE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
const SKU_NAME: HeaderName = HeaderName::from_static("x-ms-sku-name");
/// The headers of which a signature has the values, in their order.
const SIGNED_HEADERS: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// The containers that there are.
#[derive(Default)]
pub(crate) struct Blobs {
    containers: BTreeSet<String>,
}

impl Blobs {
    /// Answers a call with `path` below the account.
    pub(crate) fn serve(&mut self, method: &Method, path: &str, call: &Call<'_>) -> Answer {
        if method == Method::PUT && !call.headers.contains_key(CONTENT_LENGTH) {
            return refused(StatusCode::LENGTH_REQUIRED, "MissingContentLengthHeader");
        }
        if !is_signed(method, path, call) {
            return refused(StatusCode::FORBIDDEN, "AuthenticationFailed");
        }
        let query = form_urlencoded::parse(call.query.as_bytes());
        let restype = query.into_owned().find(|(name, _)| name == "restype");
        let restype = restype.map(|(_, value)| value);
        match (
            method.as_str(),
            path.trim_start_matches('/'),
            restype.as_deref(),
        ) {
            ("GET", "", Some("account")) => {
                let mut answer = Answer::new(StatusCode::OK, Content::Empty);
                answer.set(SKU_NAME, "Standard_LRS");
                answer
            }
            ("PUT", name, Some("container")) if is_container(name) => {
                if self.containers.insert(name.to_owned()) {
                    Answer::new(StatusCode::CREATED, Content::Empty)
                } else {
                    refused(StatusCode::CONFLICT, "ContainerAlreadyExists")
                }
            }
            ("PUT", _, Some("container")) => {
                refused(StatusCode::BAD_REQUEST, "InvalidResourceName")
            }
            _ => refused(StatusCode::BAD_REQUEST, "UnsupportedQueryParameter"),
        }
    }

    /// Reports whether a SAS is good for a container of the account; of other accounts nothing is known, so they permit.
    pub(crate) fn permit(&self, location: &Url) -> bool {
        let below = location
            .path()
            .trim_start_matches('/')
            .strip_prefix(STORAGE_ACCOUNT);
        let Some(name) = below.and_then(|path| path.strip_prefix('/')) else {
            return true;
        };
        let name = name.trim_end_matches('/');
        let field = |name: &str| {
            let found = location.query_pairs().find(|(key, _)| key == name);
            found.map_or_else(String::new, |(_, value)| value.into_owned())
        };
        let resource = format!("/blob/{STORAGE_ACCOUNT}/{name}");
        let mut lines = ["sp", "st", "se"].map(field).to_vec();
        lines.push(resource);
        lines.extend(["si", "sip", "spr", "sv", "sr", "", "ses"].map(field));
        lines.extend(["rscc", "rscd", "rsce", "rscl", "rsct"].map(field));
        self.containers.contains(name) && field("sig") == signature(&lines.join("\n"))
    }
}

fn is_container(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&name.len()) && name.bytes().all(fits) && !name.contains("--")
}

fn refused(status: StatusCode, code: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    let content = Content::Text {
        media_type: "application/xml",
        text: text.into(),
    };
    let mut answer = Answer::new(status, content);
    answer.set(ERROR_CODE, code);
    answer
}

/// Reports whether the request carries the signature that the account's key makes of it.
fn is_signed(method: &Method, path: &str, call: &Call<'_>) -> bool {
    let headers = call.headers;
    let mut text = method.to_string();
    for name in SIGNED_HEADERS {
        let value = value(headers, name);
        // No content has no length here, whatever the header says.
        let is_nothing = name == "content-length" && value == "0";
        text.push('\n');
        text.push_str(if is_nothing { "" } else { value });
    }
    text.push('\n');
    let mut own: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    own.retain(|name| name.starts_with("x-ms-"));
    own.sort_unstable();
    for name in own {
        text.push_str(&format!("{name}:{}\n", value(headers, name)));
    }
    // The account is there twice: once as the account, once as the first part of the path.
    text.push_str(&format!("/{STORAGE_ACCOUNT}/{STORAGE_ACCOUNT}{path}"));
    let mut query: Vec<_> = form_urlencoded::parse(call.query.as_bytes()).collect();
    query.sort_unstable();
    for (name, value) in query {
        text.push_str(&format!("\n{name}:{value}"));
    }
    let expected = format!("SharedKey {STORAGE_ACCOUNT}:{}", signature(&text));
    value(headers, AUTHORIZATION.as_str()) == expected
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn signature(text: &str) -> String {
    let key = STANDARD.decode(STORAGE_KEY).unwrap_or_default();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes any key");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
