//! `decide` walked at random: whatever happens in whatever order, the rules that keep the invariants hold.

#![cfg(test)]

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Operation, Restart};
use courier_core::decide::{
    CallbackReply, Decision, Event, Next, NotReady, Policy, Timing, decide,
};
use courier_core::judge::{Answer, Reply};
use courier_core::message::Message;
use courier_core::record::{
    CallbackTarget, Delivery, GraphView, OperationId, Outcome, Reason, Record, State,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

const GRAPH: &str = "https://graph.microsoft.com";

fn began() -> Timestamp {
    "2026-11-21T20:00:00Z".parse().unwrap()
}

fn accepted(operation: &str, with_callback: bool) -> Record {
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
        parameters: serde_json::Map::new(),
        sealed_parameters: Some(serde_json::from_value(json!("v1.sealed")).unwrap()),
        callback: with_callback.then_some(callback),
        traceparent: None,
        created_at: began(),
        deadline: began() + Duration::from_secs(48 * 3600),
        due_at: Some(began() + Duration::from_secs(75)),
        state: State::Accepted {
            not_before: began(),
        },
        attempt: 0,
        maybe_started: false,
        token_refused: false,
        hop: 0,
        stumbles: 0,
        started_at: None,
        ended_at: None,
        adopted: false,
        reason: None,
        graph: GraphView::default(),
        result: None,
        error: None,
        event: None,
        delivery: Delivery::default(),
        history: Vec::new(),
    }
}

fn answer(status: u16, location: bool, body: Value) -> Reply {
    let url = format!("{GRAPH}/v1.0/dataPolicyOperations/1");
    Reply::Answer(Box::new(Answer {
        status,
        locations: location.then_some(url).into_iter().collect(),
        retry_after: (status == 429).then_some(Duration::from_secs(30)),
        body: Some(body),
        error: None,
        request_id: Some("r".to_owned()),
    }))
}

/// A reply of Graph, to a start or a poll.
fn reply() -> impl Strategy<Value = Reply> {
    let status = prop::sample::select(vec![
        200, 201, 202, 302, 400, 401, 403, 404, 409, 429, 500, 503,
    ]);
    let word = prop::sample::select(vec![
        "running",
        "complete",
        "succeeded",
        "Completed",
        "failed",
        "?",
    ]);
    prop_oneof![
        Just(Reply::NotSent),
        Just(Reply::Lost("no answer in time")),
        (status, any::<bool>(), word).prop_map(|(status, location, word)| {
            let body = json!({ "status": word, "provisionStatus": word, "enabled": true });
            answer(status, location, body)
        }),
    ]
}

/// Something that happens, not yet bound to a record.
#[derive(Debug, Clone)]
enum Happening {
    Watchdog,
    Poll {
        hop: u32,
    },
    Prepared,
    NotReady {
        lost: bool,
    },
    /// `late`: the answer is of an older attempt.
    Started {
        late: bool,
        reply: Reply,
    },
    Polled {
        hop: u32,
        reply: Reply,
    },
    Called {
        status: Option<u16>,
    },
    Cancelled,
    Redelivery,
    Overdue,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Watchdog),
        3 => (0..5_u32).prop_map(|hop| Happening::Poll { hop }),
        4 => Just(Happening::Prepared),
        1 => any::<bool>().prop_map(|lost| Happening::NotReady { lost }),
        4 => (any::<bool>(), reply()).prop_map(|(late, reply)| Happening::Started { late, reply }),
        4 => (0..5_u32, reply()).prop_map(|(hop, reply)| Happening::Polled { hop, reply }),
        2 => prop::sample::select(vec![None, Some(204), Some(302), Some(410), Some(500)])
            .prop_map(|status| Happening::Called { status }),
        1 => Just(Happening::Cancelled),
        1 => Just(Happening::Redelivery),
        1 => Just(Happening::Overdue),
    ]
}

fn bind(happening: &Happening, record: &Record) -> Event {
    let operation_id = record.id.clone();
    match happening.clone() {
        Happening::Watchdog => Event::Arrived(Message::WatchdogV1 { operation_id }),
        Happening::Poll { hop } => Event::Arrived(Message::poll(record, hop)),
        Happening::Prepared => Event::Prepared,
        Happening::NotReady { lost } => Event::NotReady(NotReady {
            reason: lost.then_some(Reason::AuthorizationLost),
            retry_after: None,
        }),
        Happening::Started { late, reply } => Event::Started {
            attempt: record.attempt.saturating_sub(u32::from(late)),
            client_request_id: "c".to_owned(),
            start_url: format!("{GRAPH}/v1.0/teams/1/schedule"),
            reply,
        },
        Happening::Polled { hop, reply } => Event::Polled {
            hop,
            receives: 1,
            client_request_id: "c".to_owned(),
            reply: Ok(reply),
        },
        Happening::Called { status } => Event::Called {
            hop: record.hop,
            target: 0,
            reply: CallbackReply {
                status,
                taken: status.is_some_and(|status| status / 100 == 2),
                ..CallbackReply::default()
            },
        },
        Happening::Cancelled => Event::Cancelled,
        Happening::Redelivery => Event::RedeliveryAsked,
        Happening::Overdue => Event::Overdue,
    }
}

