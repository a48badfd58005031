//! Fuzzes a queue message as `courier-aws` and `courier-local` read it: only the record decides what is polled.
//!
//! No number overflows. The envelope around the message is read by AWS's crates, which are not built here.

#![no_main]

#[path = "../../shared/courier-core/tests/decide/walk.rs"]
#[expect(dead_code, reason = "the random walk uses the rest")]
mod walk;

use courier_core::catalogue::Catalogue;
use courier_core::graph::verdict::GraphReply;
use courier_core::lifecycle::{Asked, Event, Next, Policy, Timing, decide};
use courier_core::operation::message::Message;
use courier_core::operation::{OperationId, State};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = serde_json::from_slice::<Message>(data) else {
        return;
    };
    let id = message.operation_id().clone();
    assert_eq!(OperationId::parse(id.as_str()), Some(id.clone()));
    let written = serde_json::to_vec(&message).unwrap();
    assert_eq!(
        serde_json::from_slice::<Message>(&written).unwrap(),
        message
    );
    let renewed = message.renewed(500);
    assert_eq!(renewed.operation_id(), &id);
    let name = "user.exportPersonalData";
    let operation = Catalogue::shipped().find(name).unwrap();
    let graph = Url::parse(walk::GRAPH).unwrap();
    let timing = Timing::default();
    let policy = Policy {
        operation,
        token: operation.default_token(),
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: None,
    };
    let monitor = format!("{}/v1.0/x", walk::GRAPH);
    for epoch in [0, 3, u32::MAX] {
        let mut record = walk::accepted(name, true);
        record.id = id.clone();
        record.epoch = epoch;
        record.due_at = Some(walk::began());
        record.state = State::Running {
            monitor: monitor.clone(),
        };
        let event = Event::Arrived(message.clone());
        let decision = decide(&record, &event, walk::began(), &policy);
        walk::check(&record, &event, &decision, operation, walk::began());
        if decision.next == Next::Poll {
            let Message::PollV1 {
                epoch: sent,
                location,
                ..
            } = &message
            else {
                panic!("a watchdog message led to a poll")
            };
            assert!(*sent >= epoch, "a message of an older epoch led to a poll");
            assert!(
                location
                    .as_ref()
                    .is_none_or(|location| *location == monitor),
                "a message with another location led to a poll"
            );
            let polled = Event::Polled {
                epoch: *sent,
                receives: 1,
                asked: Asked::of(&record, walk::began()),
                client_request_id: "c".to_owned(),
                reply: Ok(GraphReply::NotSent("no connection".to_owned())),
            };
            let decision = decide(&record, &polled, walk::began(), &policy);
            let after = decision.write.map_or(record, |after| *after);
            let owed = Message::owed(&after);
            assert!(
                matches!(owed, Some((Message::PollV1 { epoch, .. }, _)) if epoch >= after.epoch),
                "no message carries the record"
            );
        }
    }
});
