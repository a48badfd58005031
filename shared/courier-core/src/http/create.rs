//! `POST /v1/operations`: begins the operation and builds the answer that the caller prefers.

use bytes::Bytes;
use http::{Request, Response, header};

use super::body::{self, CREATE_TYPES};
use super::cloud_event::{self, PlainRequest};
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
    mut signed: Option<Signed>,
    request: &Request<Bytes>,
    times: Times,
) -> Result<Response<Bytes>, Problem> {
    let media_type = body::check(request, CREATE_TYPES)?;
    let app = session.app;
    let wished = wished_client(request)?;
    let client = session.client(wished.as_deref())?;
    let event = cloud_event::read(request, media_type, &mut signed)?;
    // A body that is no event would be a failed delivery to a sender such as Knative, which takes it for a reply.
    let has_body_by_default = event.is_none();
    let plain = event.map(|event| event.into_request(request.headers(), client));
    let plain = plain.transpose()?.unwrap_or_else(|| PlainRequest {
        body: request.body().clone(),
        headers: request.headers().clone(),
        expires: None,
    });
    let caller = Caller {
        client,
        signed,
        expires: plain.expires,
    };
    let preferences = Preferences::read(request.headers());
    let mut new = request::parse(
        &plain.body,
        &plain.headers,
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
    let has_body = preferences.representation.unwrap_or(has_body_by_default);
    if response.status().is_success() && !has_body {
        *response.body_mut() = Bytes::new();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
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
