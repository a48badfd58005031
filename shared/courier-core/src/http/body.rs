//! Judges the body of a request by its headers: media type, content coding, length.

use bytes::Bytes;
use http::{HeaderMap, Request, header};

use super::problem::{MediaTypes, Problem};
use super::request::BODY_BYTES;

pub(super) const POST_TYPES: MediaTypes = MediaTypes {
    header: "accept-post",
    names: "application/json",
};
pub(super) const PATCH_TYPES: MediaTypes = MediaTypes {
    header: "accept-patch",
    names: "application/json, application/merge-patch+json",
};

/// Returns the media type of a body that is one of `types`, in no content coding and not too long.
pub(super) fn check(request: &Request<Bytes>, types: MediaTypes) -> Result<&'static str, Problem> {
    let found = media_type(request.headers(), types);
    let found = found.ok_or(Problem::UnsupportedMediaType { types })?;
    if !is_identity(request.headers()) {
        return Err(Problem::UnsupportedContentEncoding { types });
    }
    if request.body().len() > BODY_BYTES {
        return Err(Problem::PayloadTooLarge);
    }
    Ok(found)
}

/// Returns the media type without its parameters: JSON has none, and a `charset` has no effect (RFC 8259 §11).
fn media_type(headers: &HeaderMap, types: MediaTypes) -> Option<&'static str> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let name = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let mut known = types.names.split(", ");
    known.find(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Reports whether the body is sent as it is, without a content coding such as gzip (RFC 9110, section 8.4).
fn is_identity(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    values
        .map(|value| value.to_str().unwrap_or("unknown"))
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
}
