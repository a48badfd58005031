//! From the model's small words to the real events, messages and answers that `decide` and its judge read, and back.

use courier_core::callback::CallbackReply;
use courier_core::catalogue::Restart;
use courier_core::graph::error::GraphError;
use courier_core::graph::unavailable::{Cause, NotReady};
use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::{Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{CallbackTarget, Forecast, OperationId, Record, State};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::rulebook::base;
use crate::words::{CallReply, Happening, Kind, Place, PollReply, StartReply, Then, Ticket};

pub(crate) const GRAPH: &str = "https://graph.microsoft.com";
const FOREIGN: &str = "https://graph.microsoft.com.evil.example/v1.0/dataPolicyOperations/0";
/// More jobs of one operation are outside the model's boundary.
pub(crate) const JOBS: u8 = 4;

pub(crate) fn id(operation: u8) -> OperationId {
    OperationId::from_key("tickets", &operation.to_string())
}

fn url(class: Restart, place: Place) -> Option<String> {
    let path = match (class, place) {
        (_, Place::Nowhere) => return None,
        (_, Place::Foreign) => return Some(FOREIGN.to_owned()),
        (Restart::Never, Place::Job(job)) => format!("/v1.0/dataPolicyOperations/{job}"),
        (Restart::Adopt, Place::Job(job)) => {
            format!("/beta/employeeExperience/goals/exportJobs/{job}")
        }
        (Restart::Idempotent, Place::Job(job)) => format!("/v1.0/teams/{job}/schedule"),
    };
    Some(format!("{GRAPH}{path}"))
}

fn place(class: Restart, location: Option<&str>) -> Place {
    let Some(location) = location else {
        return Place::Nowhere;
    };
    let mut jobs = (0..JOBS).map(Place::Job);
    let job = jobs.find(|job| url(class, *job).as_deref() == Some(location));
    job.unwrap_or(Place::Foreign)
}

pub(crate) fn monitor(class: Restart, record: &Record) -> Place {
    match &record.state {
        State::Running { monitor } => place(class, Some(monitor)),
        State::Accepted { .. }
        | State::Starting { .. }
        | State::StartUnknown { .. }
        | State::Locating { .. }
        | State::Ended { .. }
        | State::Closed { .. } => Place::Nowhere,
    }
}

pub(crate) fn message(class: Restart, ticket: Ticket) -> Message {
    let operation_id = id(ticket.operation);
    match ticket.kind {
        Kind::Watchdog => Message::WatchdogV1 { operation_id },
        Kind::Poll { epoch, place } => Message::PollV1 {
            operation_id,
            epoch: epoch.into(),
            location: url(class, place),
            receives_before: 0,
        },
    }
}

pub(crate) fn ticket(class: Restart, operation: u8, message: &Message) -> Ticket {
    assert_eq!(*message.operation_id(), id(operation));
    let kind = match message {
        Message::WatchdogV1 { .. } => Kind::Watchdog,
        Message::PollV1 {
            epoch, location, ..
        } => Kind::Poll {
            epoch: small(*epoch),
            place: place(class, location.as_deref()),
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
        Next::Redecide => Then::Redecide,
        Next::Wait(_) => Then::Wait,
        Next::Drop => Then::Drop,
    }
}

pub(crate) fn event(class: Restart, happening: Happening) -> Event {
    match happening {
        Happening::Arrived(ticket) => Event::Arrived(message(class, ticket)),
        Happening::Prepared => Event::Prepared,
        Happening::NotReady => Event::NotReady(NotReady {
            reason: None,
            detail: None,
            retry_after: None,
            cause: Cause::Trouble,
        }),
        Happening::Started { attempt, reply } => Event::Started {
            attempt: attempt.into(),
            client_request_id: "c".to_owned(),
            start_url: url(class, Place::Job(0)).unwrap_or_default(),
            reply: started(class, reply),
            forecast: Some(forecast()),
        },
        Happening::Polled { epoch, reply } => Event::Polled {
            epoch: epoch.into(),
            receives: 1,
            client_request_id: "c".to_owned(),
            reply: Ok(polled(class, reply)),
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
        Happening::Deferred { epoch } => Event::Deferred {
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

fn started(class: Restart, reply: StartReply) -> GraphReply {
    let accepted = match class {
        Restart::Never => 202,
        Restart::Adopt => 201,
        Restart::Idempotent => 200,
    };
    let (status, place, body) = match reply {
        StartReply::NotSent => return GraphReply::NotSent("no connection".to_owned()),
        StartReply::Lost => return GraphReply::Lost("no answer in time"),
        StartReply::Unavailable => (503, Place::Nowhere, None),
        StartReply::Throttled => (429, Place::Nowhere, None),
        StartReply::Unauthorized => (401, Place::Nowhere, None),
        StartReply::Refused => (400, Place::Nowhere, None),
        StartReply::Accepted(place) => (accepted, place, Some("pending")),
        StartReply::Pending(place) => (409, place, None),
        StartReply::Done(place) => (accepted, place, Some("completed")),
    };
    answer(status, url(class, place), body)
}

fn polled(class: Restart, reply: PollReply) -> GraphReply {
    let succeeded = match class {
        Restart::Never => "complete",
        Restart::Adopt => "succeeded",
        Restart::Idempotent => "completed",
    };
    let (status, word) = match reply {
        PollReply::Running => (200, Some("running")),
        PollReply::Succeeded => (200, Some(succeeded)),
        PollReply::Failed => (200, Some("failed")),
        PollReply::Missing => (404, None),
        PollReply::Unauthorized => (403, None),
        PollReply::Lost => return GraphReply::Lost("no answer in time"),
    };
    answer(status, None, word)
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

/// The caller's receiver; another one after each change.
/// The forecast that most of the jobs take between one and two hours.
fn forecast() -> Forecast {
    Forecast {
        from: 46,
        shares: "1AzA1".to_owned(),
        unknown: Map::new(),
    }
}

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

fn answer(status: u16, location: Option<String>, word: Option<&str>) -> GraphReply {
    let body = word.map(|word| json!({ "status": word, "provisionStatus": word, "enabled": true }));
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
