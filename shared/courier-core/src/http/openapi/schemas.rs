//! The schemas of bodies in the OpenAPI document.

use serde_json::{Map, Value, json};

use super::{evidence, examples, legal, operation};
use crate::catalogue::{Catalogue, Operation};
use crate::http::problem::KINDS;
use crate::http::routes::Handler;
use crate::operation::Outcome;

/// Returns a reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn json_content(schema: Value) -> Option<Value> {
    Some(json!({ "application/json": { "schema": schema } }))
}

fn with_example(content: Option<Value>, example: Value) -> Option<Value> {
    content.map(|mut content| {
        content["application/json"]["example"] = example;
        content
    })
}

/// Returns the successful answers of a call: status, description, content.
pub(super) fn answers(handler: Handler) -> Vec<(&'static str, &'static str, Option<Value>)> {
    let operation = |example| with_example(json_content(reference("Operation")), example);
    let open = (
        "202",
        "The operation is open",
        operation(examples::running()),
    );
    let ended = (
        "200",
        "The operation has ended",
        operation(examples::succeeded()),
    );
    let unchanged = ("304", "The caller has the answer already", None);
    match handler {
        Handler::Create => vec![ended, open],
        Handler::Read => vec![ended, open, unchanged],
        Handler::Cancel | Handler::Erase | Handler::Acknowledge => vec![ended],
        Handler::Resume | Handler::Retarget => vec![ended, open],
        Handler::LegalExtend | Handler::LegalPause | Handler::LegalResume => vec![open],
        Handler::Redeliver => vec![(
            "202",
            "The completion is being delivered",
            operation(examples::succeeded()),
        )],
        Handler::List => {
            let csv = json!({ "schema": { "type": "string" } });
            let list = json!({ "operations": [examples::running()], "next": null });
            let content = with_example(json_content(reference("OperationList")), list);
            let content = content.map(|mut content| {
                content["text/csv"] = csv;
                content
            });
            vec![("200", "A page of the list", content), unchanged]
        }
        Handler::History => vec![(
            "200",
            "The history",
            json_content(reference("OperationHistory")),
        )],
        Handler::Evidence => {
            let content = json!({ evidence::MEDIA_TYPE: { "schema": evidence::envelope() } });
            vec![("200", "The signed statement", Some(content))]
        }
        Handler::EvidenceKeys => {
            let content = json!({ "application/jwk-set+json": { "schema": evidence::key_set() } });
            vec![("200", "The keys", Some(content)), unchanged]
        }
        Handler::RedeliverAll => vec![
            (
                "200",
                "What would be delivered again",
                json_content(reference("RedeliveryResult")),
            ),
            (
                "202",
                "What is being delivered again",
                json_content(reference("RedeliveryResult")),
            ),
        ],
        Handler::TestCallback => vec![(
            "200",
            "What became of the attempt",
            json_content(reference("CallbackTestResult")),
        )],
        Handler::Catalogue => {
            let list = json!({
                "type": "object", "required": ["caller", "operations"],
                "properties": { "caller": reference("Caller"), "operations": { "type": "array", "items": reference("CatalogueEntry") } },
            });
            vec![("200", "The operations", json_content(list))]
        }
        Handler::CatalogueEntry => {
            vec![(
                "200",
                "The operation",
                json_content(reference("CatalogueEntry")),
            )]
        }
        Handler::OpenApi => {
            let document = json_content(json!({ "type": "object" }));
            vec![("200", "The document", document), unchanged]
        }
        Handler::Health | Handler::Readiness => {
            let ok = json!({ "type": "object", "properties": { "status": { "const": "ok" } } });
            vec![("200", "It is", json_content(ok))]
        }
    }
}

/// Returns the body of a request, if the call has one.
pub(super) fn request_body(handler: Handler) -> Option<Value> {
    let body = |schema: &str| json!({ "required": true, "content": { "application/json": { "schema": reference(schema) } } });
    match handler {
        Handler::Create => {
            let mut new = body("NewOperation");
            new["content"]["application/json"]["example"] = examples::request();
            // Its schema would be a second one for the same body, which is more than some generators of clients can read.
            new["description"] = "Taken as the `data` of a CloudEvent too, in structured mode (`application/cloudevents+json`) and in binary mode (`ce-*` headers)".into();
            Some(new)
        }
        Handler::TestCallback => Some(body("CallbackTest")),
        Handler::Acknowledge => Some(body("Acknowledge")),
        Handler::LegalExtend => Some(body("LegalExtend")),
        Handler::LegalPause => Some(body("LegalPause")),
        Handler::LegalResume => {
            let mut body = body("LegalResume");
            body["required"] = false.into();
            Some(body)
        }
        Handler::Retarget => {
            let mut patch = body("CallbackChange");
            // A second media type with the same schema is more than some generators of clients can read.
            patch["description"] = "Taken as `application/merge-patch+json` too".into();
            Some(patch)
        }
        Handler::Health
        | Handler::Readiness
        | Handler::OpenApi
        | Handler::Catalogue
        | Handler::CatalogueEntry
        | Handler::List
        | Handler::RedeliverAll
        | Handler::Read
        | Handler::Erase
        | Handler::History
        | Handler::Evidence
        | Handler::EvidenceKeys
        | Handler::Cancel
        | Handler::Resume
        | Handler::Redeliver => None,
    }
}

