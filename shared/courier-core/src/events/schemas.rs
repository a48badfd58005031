//! The AsyncAPI document, and the JSON Schema of each event, made from the vocabulary.

use serde_json::{Map, Value, json};

use super::{EventType, NAMESPACE};
use crate::operation::{Reason, STATUSES};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the AsyncAPI 3.0 document.
pub fn document() -> Value {
    let mut messages = Map::new();
    let mut components = Map::new();
    let mut schemas = Map::new();
    for event_type in EventType::ALL {
        let name = event_type.name();
        let place = key(event_type);
        messages.insert(
            place.clone(),
            json!({ "$ref": format!("#/components/messages/{place}") }),
        );
        components.insert(
            place.clone(),
            json!({
                "name": event_type.cloud_event_type(),
                "title": event_type.detail_type(),
                "summary": event_type.summary(),
                "contentType": "application/cloudevents+json",
                "payload": { "$ref": format!("#/components/schemas/{place}") },
            }),
        );
        let mut schema = schema(event_type);
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("$schema");
            fields.remove("$id");
        }
        schema["title"] = name.into();
        schemas.insert(place, schema);
    }
    schemas.insert("eventBridgeEntry".to_owned(), entry());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "graph-courier events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What happens to operations, as CloudEvents 1.0 to an HTTP receiver, or as entries of an Amazon EventBridge bus. Only the end of an operation is promised: it is sent at least once. Every other event is sent at most once.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "events": {
                "address": null,
                "title": "The target of [events]",
                "description": "The URL or the event bus that the configuration names. On a bus the detail has the fields of eventBridgeEntry.",
                "messages": messages,
            },
        },
        "operations": {
            "sendEvents": {
                "action": "send",
                "channel": { "$ref": "#/channels/events" },
                "summary": "graph-courier tells what happens to operations.",
            },
        },
        "components": { "messages": components, "schemas": schemas },
    })
}

/// Returns the JSON Schema of an event in its structured form.
pub fn schema(event_type: EventType) -> Value {
    let is_refused = event_type == EventType::Refused;
    let mut required = vec![
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "datacontenttype",
        "dataschema",
        "sequence",
        "data",
    ];
    if !is_refused {
        required.extend(["subject", "tenant", "client"]);
    }
    let text = |description: &str| json!({ "type": "string", "description": description });
    let subject =
        json!({ "type": "string", "pattern": "^op_[0-9a-f]{32}$", "description": "The operation" });
    json!({
        "$schema": DRAFT,
        "$id": event_type.schema_name(),
        "title": event_type.cloud_event_type(),
        "description": event_type.summary(),
        "type": "object",
        "required": required,
        "properties": {
            "specversion": { "const": "1.0" },
            "id": text("The same however often the event is sent"),
            "source": { "type": "string", "format": "uri", "description": "events.source of the configuration" },
            "type": { "const": event_type.cloud_event_type() },
            "subject": subject,
            "time": time("When it happened"),
            "datacontenttype": { "const": "application/json" },
            "dataschema": { "const": event_type.schema_name() },
            "sequence": { "type": "string", "pattern": "^[0-9]{10}$", "description": "Of two events of one operation the later one has the greater text" },
            "correlationid": text("The reference of the request"),
            "traceparent": text("W3C trace context of the request"),
            "tenant": text("Name of the tenant in the configuration"),
            "client": text("Name of the client in the configuration"),
            "data": data(event_type),
        },
    })
}

