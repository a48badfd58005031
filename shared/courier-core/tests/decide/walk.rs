//! Events of a random walk through `decide`, and the checks that every decision must pass.
//!
//! `fuzz/targets` includes this file too.

use std::time::Duration;

use courier_core::callback::CallbackReply;
use courier_core::catalogue::{Operation, Restart};
use courier_core::graph::unavailable::{Cause, NotReady};
use courier_core::graph::verdict::{Answer, GraphReply};
use courier_core::lifecycle::{Asked, Decision, Event, Next};
use courier_core::operation::message::Message;
use courier_core::operation::{
    CallbackTarget, Delivery, Forecast, GraphView, OperationId, Outcome, Reason, Record, State,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub(crate) const GRAPH: &str = "https://graph.microsoft.com";

/// Returns the time at which every walk begins.
pub(crate) fn began() -> Timestamp {
    "2026-11-21T20:00:00Z".parse().unwrap()
}

/// Returns the record of an operation that has just been accepted.
pub(crate) fn accepted(operation: &str, with_callback: bool) -> Record {
    let sealed = serde_json::from_value(json!("v1.sealed")).unwrap();
    let callback = CallbackTarget::new(sealed, "https://tickets.example");
    Record {
        id: OperationId::from_key("tickets", "k"),
        revision: 1,
        writer: "w".to_owned(),
        client: "tickets".to_owned(),
        tenant: "contoso".to_owned(),
        operation: operation.to_owned(),
        reference: None,
        fingerprint: "f".to_owned(),
        parameters: Map::new(),
        sealed_parameters: Some(serde_json::from_value(json!("v1.sealed")).unwrap()),
        callback: with_callback.then_some(callback),
        traceparent: None,
        person: None,
        acknowledged: None,
        tracestate: None,
        created_at: began(),
        deadline: began() + Duration::from_secs(48 * 3600),
        due_at: Some(began() + Duration::from_secs(75)),
        state: State::Accepted {
            not_before: began(),
        },
        attempt: 0,
        maybe_started: false,
        token_refused: false,
        epoch: 0,
        step_crashes: 0,
        started_at: None,
        ended_at: None,
        adopted: false,
        reason: None,
        forecast: None,
        graph: GraphView::default(),
        last_monitor: None,
        previous: None,
        resumed_from: None,
        resumed_as: None,
        sealed_result: None,
        follow_up: None,
        result: None,
        error: None,
        event: None,
        delivery: Delivery::default(),
        announcement: None,
        history: Vec::new(),
        chain: None,
        shelved_until: None,
        legal: None,
        erased_at: None,
        unknown: Map::new(),
    }
}

/// Returns the forecast that most of the jobs take between one and two hours.
pub(crate) fn forecast() -> Forecast {
    Forecast {
        from: 46,
        shares: "1AzA1".to_owned(),
        unknown: Map::new(),
    }
}

/// Returns an answer of Graph; with `location` it names a monitor.
pub(crate) fn answer(status: u16, location: bool, body: Value) -> GraphReply {
    let url = format!("{GRAPH}/v1.0/dataPolicyOperations/1");
    GraphReply::Answer(Box::new(Answer {
        status,
        locations: location.then_some(url).into_iter().collect(),
        retry_after: (status == 429).then_some(Duration::from_secs(30)),
        body: Some(body),
        request_id: Some("r".to_owned()),
        ..Answer::default()
    }))
}

/// An event that is not yet bound to a record.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Watchdog,
    Poll {
        epoch: u32,
    },
    Prepared,
    NotReady {
        lost: bool,
    },
    /// The answer to a start; with `late` it answers the attempt before the record's current one.
    Started {
        late: bool,
        reply: GraphReply,
    },
    Polled {
        epoch: u32,
        reply: GraphReply,
    },
    Called {
        status: Option<u16>,
    },
    Cancelled,
    Redelivery,
    Overdue,
    Restored,
}

