//! `GET /v1/catalogue`: the operations that a caller may ask for.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::json_response;
use super::problem::Problem;
use super::session::{Session, wished_client};
use crate::auth::Principal;
use crate::catalogue::{Operation, Restart};

pub(super) fn list(
    session: Session<'_>,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let wished = wished_client(request)?;
    let operations: Vec<Value> = visible(session, wished.as_deref())?
        .into_iter()
        .map(description)
        .collect();
    let body = json!({ "caller": caller(session)?, "operations": operations });
    Ok(json_response(StatusCode::OK, body))
}

pub(super) fn entry(
    session: Session<'_>,
    name: &str,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let wished = wished_client(request)?;
    let operations = visible(session, wished.as_deref())?;
    let operation = operations.into_iter().find(|one| one.name == name);
    let operation = operation.ok_or(Problem::NotFound)?;
    Ok(json_response(StatusCode::OK, description(operation)))
}

/// Describes whose credentials the request has, so that a page or a tool offers only what it may do.
fn caller(session: Session<'_>) -> Result<Value, Problem> {
    let kind = match session.who {
        Principal::Client(_) => "client",
        Principal::Operator(_) => "operator",
    };
    Ok(json!({
        "name": session.who.name(),
        "kind": kind,
        "readOnly": !session.may_write(),
        "clients": session.clients(None)?,
    }))
}

/// Returns the operations that the client may ask for; for an operator, those of any client that it sees.
fn visible<'a>(session: Session<'a>, wished: Option<&str>) -> Result<Vec<&'a Operation>, Problem> {
    let config = &session.app.config;
    let names = match (session.who, wished) {
        (Principal::Operator(_), None) => session.clients(None)?,
        _ => vec![session.client(wished)?.name.clone()],
    };
    let clients: Vec<_> = names
        .iter()
        .filter_map(|name| config.clients.get(name))
        .collect();
    let may = |operation: &&Operation| {
        let name = operation.name.as_str();
        clients
            .iter()
            .any(|client| client.operations.contains(name))
    };
    Ok(session.app.catalogue.iter().filter(may).collect())
}

fn description(operation: &Operation) -> Value {
    json!({
        "name": operation.name,
        "title": operation.summary,
        "parameters": operation.parameters,
        "permissions": operation.permissions,
        "needs": operation.needs,
        "restart": match operation.restart {
            Restart::Never => "never",
            Restart::Adopt => "adopt",
            Restart::Idempotent => "idempotent",
        },
        "deadlineSeconds": operation.deadline_seconds,
        "beta": operation.start.version == "beta",
        "clouds": operation.clouds,
    })
}
