//! Walks through `decide` at random: whatever happens in whatever order, every decision keeps the invariants.

#![cfg(test)]

mod walk;

use std::time::Duration;

use courier_core::catalogue::{Catalogue, TokenKind};
use courier_core::graph::verdict::GraphReply;
use courier_core::lifecycle::{Event, Next, Policy, Timing, decide};
use courier_core::operation::message::Message;
use courier_core::operation::{Outcome, Reason, State};
use proptest::prelude::*;
use serde_json::{Value, json};
use url::Url;

use crate::walk::{GRAPH, Happening, accepted, answer, began, bind, check, forecast};

/// Generates a reply of Graph to a start or a poll.
fn reply() -> impl Strategy<Value = GraphReply> {
    let status = prop::sample::select(vec![
        200, 201, 202, 302, 400, 401, 403, 404, 409, 429, 500, 503,
    ]);
    let graph_status = prop::sample::select(vec![
        "running",
        "complete",
        "succeeded",
        "Completed",
        "failed",
        "?",
    ]);
    prop_oneof![
        Just(GraphReply::NotSent("no connection".to_owned())),
        Just(GraphReply::Lost("no answer in time")),
        (status, any::<bool>(), graph_status).prop_map(|(status, location, graph_status)| {
            let body =
                json!({ "status": graph_status, "provisionStatus": graph_status, "enabled": true });
            answer(status, location, body)
        }),
    ]
}

/// Generates an event that is not yet bound to a record; the numbers are weights.
fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => Just(Happening::Watchdog),
        3 => (0..5_u32).prop_map(|epoch| Happening::Poll { epoch }),
        4 => Just(Happening::Prepared),
        1 => any::<bool>().prop_map(|lost| Happening::NotReady { lost }),
        4 => (any::<bool>(), reply()).prop_map(|(late, reply)| Happening::Started { late, reply }),
        4 => (0..5_u32, reply()).prop_map(|(epoch, reply)| Happening::Polled { epoch, reply }),
        2 => prop::sample::select(vec![None, Some(204), Some(302), Some(410), Some(500)])
            .prop_map(|status| Happening::Called { status }),
        1 => Just(Happening::Cancelled),
        1 => Just(Happening::Redelivery),
        1 => Just(Happening::Overdue),
        1 => Just(Happening::Restored),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn random_order_of_events_breaks_no_invariant(
        name in prop::sample::select(vec!["user.exportPersonalData", "goals.exportJob", "team.schedule"]),
        with_callback in any::<bool>(),
        walk in prop::collection::vec((happening(), 0..30_000_u64), 1..60),
    ) {
        let operation = Catalogue::shipped().find(name).unwrap();
        let graph = Url::parse(GRAPH).unwrap();
        let timing = Timing::default();
        let policy = Policy { operation, token: operation.default_token(), graph: &graph, timing: &timing, shelve_from: None, announce: None };
        let mut record = accepted(name, with_callback);
        let mut now = began();
        for (happening, seconds) in &walk {
            let event = bind(happening, &record);
            let decision = decide(&record, &event, now, &policy);
            check(&record, &event, &decision, operation, now);
            prop_assert_eq!(&decide(&record, &event, now, &policy), &decision, "decide is pure");
            if let Some(after) = decision.write {
                record = *after;
            }
            now += Duration::from_secs(seconds % 3600);
        }
    }
}

#[test]
fn late_success_of_the_held_attempt_ends_the_hold_as_running() {
    let catalogue = Catalogue::shipped();
    let operation = catalogue.find("user.exportPersonalData").unwrap();
    let graph = Url::parse(GRAPH).unwrap();
    let timing = Timing::default();
    let policy = Policy {
        operation,
        token: TokenKind::Application,
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: None,
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
        forecast: Some(forecast()),
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
    // Any other answer changes nothing: only a success of that attempt shows that Graph runs the job.
    for event in [
        late(1, answer(400, false, Value::Null)),
        late(1, GraphReply::NotSent("no connection".to_owned())),
        late(0, answer(202, true, Value::Null)),
    ] {
        let decision = decide(&record, &event, now, &policy);
        assert_eq!(
            (decision.write, decision.next),
            (None, Next::Redecide),
            "{event:?}"
        );
    }
}

#[test]
fn export_whose_lease_has_expired_is_held_and_then_ends_unknown() {
    let operation = Catalogue::shipped()
        .find("user.exportPersonalData")
        .unwrap();
    let graph = Url::parse(GRAPH).unwrap();
    let timing = Timing::default();
    let policy = Policy {
        operation,
        token: TokenKind::Application,
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: None,
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

/// A forged message may have raised the epoch to its maximum; if it wrapped to zero, no message would carry the record.
#[test]
fn record_at_the_highest_epoch_still_gets_a_message_that_polls() {
    let name = "user.exportPersonalData";
    let graph = Url::parse(GRAPH).unwrap();
    let timing = Timing::default();
    let policy = Policy {
        operation: Catalogue::shipped().find(name).unwrap(),
        token: TokenKind::Application,
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: None,
    };
    let mut record = accepted(name, true);
    record.epoch = u32::MAX;
    record.state = State::Running {
        monitor: format!("{GRAPH}/v1.0/dataPolicyOperations/1"),
    };
    let (message, due) = Message::owed(&record).unwrap();
    let decision = decide(&record, &Event::Arrived(message), due, &policy);
    assert_eq!(decision.next, Next::Poll);
}