/// Returns the call that a receiver gets when an operation has ended.
pub(super) fn completion_call() -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "description": description, "schema": { "type": "string" } });
    json!({
        "summary": "The completion of an operation, with the default profile",
        "description": "Every delivery of a completion has the same id and the same body. Answer with a 2xx status within 15 seconds.",
        "security": [],
        "parameters": [
            header("webhook-id", "The id of the completion: treat one that was seen as done"),
            header("webhook-timestamp", "When this delivery was signed, in seconds since 1970"),
            header("webhook-signature", "Signatures as in Standard Webhooks 1.0: `v1,` and base64, separated by spaces"),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": reference("Completion"), "example": examples::completion() } } },
        "responses": {
            "2XX": { "description": "The receiver has taken the completion" },
            "410": { "description": "The receiver wants no more of it: delivery stops" },
            "default": { "description": "The delivery is tried again, for about 75 hours" },
        },
    })
}

/// Returns every schema, with one for each operation of the catalogue.
pub(super) fn schemas(catalogue: &Catalogue) -> Value {
    let mut schemas = Map::new();
    let mut variants = Vec::new();
    for operation in catalogue.iter() {
        let name = schema_name(&operation.name);
        schemas.insert(name.clone(), new_operation(operation));
        variants.push(reference(&name));
    }
    schemas.insert("NewOperation".to_owned(), json!({ "oneOf": variants }));
    let Value::Object(fixed) = fixed() else {
        return Value::Null;
    };
    schemas.extend(fixed);
    Value::Object(schemas)
}

/// Returns the schema's name of an operation: `user.exportPersonalData` is `UserExportPersonalData`.
fn schema_name(operation: &str) -> String {
    let words = operation.split(['.', '-']);
    let upper = words.map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_uppercase())
    });
    upper.collect()
}

/// Returns the parameters, with a choice between some of them in words: generators of clients make no type of an object
/// that has one.
fn parameters(operation: &Operation) -> Value {
    let mut parameters = operation.parameters.clone();
    if let Some(schema) = parameters.as_object_mut()
        && schema.shift_remove("oneOf").is_some()
    {
        let names = operation.schema().alternatives().join(" and ");
        let description = format!("Exactly one of {names} is required");
        schema.insert("description".to_owned(), description.into());
    }
    parameters
}

fn new_operation(operation: &Operation) -> Value {
    json!({
        "type": "object",
        "description": operation.summary,
        "required": ["operation", "parameters"],
        "additionalProperties": false,
        "properties": {
            "operation": { "const": operation.name },
            "parameters": parameters(operation),
            "callback": { "oneOf": [reference("Callback"), { "type": "null" }] },
            "reference": {
                "type": ["string", "null"], "minLength": 1, "maxLength": 256,
                "description": "Yours, such as a ticket's number; it comes back in the operation and in the callback",
            },
            "deadline": {
                "type": ["string", "null"], "format": "date-time",
                "description": format!("When graph-courier stops following the job; by default after {} seconds", operation.deadline_seconds),
            },
            "legal": { "oneOf": [reference("Legal"), { "type": "null" }] },
        },
    })
}

