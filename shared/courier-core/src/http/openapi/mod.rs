//! `GET /openapi.json`: the OpenAPI 3.1 document, made from the route table, the catalogue and the types of problems.

use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::http::problem::{KINDS, Kind};
use crate::http::routes::{Access, CALLS, Call, Handler};

mod evidence;
mod examples;
mod legal;
mod operation;
mod parameters;
mod schemas;

use parameters::parameter;
use schemas::reference;

/// Returns the document for the operations of this catalogue.
pub fn document(catalogue: &Catalogue) -> Value {
    let mut paths = Map::new();
    for call in &CALLS {
        let path = paths.entry(call.path).or_insert_with(|| json!({}));
        path[call.method.to_lowercase()] = operation(call);
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "graph-courier",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Long-running operations of Microsoft Graph with one signed completion each",
            "description": "Starts an operation, follows it until it ends, and calls back. A client sees its own operations, an operator those of many clients. A refusal is a problem document (RFC 9457).",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The place that this document comes from" }],
        "security": [{ "apiKey": [] }, { "bearer": [] }, { "basic": [] }],
        "tags": [
            { "name": "operations", "description": "Start, follow and end operations" },
            { "name": "callbacks", "description": "Where completions go" },
            { "name": "catalogue", "description": "What can be asked for" },
            { "name": "service", "description": "About this deployment" },
        ],
        "paths": paths,
        "webhooks": { "completion": { "post": webhook() } },
        "components": {
            "schemas": schemas::schemas(catalogue),
            "responses": problems(),
            "securitySchemes": {
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key, or a JWT of the client's identity provider" },
                "basic": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

/// Returns the completion as a call that comes without a request of the receiver's; it has a name, as every call has.
fn webhook() -> Value {
    let mut call = schemas::completion_call();
    call["operationId"] = "completion".into();
    call
}

/// Returns the calls that take the id which an answer has.
fn links() -> Value {
    let followers = CALLS.iter().filter(|call| call.path.contains("{id}"));
    let link = |call: &Call| {
        let name = operation_id(call.handler);
        let link = json!({ "operationId": name, "parameters": { "id": "$response.body#/id" } });
        (name.to_owned(), link)
    };
    Value::Object(followers.map(link).collect())
}

/// Returns the name of a call in generated clients.
fn operation_id(handler: Handler) -> &'static str {
    match handler {
        Handler::Health => "getHealth",
        Handler::Readiness => "getReadiness",
        Handler::OpenApi => "getOpenApi",
        Handler::Catalogue => "listCatalogue",
        Handler::CatalogueEntry => "getCatalogueEntry",
        Handler::List => "listOperations",
        Handler::Create => "createOperation",
        Handler::RedeliverAll => "redeliverMany",
        Handler::Read => "getOperation",
        Handler::Erase => "eraseOperation",
        Handler::History => "getHistory",
        Handler::Evidence => "getEvidence",
        Handler::EvidenceKeys => "getEvidenceKeys",
        Handler::Cancel => "cancelOperation",
        Handler::Resume => "resumeOperation",
        Handler::Acknowledge => "acknowledgeOperation",
        Handler::LegalExtend => "extendLegalPeriod",
        Handler::LegalPause => "pauseLegalClock",
        Handler::LegalResume => "resumeLegalClock",
        Handler::Retarget => "changeCallback",
        Handler::Redeliver => "redeliver",
        Handler::TestCallback => "testCallback",
    }
}

fn tag(call: &Call) -> &'static str {
    match call.path {
        path if path.contains("callback") => "callbacks",
        path if path.starts_with("/v1/operations") => "operations",
        path if path.starts_with("/v1/catalogue") => "catalogue",
        _ => "service",
    }
}

fn operation(call: &Call) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for name in ["id", "name"] {
        if call.path.contains(&format!("{{{name}}}")) {
            parameters.push(parameters::of_path(name));
        }
    }
    parameters.extend(call.query.iter().map(|name| parameter(name)));
    parameters.extend(parameters::headers(call.handler));
    let mut operation = json!({
        "operationId": operation_id(call.handler),
        "tags": [tag(call)],
        "summary": call.summary.trim_end_matches('.'),
        "responses": responses(call),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = schemas::request_body(call.handler) {
        operation["requestBody"] = body;
    }
    match call.access {
        Access::Everybody => operation["security"] = json!([]),
        Access::Writers => {
            operation["description"] =
                "An operator that is `read_only` may not make this call.".into();
        }
        Access::Readers => {}
    }
    if call.handler == Handler::Create {
        operation["callbacks"] = json!({
            "completion": { "{$request.body#/callback/url}": { "post": schemas::completion_call() } }
        });
    }
    operation
}

fn responses(call: &Call) -> Value {
    let mut responses = Map::new();
    for (status, description, content) in schemas::answers(call.handler) {
        let mut response = json!({ "description": description });
        if let Some(content) = content {
            response["content"] = content;
        }
        if let Some(headers) = parameters::answer_headers(call.handler, status) {
            response["headers"] = headers;
        }
        if call.handler == Handler::Create {
            response["links"] = links();
        }
        responses.insert(status.to_owned(), response);
    }
    for status in problem_statuses(call) {
        let problem = json!({ "$ref": format!("#/components/responses/Problem{status}") });
        responses.entry(status.to_string()).or_insert(problem);
    }
    Value::Object(responses)
}

/// Returns the statuses of the problems that a call may be answered with.
fn problem_statuses(call: &Call) -> Vec<u16> {
    let mut statuses = vec![400, 500];
    if call.access != Access::Everybody {
        statuses.extend([401, 403, 429, 503]);
    }
    if call.path.contains('{') {
        statuses.push(404);
    }
    if schemas::request_body(call.handler).is_some() {
        statuses.extend([408, 413, 415]);
    }
    match call.handler {
        Handler::Cancel
        | Handler::Erase
        | Handler::Resume
        | Handler::Acknowledge
        | Handler::LegalExtend
        | Handler::LegalPause
        | Handler::LegalResume
        | Handler::Retarget
        | Handler::Evidence
        | Handler::Redeliver => statuses.push(409),
        Handler::Create => statuses.push(422),
        Handler::Readiness => statuses.push(503),
        Handler::Health
        | Handler::OpenApi
        | Handler::Catalogue
        | Handler::CatalogueEntry
        | Handler::List
        | Handler::RedeliverAll
        | Handler::Read
        | Handler::History
        | Handler::EvidenceKeys
        | Handler::TestCallback => {}
    }
    statuses.sort_unstable();
    statuses
}

/// Returns one response for each status that a call may be answered with; it lists its types of problems.
fn problems() -> Value {
    let mut responses = Map::new();
    let is_used = |kind: &&Kind| {
        let status = kind.status.as_u16();
        CALLS
            .iter()
            .any(|call| problem_statuses(call).contains(&status))
    };
    for kind in KINDS.iter().filter(is_used) {
        let name = format!("Problem{}", kind.status.as_u16());
        let of_status = KINDS.iter().filter(|other| other.status == kind.status);
        let titles: Vec<String> = of_status
            .clone()
            .map(|kind| format!("`{}`: {}", kind.name, kind.title))
            .collect();
        let examples: Map<String, Value> = of_status
            .map(|kind| {
                let value = json!({
                    "type": kind.uri(), "title": kind.title, "status": kind.status.as_u16(),
                    "requestId": "3f0c2b9e8d6a4c1fb2a7e5d4c3b2a190",
                });
                (kind.name.to_owned(), json!({ "value": value }))
            })
            .collect();
        let mut response = json!({
            "description": titles.join("; "),
            "content": { "application/problem+json": { "schema": reference("Problem"), "examples": examples } },
        });
        if let Some(headers) = parameters::problem_headers(kind.status.as_u16()) {
            response["headers"] = headers;
        }
        responses.insert(name, response);
    }
    Value::Object(responses)
}
