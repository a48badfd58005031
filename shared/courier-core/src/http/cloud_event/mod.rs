//! A request that comes as a CloudEvent (CloudEvents 1.0): what its attributes say, and the plain request that it stands
//! for. Whoever sends that request by HTTP asks for the same operation.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::body::STRUCTURED;
use super::problem::{BrokenAttribute, Problem};
use super::request::{placeholder, reference_rule};
use crate::auth::Signed;
use crate::config::Client;
use crate::crypto::hmac::Encoding;
use crate::time::rfc_3339;

pub(super) mod attributes;
mod binary;
mod structured;

use attributes::{Attributes, Name};

/// The `type` of an event that asks for an operation.
pub(super) const REQUESTED: &str = "io.graph-courier.operation.requested";

/// The event of a request, whose attributes keep every rule.
pub(super) struct CloudEvent {
    attributes: Attributes,
    data: Value,
    expires: Option<Timestamp>,
}

/// The parts of the plain request that an event stands for.
pub(super) struct PlainRequest {
    pub(super) body: Bytes,
    pub(super) headers: HeaderMap,
    /// When the event expires, and the operation with it.
    pub(super) expires: Option<Timestamp>,
}

/// Returns the idempotency key of an event, the same for whoever sends it: `event-` and the SHA-256, in hexadecimal
/// digits, of the source's length in bytes, a colon, the source and the id.
///
/// The length keeps apart two events whose source and id are the same text when they are joined.
pub(super) fn idempotency_key(source: &str, id: &str) -> String {
    let text = format!("{}:{source}{id}", source.len());
    format!("event-{}", Encoding::Hex.encode(&Sha256::digest(text)))
}

/// Reads the event of a request in structured or binary mode (CloudEvents HTTP binding 1.0, section 3); `None` if the
/// request is none. `media_type` is that of the body.
///
/// A body of `application/json` that names a version of CloudEvents is an event too: a request has no such field, and
/// EventBridge sends this type unless it is told another one.
///
/// A signature covers the body alone, so a signed request is an event only in structured mode, and `signed` becomes
/// `None`: source and id are the signed identity then.
pub(super) fn read(
    request: &Request<Bytes>,
    media_type: &str,
    signed: &mut Option<Signed>,
) -> Result<Option<CloudEvent>, Problem> {
    let parts = if media_type == STRUCTURED || structured::is_event(request.body()) {
        structured::read(request.body())?
    } else if binary::is_event(request.headers()) {
        if signed.is_some() {
            return Err(Problem::InvalidHeader {
                name: "ce-id",
                rule: "is not covered by the signature: send the event in structured mode",
            });
        }
        binary::read(request)?
    } else {
        return Ok(None);
    };
    if signed.take().is_some() && request.headers().contains_key(IDEMPOTENCY_KEY) {
        return Err(Problem::InvalidHeader {
            name: "Idempotency-Key",
            rule: "is not covered by the signature: the event's source and id are the key",
        });
    }
    checked(parts).map(Some)
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What an event consists of, before any rule but those of its form is applied.
struct Parts {
    attributes: Attributes,
    data: Option<Value>,
    broken: Vec<BrokenAttribute>,
}

/// Applies the rules of the attributes; the problem names every one that is broken.
fn checked(parts: Parts) -> Result<CloudEvent, Problem> {
    let Parts {
        attributes,
        data,
        mut broken,
    } = parts;
    let mut check = |name: Name, rule: Option<&'static str>| {
        let name = name.as_str();
        if let Some(rule) = rule
            && !broken.iter().any(|found| found.attribute == name)
        {
            broken.push(BrokenAttribute {
                attribute: name,
                rule,
            });
        }
    };
    let exactly = |name: Name, wanted: &str, rule: &'static str| {
        let is_wanted = attributes.get(name) == Some(wanted);
        (!is_wanted).then_some(rule)
    };
    check(
        Name::SpecVersion,
        exactly(Name::SpecVersion, "1.0", "must be 1.0"),
    );
    let rule = "must be io.graph-courier.operation.requested";
    check(Name::Type, exactly(Name::Type, REQUESTED, rule));
    for name in [Name::Id, Name::Source] {
        check(name, identity_rule(attributes.get(name)));
    }
    if let Some(kind) = attributes.get(Name::DataContentType) {
        let rule = "must be application/json, or be left out";
        check(Name::DataContentType, (!is_json(kind)).then_some(rule));
    }
    let expires = attributes.get(Name::ExpiryTime).map(rfc_3339);
    if expires == Some(None) {
        let rule = "must be an RFC 3339 time such as 2026-12-20T00:00:00Z";
        check(Name::ExpiryTime, Some(rule));
    }
    if let Some((name, text)) = attributes.reference()
        && !has_reference(data.as_ref())
    {
        check(name, reference_rule(text));
    }
    if data.is_none() {
        check(Name::Data, Some("is required: it is the request"));
    }
    match data {
        Some(data) if broken.is_empty() => Ok(CloudEvent {
            attributes,
            data,
            expires: expires.flatten(),
        }),
        _ => Err(Problem::InvalidEvent(broken)),
    }
}

