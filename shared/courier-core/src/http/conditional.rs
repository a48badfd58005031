//! Conditional requests (RFC 9110, section 13): an answer that the caller has already is not sent again.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::crypto::hmac::Encoding;

/// Number of bytes of the body's SHA-256 that make its entity tag.
const TAG_BYTES: usize = 12;

/// Returns the strong entity tag of a body.
pub(super) fn etag(body: &Bytes) -> String {
    let hash = Sha256::digest(body);
    format!("\"{}\"", Encoding::Hex.encode(&hash[..TAG_BYTES]))
}

/// Returns the answer, or `304` without a body if `If-None-Match` has its `ETag`.
///
/// Weak tags are compared as section 13.1.2 says, because a gateway that compresses answers makes tags weak.
pub(super) fn answer(request: &Request<Bytes>, mut response: Response<Bytes>) -> Response<Bytes> {
    let Some(tag) = response.headers().get(header::ETAG) else {
        return response;
    };
    let sent = request.headers().get_all(header::IF_NONE_MATCH).iter();
    let mut tags = sent
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|one| one.trim().trim_start_matches("W/"));
    if tags.any(|one| one == "*" || one.as_bytes() == tag.as_bytes()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}
