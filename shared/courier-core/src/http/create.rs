//! `POST /v1/operations`: begins the operation and builds the answer that the caller prefers.

use bytes::Bytes;
use http::{Request, Response};

use super::body::{self, POST_TYPES};
use super::prefer::{Preferences, Times, await_end};
use super::{insert, path, state};
use crate::auth::Caller;
use crate::engine::app::App;
use crate::http::accept::{self, Begun};
use crate::http::problem::Problem;
use crate::http::request;
use crate::operation::Reason;
use crate::operation::view::document;

pub(super) async fn create(
    app: &App,
    caller: Caller<'_>,
    request: &Request<Bytes>,
    times: Times,
) -> Result<Response<Bytes>, Problem> {
    body::check(request, POST_TYPES)?;
    let preferences = Preferences::read(request.headers());
    let mut new = request::parse(
        request.body(),
        request.headers(),
        caller,
        app.catalogue,
        &app.config.allowed,
        &app.ids,
        app.now(),
    )?;
    accept::identify(app, &mut new).await?;
    let Begun {
        mut record,
        replayed,
    } = accept::begin(app, new, preferences.respond_async, times.ends_at).await?;
    if let Some(wait) = preferences.wait {
        record = await_end(app, record, wait, times).await;
    }
    let mut response = if record.reason == Some(Reason::StartRejected) {
        Problem::StartRejected {
            operation: document(&record, app.now()),
        }
        .into_response()
    } else {
        state(app, &record)
    };
    let headers = response.headers_mut();
    insert(headers, "location", &path(&record));
    if replayed {
        insert(headers, "idempotency-replayed", "true");
    }
    if let Some(applied) = preferences.applied() {
        insert(headers, "preference-applied", &applied);
    }
    crate::crash_point!("request.answer", "before");
    Ok(response)
}
