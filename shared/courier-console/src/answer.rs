//! Responses: pages, redirects, and the headers that each of them has.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use maud::Markup;
use sha2::{Digest, Sha256};

use crate::layout::Page;

/// Only what comes from here is run, shown or sent to; nothing is inline, and no other page may frame this one.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How a page ended.
pub(crate) enum Reply {
    Page(Box<Page>),
    /// A redirect to this path below the console, after something was done.
    See(String),
    File(Response<Bytes>),
    /// The API does not know the key.
    LoggedOut,
}

/// A response that a browser is to treat with care.
pub(crate) trait Secured {
    fn secure(&mut self);
}

impl Secured for Response<Bytes> {
    fn secure(&mut self) {
        for (name, value) in [
            ("content-security-policy", CONTENT_SECURITY_POLICY),
            ("x-content-type-options", "nosniff"),
            // With `no-referrer` a browser would send a form's `Origin` as null.
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-robots-tag", "noindex"),
        ] {
            set(self, name, value);
        }
        if !self.headers().contains_key(header::CACHE_CONTROL) {
            set(self, "cache-control", "no-store");
        }
    }
}

/// Returns a page, or 304 when the browser's script has it already.
pub(crate) fn html(request: &Request<Bytes>, page: &Markup, status: StatusCode) -> Response<Bytes> {
    let digest = Sha256::digest(page.0.as_bytes());
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
    let known = request.headers().get(header::IF_NONE_MATCH);
    let mut response = if status == StatusCode::OK && known.is_some_and(|known| is_tag(known, &tag))
    {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = Response::new(Bytes::from(page.0.clone()));
        *response.status_mut() = status;
        set(&mut response, "content-type", "text/html; charset=utf-8");
        response
    };
    set(&mut response, "etag", &tag);
    response
}

/// A gateway that compresses makes tags weak.
fn is_tag(known: &HeaderValue, tag: &str) -> bool {
    known
        .as_bytes()
        .strip_prefix(b"W/")
        .unwrap_or(known.as_bytes())
        == tag.as_bytes()
}

/// Returns a redirect after which the browser asks with GET.
pub(crate) fn redirect(location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    set(&mut response, "location", location);
    response
}

/// Sets a header, unless the value cannot be one.
pub(crate) fn set(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
