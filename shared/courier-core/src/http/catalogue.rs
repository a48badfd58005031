//! `GET /v1/catalogue`: the operations that a caller may ask for.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::json_response;
use super::problem::Problem;
use super::session::{Session, wished_client};
use crate::auth::Principal;
use crate::catalogue::{Operation, Restart};
use crate::config::Client;

pub(super) fn list(
    session: Session<'_>,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let wished = wished_client(request)?;
    let clients = clients(session, wished.as_deref())?;
    let operations = visible(session, &clients).into_iter();
    let operations: Vec<Value> = operations
        .map(|operation| description(operation, &clients))
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
    let clients = clients(session, wished.as_deref())?;
    let mut operations = visible(session, &clients).into_iter();
    let operation = operations.find(|one| one.name == name);
    let operation = operation.ok_or(Problem::NotFound)?;
    let description = description(operation, &clients);
    Ok(json_response(StatusCode::OK, description))
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

/// Returns the client that asks or is asked about; for an operator, all that it sees.
fn clients<'a>(session: Session<'a>, wished: Option<&str>) -> Result<Vec<&'a Client>, Problem> {
    match (session.who, wished) {
        (Principal::Operator(_), None) => {
            let names = session.clients(None)?;
            let clients = &session.app.config.clients;
            Ok(names.iter().filter_map(|name| clients.get(name)).collect())
        }
        _ => Ok(vec![session.client(wished)?]),
    }
}

/// Returns the operations that any of the clients may ask for.
fn visible<'a>(session: Session<'a>, clients: &[&Client]) -> Vec<&'a Operation> {
    let may = |operation: &&Operation| {
        let name = operation.name.as_str();
        clients
            .iter()
            .any(|client| client.operations.contains(name))
    };
    session.app.catalogue.iter().filter(may).collect()
}

/// Returns the parameters, with the names of the storages that the clients may give.
fn parameters(operation: &Operation, clients: &[&Client]) -> Value {
    let mut parameters = operation.parameters.clone();
    let storages: BTreeSet<&String> = clients.iter().flat_map(|client| &client.storages).collect();
    if let Some((name, _)) = operation.schema().storage()
        && !storages.is_empty()
    {
        parameters["properties"][name]["enum"] = json!(storages);
    }
    parameters
}

fn description(operation: &Operation, clients: &[&Client]) -> Value {
    json!({
        "name": operation.name,
        "title": operation.summary,
        "parameters": parameters(operation, clients),
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