/// Returns the event that `happening` is for `record`.
pub(crate) fn bind(happening: &Happening, record: &Record) -> Event {
    let operation_id = record.id.clone();
    match happening.clone() {
        Happening::Watchdog => Event::Arrived(Message::WatchdogV1 { operation_id }),
        Happening::Poll { epoch } => Event::Arrived(Message::poll(record, epoch)),
        Happening::Prepared => Event::Prepared { container: None },
        Happening::NotReady { lost } => Event::NotReady(NotReady {
            reason: lost.then_some(Reason::AuthorizationLost),
            detail: None,
            retry_after: None,
            cause: Cause::Trouble,
        }),
        Happening::Started { late, reply } => Event::Started {
            attempt: record.attempt.saturating_sub(u32::from(late)),
            client_request_id: "c".to_owned(),
            start_url: format!("{GRAPH}/v1.0/teams/1/schedule"),
            reply,
            forecast: Some(forecast()),
        },
        Happening::Polled { epoch, reply } => Event::Polled {
            epoch,
            receives: 1,
            asked: Asked::of(
                record,
                began() + Duration::from_secs(900 * u64::from(epoch)),
            ),
            client_request_id: "c".to_owned(),
            reply: Ok(reply),
        },
        Happening::Called { status } => Event::Called {
            epoch: record.epoch,
            target: 0,
            reply: CallbackReply {
                status,
                taken: status.is_some_and(|status| status / 100 == 2),
                ..CallbackReply::default()
            },
        },
        Happening::Cancelled => Event::Cancelled,
        Happening::Redelivery => Event::RedeliveryRequested,
        Happening::Overdue => Event::Overdue,
        Happening::Restored => Event::Restored { copied_at: None },
    }
}

/// Asserts what must hold of every decision; `ARCHITECTURE.md` lists the invariants by these numbers.
pub(crate) fn check(
    before: &Record,
    event: &Event,
    decision: &Decision,
    operation: &Operation,
    now: Timestamp,
) {
    if let Next::Start { attempt } = decision.next {
        let claimed = decision
            .write
            .as_ref()
            .expect("a start is claimed before it is sent");
        assert_eq!(
            (claimed.attempt, attempt),
            (before.attempt + 1, before.attempt + 1)
        );
        assert!(matches!(claimed.state, State::Starting { .. }));
        if operation.restart == Restart::Never {
            assert!(
                !before.maybe_started,
                "I1: a start that Graph may have received is not repeated"
            );
            assert!(matches!(before.state, State::Accepted { .. }));
        }
    }
    if decision.next == Next::Deliver {
        assert!(
            before.event.is_some() && decision.write.is_none(),
            "I7: a completion is delivered only after Ended is durable"
        );
    }
    if let Next::Wait(until) = decision.next {
        assert!(
            until >= now || before.deadline < now,
            "no wait ends in the past"
        );
    }
    let Some(after) = &decision.write else { return };
    check_chain(before, after);
    assert_eq!(after.revision, before.revision + 1);
    assert!(
        after.epoch >= before.epoch && after.attempt >= before.attempt,
        "epoch and attempt never fall"
    );
    assert!(
        after.maybe_started || !before.maybe_started,
        "maybe_started is never reset"
    );
    assert!(
        after.history.starts_with(&before.history),
        "the history is only appended to"
    );
    if before.state.outcome().is_some() {
        assert_eq!(
            before.state.outcome(),
            after.state.outcome(),
            "I3, I6: {event:?}"
        );
        assert_eq!(before.event, after.event, "I4: {event:?}");
        assert_eq!(before.ended_at, after.ended_at, "I3: {event:?}");
    }
    let closed = matches!(after.state, State::Closed { .. });
    assert_eq!(
        after.due_at.is_none(),
        closed,
        "I5: every open record has a due time, a closed one has none"
    );
    let ended = after.state.outcome().is_some();
    assert_eq!(ended, after.ended_at.is_some());
    assert_eq!(ended && after.callback.is_some(), after.event.is_some());
    assert!(!ended || after.sealed_parameters.is_none());
    if after.reason == Some(Reason::StartRejected) {
        assert!(
            !after.maybe_started,
            "I6: start_rejected means that there is no job"
        );
        assert_eq!(after.state.outcome(), Some(Outcome::Failed));
    }
    assert!(!after.is_silent(), "I14: {event:?} leads to {after:?}");
    if let State::Running { monitor } = &after.state {
        assert!(monitor.starts_with(&format!("{GRAPH}/")), "I9: {monitor}");
    }
}

/// The history that is written leads to the head of its chain by way of the head before, so no entry was written anew.
fn check_chain(before: &Record, after: &Record) {
    if before.history == after.history && before.chain == after.chain {
        return;
    }
    let chained = after.chained().expect("I15: the chain leads to its head");
    let (_, links) = chained.expect("I15: what has happened stays in the history");
    if let Some(chain) = &before.chain {
        let goes_on = links.iter().any(|link| link.hash == chain.head);
        assert!(goes_on, "I15: no entry is written anew");
    }
}
