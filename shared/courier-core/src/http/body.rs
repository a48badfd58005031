//! Judges the body of a request by its headers: media type, content coding, length.

use bytes::Bytes;
use http::{HeaderMap, Request, header};

use super::problem::{MediaTypes, Problem};
use super::request::BODY_BYTES;

pub(super) const POST_TYPES: MediaTypes = MediaTypes {
    header: "accept-post",
    names: "application/json",
};
/// An event whose attributes and data are one JSON object.
pub(super) const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
pub(super) const CREATE_TYPES: MediaTypes = MediaTypes {
    header: "accept-post",
    names: "application/json, application/cloudevents+json",
};
pub(super) const PATCH_TYPES: MediaTypes = MediaTypes {
    header: "accept-patch",
    names: "application/json, application/merge-patch+json",
};

/// Returns the media type of a body that is one of `types`, in no content coding and not too long.
pub(super) fn check(request: &Request<Bytes>, types: MediaTypes) -> Result<&'static str, Problem> {
    let found = media_type(request.headers(), types);
    let found = found.ok_or_else(|| Problem::UnsupportedMediaType {
        types,
        is_batch: has_type(request.headers(), BATCH),
    })?;
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
    let mut known = types.names.split(", ");
    known.find(|known| has_type(headers, known))
}

fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let name = value.and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
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
