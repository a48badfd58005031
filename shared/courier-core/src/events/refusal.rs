//! The event about a request that came as an event and was refused: there is no operation that it could be about.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Context, EventType};
use crate::operation::FrozenEvent;

/// A request that was refused.
#[derive(Debug, Clone)]
pub struct Refused<'a> {
    /// `source` and `id` of the request's event.
    pub request: (&'a str, &'a str),
    /// The client that sent it, if it is known.
    pub client: Option<&'a str>,
    pub tenant: Option<&'a str>,
    /// The request's own reference, for whoever waits for it.
    pub correlation_id: Option<&'a str>,
    /// The last part of the problem's `type`, such as `invalid-request`.
    pub problem: &'a str,
    /// What is wrong, without values of the request.
    pub detail: Option<&'a str>,
    pub at: Timestamp,
}

/// Most characters of a text of the request, or about it.
const MAX_TEXT: usize = 1024;

/// Returns the event; a request that is refused again has another time and the same id.
pub fn refused(refused: &Refused<'_>, context: &Context<'_>) -> FrozenEvent {
    let cut = |text: &str| -> String { text.chars().take(MAX_TEXT).collect() };
    let (source, id) = refused.request;
    let mut attributes = Map::new();
    for (name, value) in [
        ("client", refused.client),
        ("tenant", refused.tenant),
        ("correlationid", refused.correlation_id),
    ] {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), cut(value).into());
        }
    }
    attributes.insert("sequence".to_owned(), super::envelope::sequence(1).into());
    let hash = Sha256::new()
        .chain_update(b"graph-courier refused event v1\0")
        .chain_update(source)
        .chain_update(b"\0")
        .chain_update(id)
        .finalize();
    let request: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let data: Value = json!({
        "request": { "source": cut(source), "id": cut(id) },
        "problem": refused.problem,
        "detail": refused.detail.map(cut),
    });
    let kind = (EventType::Refused, refused.at);
    context.event(
        format!("evt_{request}_operation_refused_1"),
        None,
        kind,
        attributes,
        data,
    )
}