pub(super) fn nullable(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn nullable_time() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

/// Returns the schemas that do not depend on the catalogue.
fn fixed() -> Value {
    let kinds: Vec<String> = KINDS.iter().map(super::super::problem::Kind::uri).collect();
    let target = json!({
        "url": { "type": "string", "format": "uri", "description": "Below one of the client's `callback_origins`" },
        "profile": { "type": ["string", "null"], "description": "One of the client's profiles; without it the client's default" },
        "token": { "type": ["string", "null"], "minLength": 1, "maxLength": 2048, "description": "For a profile that fills it in, such as a task token" },
    });
    let with = |more: Value| {
        let mut fields = target.clone();
        if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
            fields.extend(more);
        }
        fields
    };
    let secrets = json!({ "includeSecrets": { "type": "boolean", "description": "Give secrets of the result, once, to the receiver" } });
    json!({
        "Callback": { "type": "object", "required": ["url"], "additionalProperties": false, "properties": with(secrets.clone()) },
        "CallbackChange": { "type": "object", "minProperties": 1, "additionalProperties": false, "properties": with(secrets.clone()) },
        "CallbackTest": {
            "type": "object", "required": ["url"], "additionalProperties": false,
            "properties": with(json!({
                "includeSecrets": secrets["includeSecrets"],
                "outcome": { "enum": Outcome::ALL.map(Outcome::as_str) },
                "reference": { "type": ["string", "null"], "minLength": 1, "maxLength": 256 },
            })),
        },
        "CallbackTestResult": {
            "type": "object", "required": ["delivered"],
            "properties": {
                "delivered": { "type": "boolean", "description": "The receiver has taken it" },
                "eventId": nullable("string"), "status": nullable("integer"), "latencyMs": nullable("integer"),
                "answerType": nullable("string"), "answer": nullable("string"),
                "error": { "type": ["string", "null"], "description": "Why nothing was sent, or why there is no answer that counts" },
                "notBefore": time(),
            },
        },
        "Acknowledge": {
            "type": "object", "required": ["note"], "additionalProperties": false,
            "properties": { "note": { "type": "string", "minLength": 1, "maxLength": 1000, "description": "What was found" } },
        },
        "Legal": legal::request(), "LegalClock": legal::clock(),
        "LegalExtend": legal::extend(), "LegalPause": legal::pause(), "LegalResume": legal::resume(),
        "Operation": operation::document(),
        "OperationList": {
            "type": "object", "required": ["operations", "next"],
            "properties": {
                "operations": { "type": "array", "items": reference("Operation") },
                "next": { "type": ["string", "null"], "description": "The `cursor` of the next page" },
                "partial": { "type": "boolean", "description": "The search ended early; `next` goes on with it" },
            },
        },
        "Completion": {
            "type": "object", "required": ["type", "timestamp", "data"],
            "properties": {
                "type": { "enum": Outcome::ALL.map(|outcome| format!("operation.{}", outcome.as_str())) },
                "timestamp": time(),
                "data": reference("Operation"),
                "secrets": { "type": "object", "description": "Secrets of the result, once, if the request asked for them" },
            },
        },
        "OperationHistory": {
            "type": "object", "required": ["history"],
            "properties": { "history": { "type": "array", "items": operation::history_line() } },
        },
        "RedeliveryResult": {
            "type": "object", "required": ["dryRun", "filter", "count", "redelivered", "next"],
            "properties": {
                "dryRun": { "type": "boolean" },
                "filter": { "type": "object", "description": "The filter as it was understood" },
                "count": { "type": "integer" },
                "redelivered": { "type": "array", "items": { "type": "string" } },
                "next": nullable("string"),
            },
        },
        "Caller": {
            "type": "object", "required": ["name", "kind", "readOnly", "clients"],
            "description": "Whose credentials the request has",
            "properties": {
                "name": { "type": "string" }, "kind": { "enum": ["client", "operator"] },
                "readOnly": { "type": "boolean", "description": "The caller sees everything and changes nothing" },
                "clients": { "type": "array", "items": { "type": "string" }, "description": "Those whose operations the caller sees" },
            },
        },
        "CatalogueEntry": {
            "type": "object", "required": ["name", "title", "parameters", "permissions", "restart", "deadlineSeconds", "beta"],
            "properties": {
                "name": { "type": "string" }, "title": { "type": "string" },
                "parameters": { "type": "object", "description": "JSON Schema of the parameters" },
                "permissions": { "type": "object", "description": "For each kind of token", "additionalProperties": { "type": "array", "items": { "type": "string" } } },
                "needs": nullable("string"),
                "restart": { "enum": ["never", "adopt", "idempotent"], "description": "What a lost answer to the start means" },
                "deadlineSeconds": { "type": "integer" },
                "beta": { "type": "boolean" },
                "clouds": { "type": "array", "items": { "type": "string" } },
            },
        },
        "Problem": {
            "type": "object", "required": ["type", "title", "status"],
            "properties": {
                "type": { "enum": kinds },
                "title": { "type": "string" }, "status": { "type": "integer" }, "detail": nullable("string"),
                "errors": { "type": "array", "items": {
                    "type": "object", "required": ["rule"],
                    "properties": { "rule": { "type": "string" }, "pointer": { "type": "string" }, "header": { "type": "string" }, "parameter": { "type": "string" } },
                } },
                "graph": { "type": "object", "description": "What Graph said when it refused to start" },
                "operation": reference("Operation"),
                "requestId": { "type": "string" },
            },
        },
    })
}
