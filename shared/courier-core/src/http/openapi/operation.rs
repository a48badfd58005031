//! The schemas of an operation's document and of a line of its history.

use serde_json::{Value, json};

use super::evidence;
use super::schemas::{nullable, nullable_time, reference, time};
use crate::operation::{ANNOUNCEMENT_STATUSES, CALLBACK_STATUSES, Reason, STATUSES};

pub(super) fn document() -> Value {
    let reasons = Reason::ALL.map(Reason::as_str).map(Value::from);
    let reasons: Vec<Value> = reasons.into_iter().chain([Value::Null]).collect();
    json!({
        "type": "object",
        "required": [
            "id", "operation", "status", "reason", "reference", "createdAt", "startedAt", "endedAt", "deadline", "adopted",
            "graph", "result", "error",
        ],
        "properties": {
            "id": { "type": "string", "pattern": "^op_[0-9a-f]{32}$" },
            "client": { "type": "string", "description": "For operators" },
            "operation": { "type": "string" },
            "status": { "enum": STATUSES },
            "reason": { "enum": reasons },
            "reference": nullable("string"),
            "createdAt": time(), "startedAt": nullable_time(), "endedAt": nullable_time(), "deadline": time(),
            "adopted": { "type": "boolean", "description": "Graph already ran the job, which is followed" },
            "graph": { "type": "object", "required": ["status", "progress", "clientRequestId", "requestId", "polls", "nextPollAt"], "properties": {
                "status": nullable("string"), "progress": nullable("number"),
                "clientRequestId": nullable("string"), "requestId": nullable("string"),
                "polls": { "type": "integer" }, "nextPollAt": nullable_time(),
            } },
            "result": { "type": ["object", "null"] },
            "error": { "type": ["object", "null"], "properties": {
                "code": { "type": "string" }, "message": { "type": "string" }, "detail": { "type": "string" },
                "httpStatus": { "type": "integer" }, "requestId": { "type": "string" },
            } },
            "expectedBy": time(), "legal": reference("LegalClock"),
            "evidence": evidence::head(),
            "previous": { "type": "string" }, "resumedFrom": { "type": "string" }, "resumedAs": { "type": "string" },
            "acknowledged": { "type": "object", "properties": { "at": time(), "by": { "type": "string" }, "note": { "type": "string" } } },
            "erasedAt": time(),
            "callback": { "type": "object", "required": ["status", "attempts", "lastStatus", "nextAttemptAt", "origin", "profile", "eventId"], "properties": {
                "status": { "enum": CALLBACK_STATUSES }, "attempts": { "type": "integer" }, "lastStatus": nullable("integer"),
                "nextAttemptAt": nullable_time(), "origin": nullable("string"), "profile": nullable("string"), "eventId": nullable("string"),
            } },
            "events": { "type": "object", "description": "How the event that the operation has ended is delivered", "properties": {
                "status": { "enum": ANNOUNCEMENT_STATUSES }, "attempts": { "type": "integer" }, "lastStatus": nullable("integer"),
                "nextAttemptAt": nullable_time(), "eventId": { "type": "string" },
            } },
        },
    })
}

pub(super) fn history_line() -> Value {
    json!({
        "type": "object", "required": ["at", "status", "event"],
        "properties": {
            "at": time(), "status": { "enum": STATUSES }, "event": { "type": "string" },
            "by": { "type": "string", "description": "Who did it: kind and name" },
            "detail": { "type": "string" }, "httpStatus": { "type": "integer" }, "latencyMs": { "type": "integer" },
            "answerType": { "type": "string" }, "answerLength": { "type": "integer" }, "answer": { "type": "string" },
            "clientRequestId": { "type": "string" }, "requestId": { "type": "string" },
            "digests": evidence::digests(),
        },
    })
}
