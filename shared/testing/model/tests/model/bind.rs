//! From the model's small words to the real events, messages and answers that `decide` and its judge read, and back.

use courier_core::callback::CallbackReply;
use courier_core::graph::error::GraphError;
use courier_core::graph::unavailable::{Cause, NotReady};
use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::{self, Asked, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{CallbackTarget, Forecast, OperationId, Record, State};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::rulebook::{base, time};
use crate::words::{
    CallReply, Channel, Clock, Happening, Kind, Place, PollReply, Question, StartReply, Then,
    Ticket,
};
use crate::works::Work;

pub(crate) const GRAPH: &str = "https://graph.microsoft.com";
/// More jobs of one operation are outside the model's boundary.
pub(crate) const JOBS: u8 = 4;

pub(crate) fn id(operation: u8) -> OperationId {
    OperationId::from_key("tickets", &operation.to_string())
}

pub(crate) fn monitor(work: Work, record: &Record) -> Place {
    match &record.state {
        State::Running { monitor } => work.place(Some(monitor)),
        State::Accepted { .. }
        | State::Starting { .. }
        | State::StartUnknown { .. }
        | State::Locating { .. }
        | State::Ended { .. }
        | State::Closed { .. } => Place::Nowhere,
    }
}

pub(crate) fn message(work: Work, ticket: Ticket) -> Message {
    let operation_id = id(ticket.operation);
    match ticket.kind {
        Kind::Watchdog => Message::WatchdogV1 { operation_id },
        Kind::Poll { epoch, place } => Message::PollV1 {
            operation_id,
            epoch: epoch.into(),
            location: work.url(place),
            receives_before: 0,
        },
    }
}

pub(crate) fn ticket(work: Work, operation: u8, message: &Message) -> Ticket {
    assert_eq!(*message.operation_id(), id(operation));
    let kind = match message {
        Message::WatchdogV1 { .. } => Kind::Watchdog,
        Message::PollV1 {
            epoch, location, ..
        } => Kind::Poll {
            epoch: small(*epoch),
            place: work.place(location.as_deref()),
        },
    };
    Ticket { operation, kind }
}

pub(crate) fn then(next: &Next) -> Then {
    match next {
        Next::Prepare => Then::Prepare,
        Next::Start { attempt } => Then::Start(small(*attempt)),
        Next::Poll => Then::Poll,
        Next::Deliver => Then::Deliver,
        Next::Announce => Then::Announce,
        Next::Redecide => Then::Redecide,
        Next::Wait(_) => Then::Wait,
        Next::Drop => Then::Drop,
    }
}

/// The event for a record of `operation`.
pub(crate) fn event(work: Work, operation: u8, record: &Record, happening: Happening) -> Event {
    match happening {
        Happening::Arrived(ticket) => Event::Arrived(message(work, ticket)),
        Happening::Prepared => Event::Prepared { container: None },
        Happening::NotReady => Event::NotReady(trouble()),
        Happening::Started { attempt, reply } => Event::Started {
            attempt: attempt.into(),
            client_request_id: "c".to_owned(),
            start_url: work.url(Place::Job(0)).unwrap_or_default(),
            reply: started(work, reply),
            forecast: Some(forecast()),
        },
        Happening::Polled {
            epoch,
            asked,
            reply,
        } => Event::Polled {
            epoch: epoch.into(),
            receives: 1,
            asked: question(work, record, asked, reply),
            client_request_id: "c".to_owned(),
            reply: if reply == PollReply::NotReady {
                Err(trouble())
            } else {
                Ok(polled(work, operation, reply))
            },
        },
        Happening::Called {
            epoch,
            target,
            reply,
        } => Event::Called {
            epoch: epoch.into(),
            target: target.into(),
            reply: called(reply),
        },
        Happening::Announced { epoch, reply } => Event::Announced {
            epoch: epoch.into(),
            reply: called(reply),
        },
        Happening::Deferred { channel, epoch } => Event::Deferred {
            channel: match channel {
                Channel::Callback => lifecycle::Channel::Callback,
                Channel::Announcement => lifecycle::Channel::Announcement,
            },
            epoch: epoch.into(),
            until: parked(),
            detail: None,
        },
        Happening::Cancelled => Event::Cancelled,
        Happening::RedeliveryRequested => Event::RedeliveryRequested,
        Happening::Retargeted => Event::Retargeted(Box::new(receiver())),
        Happening::Overdue => Event::Overdue,
        Happening::StepCrashed => Event::StepCrashed,
    }
}

fn trouble() -> NotReady {
    NotReady {
        reason: None,
        detail: None,
        retry_after: None,
        cause: Cause::Trouble,
    }
}

/// A question about an earlier start was asked before the job of this one must have appeared.
fn question(work: Work, record: &Record, asked: Question, reply: PollReply) -> Asked {
    match asked {
        Question::Monitor(place) => Asked::Monitor(work.url(place).unwrap_or_default()),
        Question::Job { attempt } => {
            let settled = reply.is_settled() && u32::from(attempt) == record.attempt;
            let clock = if settled { Clock::Due } else { Clock::Early };
            Asked::Job { at: time(clock) }
        }
    }
}

fn started(work: Work, reply: StartReply) -> GraphReply {
    let accepted = work.accepted();
    let (status, place, body) = match reply {
        StartReply::NotSent => return GraphReply::NotSent("no connection".to_owned()),
        StartReply::Lost => return GraphReply::Lost("no answer in time"),
        StartReply::Unavailable => (503, Place::Nowhere, None),
        StartReply::Throttled => (429, Place::Nowhere, None),
        StartReply::Unauthorized => (401, Place::Nowhere, None),
        StartReply::Refused => (400, Place::Nowhere, None),
        StartReply::Early => (404, Place::Nowhere, None),
        StartReply::Already => (409, Place::Nowhere, None),
        StartReply::Accepted(place) => (accepted, place, says("pending")),
        StartReply::Pending(place) => (409, place, None),
        StartReply::Done(place) => (accepted, place, says("completed")),
    };
    // A 204 has no body.
    answer(status, work.url(place), body.filter(|_| status != 204))
}

fn polled(work: Work, operation: u8, reply: PollReply) -> GraphReply {
    let (status, body) = match reply {
        PollReply::Running => (200, says("running")),
        PollReply::Succeeded => (200, says(work.success())),
        PollReply::Failed => (200, says("failed")),
        PollReply::Missing | PollReply::NotYet => (404, None),
        PollReply::Unauthorized | PollReply::Hidden { .. } => (403, None),
        PollReply::Lost | PollReply::NotReady => return GraphReply::Lost("no answer in time"),
        PollReply::Found(job) => (200, Some(work.list(operation, Some(job)))),
        PollReply::Absent { .. } => (200, Some(work.list(operation, None))),
        PollReply::Visible => (
            200,
            Some(json!({ "id": "1", "webUrl": "https://t.example" })),
        ),
    };
    answer(status, None, body)
}

fn says(word: &str) -> Option<Value> {
    Some(json!({
        "status": word,
        "provisionStatus": word,
        "processingStatus": word,
        "enabled": true,
    }))
}

fn called(reply: CallReply) -> CallbackReply {
    CallbackReply {
        taken: matches!(reply, CallReply::Taken),
        status: match reply {
            CallReply::Taken => Some(204),
            CallReply::Unheard => None,
            CallReply::Refused => Some(500),
            CallReply::Gone => Some(410),
        },
        ..CallbackReply::default()
    }
}

/// The forecast that most of the jobs take between one and two hours.
fn forecast() -> Forecast {
    Forecast {
        from: 46,
        shares: "1AzA1".to_owned(),
        unknown: Map::new(),
    }
}

/// The caller's receiver; another one after each change.
pub(crate) fn receiver() -> CallbackTarget {
    let sealed = serde_json::from_value(json!("v1.sealed")).expect("a sealed text");
    CallbackTarget::new(sealed, "https://tickets.example")
}

pub(crate) fn target(record: &Record) -> u8 {
    let callback = record.callback.as_ref();
    callback.map_or(0, |callback| small(callback.version))
}

/// Longer than the sweeper waits for the message that is there.
fn parked() -> Timestamp {
    base() + SignedDuration::from_hours(2)
}

fn answer(status: u16, location: Option<String>, body: Option<Value>) -> GraphReply {
    let error = (status >= 400).then(|| GraphError {
        code: "refused".to_owned(),
        message: "Graph says no".to_owned(),
        inner_code: None,
        target: None,
        request_id: None,
    });
    GraphReply::Answer(Box::new(Answer {
        status,
        locations: location.into_iter().collect(),
        retry_after: None,
        body: body.or_else(|| error.is_none().then_some(Value::Null)),
        error,
        ..Answer::default()
    }))
}

pub(crate) fn small(number: u32) -> u8 {
    u8::try_from(number).expect("the model's boundary keeps counters small")
}