/// What must hold of every decision.
fn check(
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
                "I1: a start that may have landed is not repeated"
            );
            assert!(matches!(before.state, State::Accepted { .. }));
        }
    }
    if decision.next == Next::Deliver {
        assert!(
            before.event.is_some() && decision.write.is_none(),
            "I7: Ended is durable first"
        );
    }
    if let Next::Wait(until) = decision.next {
        assert!(until >= now || before.deadline < now, "never into the past");
    }
    let Some(after) = &decision.write else { return };
    assert_eq!(after.revision, before.revision + 1);
    assert!(
        after.hop >= before.hop && after.attempt >= before.attempt,
        "fences only rise"
    );
    assert!(
        after.maybe_started || !before.maybe_started,
        "maybe_started is sticky"
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
        "I5: somebody looks at every open record"
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
    if let State::Running { monitor } = &after.state {
        assert!(monitor.starts_with(&format!("{GRAPH}/")), "I9: {monitor}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_rule(
        name in prop::sample::select(vec!["user.exportPersonalData", "goals.exportJob", "team.schedule"]),
        with_callback in any::<bool>(),
        walk in prop::collection::vec((happening(), 0..30_000_u64), 1..60),
    ) {
        let operation = Catalogue::shipped().find(name).unwrap();
        let graph = Url::parse(GRAPH).unwrap();
        let timing = Timing::default();
        let policy = Policy { operation, graph: &graph, timing: &timing };
        let mut record = accepted(name, with_callback);
        let mut now = began();
        for (happening, seconds) in &walk {
            let event = bind(happening, &record);
            let decision = decide(&record, &event, now, &policy);
            check(&record, &event, &decision, operation, now);
            prop_assert_eq!(&decide(&record, &event, now, &policy), &decision, "pure");
            if let Some(after) = decision.write {
                record = *after;
            }
            now += Duration::from_secs(seconds % 3600);
        }
    }
}

#[test]
fn a_late_answer_of_the_original_attempt_still_counts_in_the_hold() {
    let catalogue = Catalogue::shipped();
    let operation = catalogue.find("user.exportPersonalData").unwrap();
    let graph = Url::parse(GRAPH).unwrap();
    let timing = Timing::default();
    let policy = Policy {
        operation,
        graph: &graph,
        timing: &timing,
    };
    let mut record = accepted("user.exportPersonalData", true);
    record.attempt = 1;
    record.maybe_started = true;
    record.state = State::StartUnknown {
        hold_until: began() + timing.hold,
    };
    let late = |attempt, reply| Event::Started {
        attempt,
        client_request_id: "c".to_owned(),
        start_url: format!("{GRAPH}/v1.0/users/1/exportPersonalData"),
        reply,
    };
    let now = began() + Duration::from_secs(60);
    let decision = decide(
        &record,
        &late(1, answer(202, true, Value::Null)),
        now,
        &policy,
    );
    let after = decision.write.unwrap();
    assert!(matches!(after.state, State::Running { .. }));
    assert!(decision.send.is_some());
    // Anything but a success of that attempt is no news.
    for event in [
        late(1, answer(400, false, Value::Null)),
        late(1, Reply::NotSent),
        late(0, answer(202, true, Value::Null)),
    ] {
        let decision = decide(&record, &event, now, &policy);
        assert_eq!(
            (decision.write, decision.next),
            (None, Next::Look),
            "{event:?}"
        );
    }
}

#[test]
fn an_export_whose_lease_is_over_is_held_and_then_unknown() {
    let operation = Catalogue::shipped()
        .find("user.exportPersonalData")
        .unwrap();
    let graph = Url::parse(GRAPH).unwrap();
    let timing = Timing::default();
    let policy = Policy {
        operation,
        graph: &graph,
        timing: &timing,
    };
    let mut record = accepted("user.exportPersonalData", true);
    record.attempt = 1;
    record.state = State::Starting {
        lease_until: began() + timing.lease,
    };
    let watchdog = Event::Arrived(Message::WatchdogV1 {
        operation_id: record.id.clone(),
    });
    let early = decide(&record, &watchdog, began(), &policy);
    assert_eq!(early.next, Next::Wait(began() + timing.lease));
    let over = began() + timing.lease;
    let held = decide(&record, &watchdog, over, &policy);
    let record = *held.write.unwrap();
    assert_eq!(
        record.state,
        State::StartUnknown {
            hold_until: over + timing.hold
        }
    );
    assert!(record.maybe_started);
    let unknown = decide(&record, &watchdog, over + timing.hold, &policy)
        .write
        .unwrap();
    assert_eq!(
        unknown.state,
        State::Ended {
            outcome: Outcome::Unknown
        }
    );
    assert_eq!(unknown.reason, Some(Reason::StartOutcomeUnknown));
}