/// Returns the rule that an id or a source breaks.
fn identity_rule(text: Option<&str>) -> Option<&'static str> {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return Some("is required and must not be empty");
    }
    if text.chars().any(char::is_control) {
        return Some("must not hold a control character");
    }
    placeholder::is_in(text).then_some(placeholder::RULE)
}

/// Reports whether a media type is JSON: `application/json`, or a type with the suffix `+json`.
fn is_json(kind: &str) -> bool {
    let name = kind.split(';').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    name == "application/json" || name.ends_with("+json")
}

fn has_reference(data: Option<&Value>) -> bool {
    data.is_some_and(|data| !data["reference"].is_null())
}

impl CloudEvent {
    /// Returns the request for an operation of `client` that the event stands for; `headers` are those it came with,
    /// which go before its attributes.
    pub(super) fn into_request(
        self,
        headers: &HeaderMap,
        client: &Client,
    ) -> Result<PlainRequest, Problem> {
        let Self {
            attributes,
            mut data,
            expires,
        } = self;
        let text = |name| attributes.get(name).unwrap_or_default();
        let (source, id) = (text(Name::Source), text(Name::Id));
        if !client.event_rules.permit(source) {
            return Err(Problem::SourceForbidden);
        }
        if let Some((_, reference)) = attributes.reference()
            && !has_reference(Some(&data))
            && let Value::Object(fields) = &mut data
        {
            fields.insert("reference".to_owned(), reference.into());
        }
        let mut headers = headers.clone();
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            let key = HeaderValue::try_from(idempotency_key(source, id));
            headers.extend(key.map(|key| (HeaderName::from_static(IDEMPOTENCY_KEY), key)));
        }
        // The state belongs to its parent: one of the header and one of the event would be two traces.
        if let Some(parent) = attributes.get(Name::TraceParent)
            && !headers.contains_key(Name::TraceParent.as_str())
        {
            headers.remove(Name::TraceState.as_str());
            for (name, value) in [
                (Name::TraceParent, Some(parent)),
                (Name::TraceState, attributes.get(Name::TraceState)),
            ] {
                let value = value.and_then(|value| HeaderValue::from_str(value).ok());
                headers.extend(value.map(|value| (name.header(), value)));
            }
        }
        Ok(PlainRequest {
            body: data.to_string().into(),
            headers,
            expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash was made with Python's hashlib.
    #[test]
    fn the_key_is_the_hash_of_source_and_id_with_the_length_of_the_source() {
        assert_eq!(
            idempotency_key("urn:contoso:tickets", "RITM0012345"),
            "event-4e842b32e06b0ba2281f8f66f88a379919603cab3c8ab285773d2acb21993dc1"
        );
        let [one, other] = [("urn:a", "b:c"), ("urn:ab", ":c")];
        let key = |(source, id)| idempotency_key(source, id);
        assert_ne!(key(one), key(other));
        assert_ne!(key(("a1", "1")), key(("a", "11")));
        assert_eq!(key(("é", "1")).len(), 70);
    }
}