/// Returns the schema of `data`. It may get further fields, so nothing forbids them.
fn data(event_type: EventType) -> Value {
    if event_type == EventType::Refused {
        return json!({
            "type": "object",
            "required": ["request", "problem", "detail"],
            "properties": {
                "request": {
                    "type": "object",
                    "required": ["source", "id"],
                    "properties": { "source": { "type": "string" }, "id": { "type": "string" } },
                },
                "problem": { "type": "string", "description": "The last part of the problem's type" },
                "detail": { "type": ["string", "null"] },
            },
        });
    }
    let reasons = Reason::ALL.map(Reason::as_str);
    let nullable: Vec<Value> = reasons
        .iter()
        .map(|reason| (*reason).into())
        .chain([Value::Null])
        .collect();
    let mut data = json!({
        "type": "object",
        "required": ["id", "operation", "status", "reason", "reference", "createdAt", "startedAt", "endedAt", "deadline", "links"],
        "properties": {
            "id": { "type": "string", "pattern": "^op_[0-9a-f]{32}$" },
            "operation": { "type": "string", "description": "Its name in the catalogue" },
            "status": { "enum": STATUSES },
            "reason": { "enum": nullable },
            "reference": { "type": ["string", "null"] },
            "createdAt": time("When the request was stored"),
            "startedAt": time_or_null(),
            "endedAt": time_or_null(),
            "deadline": time("When the operation is no longer followed"),
            "legal": {
                "type": "object",
                "description": "When the answer is due by law, if the request said so",
                "required": ["regulation", "receivedAt", "timeZone", "dueOn", "dueAt"],
                "properties": {
                    "regulation": { "type": "string" },
                    "receivedAt": time("When the person's request came"),
                    "timeZone": { "type": "string" },
                    "dueOn": { "type": "string", "format": "date" },
                    "dueAt": time("The end of that day in the time zone"),
                    "met": { "type": "boolean", "description": "Of what has ended" },
                },
            },
            "links": {
                "type": "object",
                "required": ["self"],
                "properties": { "self": { "type": "string", "format": "uri-reference" } },
            },
        },
    });
    let more: &[(&str, Value)] = match event_type {
        EventType::Attention | EventType::Resolved => &[("attention", json!({ "enum": reasons }))],
        EventType::Delivered | EventType::Undeliverable => &[
            ("attempts", json!({ "type": "integer", "minimum": 0 })),
            ("lastStatus", json!({ "type": ["integer", "null"] })),
        ],
        EventType::Accepted
        | EventType::Started
        | EventType::Ended
        | EventType::Refused
        | EventType::AtRisk
        | EventType::Passed => &[],
    };
    for (name, schema) in more {
        data["properties"][*name] = schema.clone();
        if let Some(required) = data["required"].as_array_mut() {
            required.push((*name).into());
        }
    }
    data
}

/// Returns the schema of an entry of an event bus, as a rule sees it.
fn entry() -> Value {
    let titles = EventType::ALL.map(EventType::detail_type);
    json!({
        "title": "The event on an Amazon EventBridge bus",
        "type": "object",
        "required": ["source", "detail-type", "resources", "detail"],
        "properties": {
            "source": { "const": NAMESPACE },
            "detail-type": { "enum": titles },
            "resources": {
                "type": "array",
                "items": { "type": "string", "pattern": "^urn:graph-courier:operation:op_[0-9a-f]{32}$" },
            },
            "detail": {
                "type": "object",
                "required": ["metadata", "data"],
                "properties": {
                    "metadata": {
                        "type": "object",
                        "required": ["id", "source", "sequence", "schema"],
                        "properties": {
                            "id": { "type": "string" },
                            "source": { "type": "string" },
                            "correlationId": { "type": "string" },
                            "traceparent": { "type": "string" },
                            "sequence": { "type": "string" },
                            "tenant": { "type": "string" },
                            "client": { "type": "string" },
                            "schema": { "type": "string" },
                        },
                    },
                    "data": { "type": "object", "description": "As in the CloudEvent" },
                },
            },
        },
    })
}

fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn time_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

/// Returns the name of an event type as a key of the document: `operation.at_risk` is `operationAtRisk`.
fn key(event_type: EventType) -> String {
    let mut key = String::new();
    let mut is_first = false;
    for letter in event_type.name().chars() {
        match letter {
            '.' | '_' => is_first = true,
            letter if is_first => {
                key.push(letter.to_ascii_uppercase());
                is_first = false;
            }
            letter => key.push(letter),
        }
    }
    key
}
