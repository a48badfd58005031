//! The call of a step that announces the end of an operation, and the event that follows from it.

use crate::announcing::Attempt;
use crate::callback::CallbackReply;
use crate::engine::app::App;
use crate::lifecycle::{Channel, Event};
use crate::operation::Record;

/// Makes one attempt to announce the end, unless the target's circuit breaker defers it.
///
/// Without a target that is a failed attempt too, so that it is tried for as long as the schedule lasts, and no longer.
pub(super) async fn announce(app: &App, record: &Record, epoch: u32) -> Event {
    let announcement = record.announcement.as_ref();
    let attempt = match (&app.config.events, announcement) {
        (Some(events), Some(announcement)) => {
            app.announcer
                .announce(events, &announcement.event, &record.id)
                .await
        }
        (None, _) | (_, None) => {
            tracing::error!(operation.id = %record.id, "the end of an operation cannot be announced, because [events] is no longer configured; it is tried again");
            Attempt::Answered(CallbackReply::unsent("events are no longer configured"))
        }
    };
    let reply = match attempt {
        Attempt::Answered(reply) => reply,
        Attempt::Deferred(until) => {
            return Event::Deferred {
                channel: Channel::Announcement,
                epoch,
                until,
                detail: None,
            };
        }
    };
    let result = if reply.taken { "sent" } else { "failed" };
    *app.metrics.counts().events.entry(result).or_default() += 1;
    if !reply.taken {
        failed(app, record, &reply);
    }
    Event::Announced { epoch, reply }
}

fn failed(app: &App, record: &Record, reply: &CallbackReply) {
    let Some(left_out) = app.announcer.notices.take("announcement", "", app.now()) else {
        return;
    };
    let (status, detail) = (reply.status, reply.detail.as_deref());
    tracing::warn!(operation.id = %record.id, status, detail, left_out, "the end of an operation was not announced; another attempt follows as long as its schedule lasts");
}
