//! `GET /v1/operations/{id}/evidence` and `GET /v1/evidence/keys`: a signed statement, and the keys that verify it.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::session::Session;
use super::{conditional, insert, json_response, store};
use crate::engine::app::App;
use crate::engine::deployment::DeploymentError;
use crate::error_chain::chain;
use crate::evidence::envelope::{MEDIA_TYPE, sign};
use crate::evidence::statement::{Observer, statement};
use crate::http::problem::Problem;
use crate::operation::Record;

/// Signs what was observed of an operation until now.
pub(super) async fn evidence(
    session: Session<'_>,
    record: Record,
) -> Result<Response<Bytes>, Problem> {
    let app = session.app;
    let keys = app.config.evidence.as_ref();
    let keys = keys.ok_or(Problem::NoEvidenceKey)?;
    let deployment = app.event_source().await;
    let deployment = deployment.map_err(|error| without_deployment(&error))?;
    let observer = Observer {
        deployment: &deployment,
        operation: app.catalogue.find(&record.operation),
        now: app.now(),
    };
    let statement = statement(&record, &observer).map_err(|error| {
        tracing::error!(operation.id = %record.id, %error, "evidence is refused: the stored history was changed, or a version without the chain has shortened it");
        Problem::HistoryAltered
    })?;
    let statement = statement.ok_or(Problem::NotFound)?;
    let envelope = sign(statement.to_string().as_bytes(), keys.signing());
    let mut response = json_response(StatusCode::OK, envelope);
    let headers = response.headers_mut();
    insert(headers, "content-type", MEDIA_TYPE);
    let name = format!("attachment; filename=\"{}.evidence.json\"", record.id);
    insert(headers, "content-disposition", &name);
    Ok(response)
}

/// Lists the public keys, which are no secret. Whoever verifies must know from elsewhere that they are the right ones.
pub(super) fn keys(app: &App, request: &Request<Bytes>) -> Response<Bytes> {
    let keys = app.config.evidence.as_ref();
    let set = keys.map_or_else(|| json!({ "keys": [] }), |keys| keys.jwk_set());
    let mut response = json_response(StatusCode::OK, set);
    let etag = conditional::etag(response.body());
    let headers = response.headers_mut();
    insert(headers, "content-type", "application/jwk-set+json");
    insert(headers, "cache-control", "max-age=300");
    insert(headers, "etag", &etag);
    conditional::answer(request, response)
}

fn without_deployment(error: &DeploymentError) -> Problem {
    match error {
        DeploymentError::Store(error) => store(error),
        DeploymentError::WrongSealKey { .. } | DeploymentError::Damaged => {
            tracing::error!(error = %chain(error), "the deployment cannot be named; the request is answered with 503");
            Problem::Unavailable
        }
    }
}
