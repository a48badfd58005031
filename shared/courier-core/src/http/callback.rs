//! Requests about one completion: deliver it again, or deliver it to another receiver.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use super::body::{self, PATCH_TYPES};
use super::looks::pending;
use super::session::Session;
use crate::catalogue::schema::Violation;
use crate::engine::app::App;
use crate::http::problem::Problem;
use crate::http::request::RequestedCallback;
use crate::lifecycle::Event;
use crate::operation::{CallbackTarget, Record, SealedField};
use crate::strict_json;

/// Answers `POST /v1/operations/{id}/callback/redeliver`: delivers the completion again.
pub(super) async fn redeliver(
    session: Session<'_>,
    record: Record,
) -> Result<Response<Bytes>, Problem> {
    let announcement = record.announcement.as_ref();
    let is_unannounced = announcement.is_some_and(|one| one.status() == "undeliverable");
    if record.callback.is_none() && !is_unannounced {
        return Err(Problem::Conflict {
            rule: "the operation has no callback",
        });
    }
    if record.ended_at.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation has not ended",
        });
    }
    let record = session.change(record, Event::RedeliveryRequested).await?;
    Ok(pending(session, &record))
}

/// Answers `PATCH /v1/operations/{id}/callback`: changes URL, profile or token; a field that is left out stays.
pub(super) async fn retarget(
    session: Session<'_>,
    record: Record,
    request: &Request<Bytes>,
) -> Result<Response<Bytes>, Problem> {
    let app = session.app;
    let client = app.config.clients.get(&record.client);
    let client = client.ok_or(Problem::Conflict {
        rule: "the operation's client is no longer configured, so no receiver of it is",
    })?;
    let media_type = body::check(request, PATCH_TYPES)?;
    let value = strict_json::parse(request.body()).map_err(Problem::BadJson)?;
    let Value::Object(object) = value else {
        return Err(invalid("", "must be an object"));
    };
    if object.is_empty() {
        return Err(invalid("", "must hold url, profile or token"));
    }
    let mut errors = Vec::new();
    if media_type == "application/merge-patch+json" {
        // There, null removes a field (RFC 7396); in plain JSON it says nothing.
        let nulls = object.iter().filter(|(_, value)| value.is_null());
        errors
            .extend(nulls.map(|(name, _)| {
                Violation::new(strict_json::child("", name), "cannot be removed")
            }));
    }
    let mut requested = RequestedCallback::read(object, "", &mut errors);
    let ended = record.ended_at.is_some();
    if ended && record.event.is_none() {
        return Err(Problem::Conflict {
            rule: "the operation has ended without a callback",
        });
    }
    if let Some(current) = &record.callback {
        let profile = current.profile.as_ref().unwrap_or(&client.profiles.default);
        if ended
            && requested
                .profile
                .as_ref()
                .is_some_and(|requested| requested != profile)
        {
            return Err(Problem::Conflict {
                rule: "the completion is frozen in the form of its profile",
            });
        }
        fill_in_current(app, &record, current, profile, &mut requested);
    }
    requested.require_url(&mut errors);
    let url = requested.url.clone().unwrap_or_default();
    let reference = record.reference.as_deref();
    let allowed = &app.config.allowed;
    let checked = match errors.is_empty() {
        true => requested.target(&url, reference, client, allowed, &mut errors)?,
        false => None,
    };
    let Some(target) = checked.filter(|_| errors.is_empty()) else {
        return Err(Problem::InvalidRequest(errors));
    };
    let sealed = target.sealed(&record.id, &app.config.sealer);
    let event = Event::Retargeted(Box::new(sealed));
    let record = session.change(record, event).await?;
    Ok(session.state(&record))
}

/// Fills in the fields that the change leaves out from the current callback.
fn fill_in_current(
    app: &App,
    record: &Record,
    current: &CallbackTarget,
    profile: &str,
    requested: &mut RequestedCallback,
) {
    let sealer = &app.config.sealer;
    // A field that was sealed with another key cannot be opened, so it stays empty and must be sent.
    if requested.url.is_none() {
        let url = sealer.open(
            &SealedField::CallbackUrl.seal_context(&record.id),
            &current.url,
        );
        requested.url = url.ok().map(|url| url.expose().to_owned());
    }
    let same_profile = requested
        .profile
        .as_deref()
        .is_none_or(|requested| requested == profile);
    if requested.token.is_none() && same_profile {
        let context = SealedField::TaskToken.seal_context(&record.id);
        let opened = current
            .token
            .as_ref()
            .map(|token| sealer.open(&context, token));
        requested.token = opened.and_then(Result::ok);
    }
    requested.profile.get_or_insert_with(|| profile.to_owned());
}

fn invalid(pointer: &str, rule: &str) -> Problem {
    Problem::InvalidRequest(vec![Violation::new(pointer, rule)])
}
