//! The parameters and headers of the OpenAPI document.

use serde_json::{Value, json};

use crate::http::routes::Handler;
use crate::operation::{CALLBACK_STATUSES, STATUSES};
use crate::ports::OPEN;

pub(super) fn of_path(name: &str) -> Value {
    let schema = match name {
        "id" => {
            json!({ "type": "string", "pattern": "^op_[0-9a-f]{32}$", "examples": ["op_4534d7c6b0ccb7ffbbddd011c2fca8cc"] })
        }
        _ => json!({ "type": "string", "examples": ["user.exportPersonalData"] }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// Describes a query parameter.
pub(super) fn parameter(name: &str) -> Value {
    let text = || json!({ "type": "string" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let (schema, description) = match name {
        "status" => {
            let mut known = STATUSES.to_vec();
            known.push(OPEN);
            (
                json!({ "enum": known }),
                "In this status; `open` is every operation without an outcome",
            )
        }
        "client" => (text(), "For operators: the client that is meant"),
        "operation" => (text(), "Of this operation of the catalogue"),
        "reference" => (text(), "With exactly this reference"),
        "callback" => (
            json!({ "enum": CALLBACK_STATUSES }),
            "Whose callback is in this status; `pending` finds those that are retrying too",
        ),
        "person" => (text(), "About the person with this id or e-mail address"),
        "createdAfter" => (time(), "Created at this time or later"),
        "createdBefore" => (time(), "Created before this time"),
        "deadlineBefore" => (
            time(),
            "Without an outcome, and with a deadline before this time",
        ),
        "dueBefore" => (
            time(),
            "Without an outcome, and with a legal due date before this time",
        ),
        "sort" => (
            json!({ "enum": ["created", "deadline", "due"] }),
            "`created`: the newest first. `deadline`: what has no outcome, the earliest deadline first. `due`: what has no outcome and a legal clock, the earliest due date first",
        ),
        "limit" => (
            json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 }),
            "Most operations on the page",
        ),
        "cursor" => (text(), "The `next` of the page before"),
        "dryRun" => (json!({ "enum": ["true", "false"] }), "`true` only counts"),
        "since" => (time(), "Of operations that ended at this time or later"),
        "until" => (time(), "Of operations that ended before this time"),
        _ => (text(), ""),
    };
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

/// Returns the request headers that mean something to a call.
pub(super) fn headers(handler: Handler) -> Vec<Value> {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } });
    let prefer = |description| header("Prefer", description);
    let none_match = header(
        "If-None-Match",
        "The `ETag` of an answer that the caller has",
    );
    match handler {
        Handler::Create => vec![
            header(
                "Idempotency-Key",
                "1 to 255 printable ASCII characters. A repeat with the same key starts nothing",
            ),
            prefer("`respond-async`, or `wait=N` for at most 25 seconds"),
            header(
                "traceparent",
                "W3C Trace Context; each callback is a call of the same trace",
            ),
            header(
                "tracestate",
                "W3C Trace Context; passed on with the callback",
            ),
        ],
        Handler::Read => vec![prefer("`wait=N` for at most 25 seconds"), none_match],
        Handler::List | Handler::OpenApi | Handler::EvidenceKeys => vec![none_match],
        Handler::Health
        | Handler::Readiness
        | Handler::Catalogue
        | Handler::CatalogueEntry
        | Handler::RedeliverAll
        | Handler::Erase
        | Handler::History
        | Handler::Evidence
        | Handler::Cancel
        | Handler::Resume
        | Handler::Acknowledge
        | Handler::LegalExtend
        | Handler::LegalPause
        | Handler::LegalResume
        | Handler::Retarget
        | Handler::Redeliver
        | Handler::TestCallback => Vec::new(),
    }
}

fn text(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "string" } })
}

fn seconds(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } })
}

/// Returns the headers of an answer, if it has any that a caller would read.
pub(super) fn answer_headers(handler: Handler, status: &str) -> Option<Value> {
    let tag = text("Changes when the answer changes");
    match (handler, status) {
        (Handler::List, "200") => Some(json!({
            "ETag": tag, "Link": text("The next page, as `rel=\"next\"`"),
        })),
        (Handler::Read, "200") => Some(json!({ "ETag": tag })),
        (_, "202") => Some(json!({
            "Location": text("Where to look again"),
            "Retry-After": seconds("When there may be news, in seconds"),
        })),
        _ => None,
    }
}

/// Returns the headers of a problem, if it has any that a caller would read.
pub(super) fn problem_headers(status: u16) -> Option<Value> {
    match status {
        401 => Some(json!({ "WWW-Authenticate": text("The schemes that this deployment takes") })),
        405 => Some(json!({ "Allow": text("The methods of the resource") })),
        429 | 503 => Some(json!({ "Retry-After": seconds("When to try again, in seconds") })),
        _ => None,
    }
}
