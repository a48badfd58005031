//! The schemas of the legal clock in the OpenAPI document.

use serde_json::{Value, json};

use crate::legal::Regulation;

fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn regulation() -> Value {
    let names: Vec<&str> = Regulation::all().keys().map(String::as_str).collect();
    json!({ "enum": names })
}

fn reason() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 1000, "description": "It stays in the history" })
}

/// Returns the schema of the field `legal` of a request.
pub(super) fn request() -> Value {
    json!({
        "type": "object", "required": ["regulation", "receivedAt", "timeZone"], "additionalProperties": false,
        "description": "Counts when the answer to the person is due by law",
        "properties": {
            "regulation": regulation(),
            "receivedAt": time("When the person's request was received"),
            "timeZone": { "type": "string", "description": "IANA name of the zone whose days count", "examples": ["Europe/Berlin"] },
            "holidays": { "type": ["string", "null"], "description": "Name of a calendar of public holidays; by default the configured one", "examples": ["de"] },
        },
    })
}

/// Returns the schema of the field `legal` of an operation.
pub(super) fn clock() -> Value {
    json!({
        "type": "object", "required": ["regulation", "receivedAt", "timeZone", "dueOn", "dueAt"],
        "properties": {
            "regulation": { "type": "string" },
            "receivedAt": time("When the person's request was received"),
            "timeZone": { "type": "string" },
            "dueOn": { "type": "string", "format": "date", "description": "The last day of the period in the zone" },
            "dueAt": time("The last millisecond of that day"),
            "met": { "type": "boolean", "description": "Once it has ended: the operation ended by then" },
            "daysLeft": { "type": "integer", "description": "Days from today to the due date, while the clock runs; negative after it" },
            "atRisk": { "type": "boolean", "description": "A week or less is left, or such jobs usually end later" },
            "holidays": { "type": ["string", "null"] },
            "extendedAt": time("When the extension was noted"),
            "toldAt": time("When the person was told of it"),
            "pausedAt": time("Since when the clock has been stopped"),
            "pausedDays": { "type": "integer", "description": "Days that do not count" },
            "notes": { "type": "array", "items": { "type": "string" }, "description": "What the reader of the date has to know" },
        },
    })
}

pub(super) fn extend() -> Value {
    json!({
        "type": "object", "required": ["reason", "toldAt"], "additionalProperties": false,
        "properties": {
            "reason": reason(),
            "toldAt": time("When the person was told, within the first period"),
            "months": { "type": "integer", "minimum": 1, "description": "For a regulation that counts months; by default as many as it allows" },
            "days": { "type": "integer", "minimum": 1, "description": "For a regulation that counts days; by default as many as it allows" },
        },
    })
}

pub(super) fn pause() -> Value {
    json!({
        "type": "object", "required": ["reason"], "additionalProperties": false,
        "properties": { "reason": reason(), "at": time("When the person was asked; by default now") },
    })
}

pub(super) fn resume() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": { "at": time("When the person's answer was received; by default now") },
    })
}
