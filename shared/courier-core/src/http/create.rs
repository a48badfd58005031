//! `POST /v1/operations`: begins the operation and builds the answer that the caller prefers.

use bytes::Bytes;
use http::{Request, Response};

use super::body::{self, POST_TYPES};
use super::prefer::{Preferences, Times, await_end};
use super::session::{Session, wished_client};
use super::{insert, path};
use crate::auth::{Caller, Principal, Signed};
use crate::http::accept::{self, Begun};
use crate::http::problem::Problem;
use crate::http::request;
use crate::operation::Reason;

pub(super) async fn create(
    session: Session<'_>,
    signed: Option<Signed>,
    request: &Request<Bytes>,
    times: Times,
) -> Result<Response<Bytes>, Problem> {
    body::check(request, POST_TYPES)?;
    let app = session.app;
    let wished = wished_client(request)?;
    let client = session.client(wished.as_deref())?;
    let caller = Caller { client, signed };
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
    new.start_clock(&app.config.calendars)?;
    if let Principal::Operator(_) = session.who {
        new.asked_by(session.who.label());
    }
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
            operation: session.document(&record),
        }
        .into_response()
    } else {
        session.state(&record)
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
