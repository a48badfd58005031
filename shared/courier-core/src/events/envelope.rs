//! The envelope: a CloudEvent in its structured form, and the entry of an EventBridge bus that is made from it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{EventType, NAMESPACE};
use crate::operation::{FrozenEvent, OperationId, Record, Unknown};
use crate::time::milliseconds;

/// What the configuration adds to every event.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The `source` of every event.
    pub source: &'a str,
    /// The URL in front of `/v1` in links; empty where it is not configured.
    pub base: &'a str,
}

impl Context<'_> {
    /// Returns the event about a change of `record` that its present revision stands for.
    pub(super) fn about(
        &self,
        record: &Record,
        event_type: EventType,
        time: Timestamp,
        data: Value,
    ) -> FrozenEvent {
        let sequence = sequence(record.revision);
        let mut attributes = Map::new();
        for (name, value) in [
            ("correlationid", record.reference.as_deref()),
            ("traceparent", record.traceparent.as_deref()),
            ("tenant", Some(record.tenant.as_str())),
            ("client", Some(record.client.as_str())),
            ("sequence", Some(sequence.as_str())),
        ] {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), value.into());
            }
        }
        let word = event_type.name().replace('.', "_");
        let id = format!("evt_{}_{word}_{}", record.id.bare(), record.revision);
        let subject = record.id.as_str();
        self.event(id, Some(subject), (event_type, time), attributes, data)
    }

    /// Returns an event with these extension attributes.
    pub(super) fn event(
        &self,
        id: String,
        subject: Option<&str>,
        (event_type, time): (EventType, Timestamp),
        attributes: Map<String, Value>,
        data: Value,
    ) -> FrozenEvent {
        let kind = event_type.cloud_event_type();
        let mut event = json!({
            "specversion": "1.0",
            "id": id,
            "source": self.source,
            "type": kind,
            "time": milliseconds(time),
            "datacontenttype": "application/json",
            "dataschema": event_type.schema_name(),
        });
        if let Value::Object(fields) = &mut event {
            fields.extend(subject.map(|subject| ("subject".to_owned(), subject.into())));
            fields.extend(attributes);
            fields.insert("data".to_owned(), data);
        }
        let body = event.to_string();
        FrozenEvent {
            id,
            kind,
            body,
            is_otherwise: false,
            unknown: Unknown::new(),
        }
    }

    /// Returns where callers read the operation.
    pub(super) fn link(&self, id: &OperationId) -> String {
        format!("{}/v1/operations/{id}", self.base)
    }
}

/// Returns the place of an event among those of its operation. Such texts sort as the events came.
pub(super) fn sequence(revision: u64) -> String {
    format!("{revision:010}")
}

/// Returns the entry of `PutEvents` for an event; `None` if its body is not one of ours.
pub fn entry(event: &FrozenEvent, bus: &str) -> Option<Value> {
    let body: Value = serde_json::from_str(&event.body).ok()?;
    let event_type = EventType::of_cloud_event(&event.kind)?;
    let mut metadata = Map::new();
    for (name, attribute) in [
        ("id", "id"),
        ("source", "source"),
        ("correlationId", "correlationid"),
        ("traceparent", "traceparent"),
        ("sequence", "sequence"),
        ("tenant", "tenant"),
        ("client", "client"),
        ("schema", "dataschema"),
    ] {
        if let Some(value) = body.get(attribute) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    let detail = json!({ "metadata": metadata, "data": body.get("data")? });
    let subject = body.get("subject").and_then(Value::as_str);
    let resources: Vec<String> = subject
        .map(|subject| format!("urn:graph-courier:operation:{subject}"))
        .into_iter()
        .collect();
    Some(json!({
        "EventBusName": bus,
        "Source": NAMESPACE,
        "DetailType": event_type.detail_type(),
        "Time": body.get("time")?,
        "Resources": resources,
        "Detail": detail.to_string(),
    }))
}
