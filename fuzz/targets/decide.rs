//! Fuzzes the order of events from a new record: decisions keep the invariants, and Ended is written at most once.

#![no_main]

#[path = "../../shared/courier-core/tests/decide/walk.rs"]
mod walk;

use std::time::Duration;

use courier_core::catalogue::{Catalogue, Operation};
use courier_core::graph::verdict::GraphReply;
use courier_core::lifecycle::{Policy, Timing, decide};
use libfuzzer_sys::arbitrary::{self, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use url::Url;
use walk::Happening;

const HTTP_STATUSES: [u16; 16] = [
    200, 201, 202, 204, 302, 400, 401, 403, 404, 408, 409, 410, 429, 500, 503, 999,
];
const GRAPH_STATUSES: [&str; 8] = [
    "running",
    "complete",
    "succeeded",
    "Completed",
    "failed",
    "Failure",
    "?",
    "",
];
const MAX_EVENTS: usize = 48;

fuzz_target!(|data: &[u8]| {
    // The walk ends when the bytes are used up, which is no failure.
    let _ = walk(&mut Unstructured::new(data));
});

fn walk(bytes: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let operations: Vec<&Operation> = Catalogue::shipped().iter().collect();
    let operation = *bytes.choose(&operations)?;
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
    let mut record = walk::accepted(&operation.name, bytes.arbitrary()?);
    let mut now = walk::began();
    let mut endings = 0;
    for _ in 0..MAX_EVENTS {
        if bytes.is_empty() {
            break;
        }
        let event = walk::bind(&happening(bytes)?, &record);
        let decision = decide(&record, &event, now, &policy);
        walk::check(&record, &event, &decision, operation, now);
        if let Some(after) = decision.write {
            endings += u32::from(record.ended_at.is_none() && after.ended_at.is_some());
            record = *after;
        }
        assert!(endings <= 1, "I3: Ended is written at most once");
        now += Duration::from_secs(u64::from(bytes.arbitrary::<u16>()?));
    }
    Ok(())
}

fn happening(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Happening> {
    Ok(match bytes.int_in_range(0..=10)? {
        0 => Happening::Watchdog,
        1 => Happening::Poll {
            epoch: bytes.int_in_range(0..=5)?,
        },
        2 => Happening::Prepared,
        3 => Happening::NotReady {
            lost: bytes.arbitrary()?,
        },
        4 => Happening::Started {
            late: bytes.arbitrary()?,
            reply: reply(bytes)?,
        },
        5 => Happening::Polled {
            epoch: bytes.int_in_range(0..=5)?,
            reply: reply(bytes)?,
        },
        6 => Happening::Called {
            status: bytes
                .choose(&[None, Some(204), Some(302), Some(410), Some(500)])
                .copied()?,
        },
        7 => Happening::Cancelled,
        8 => Happening::Redelivery,
        9 => Happening::Overdue,
        _ => Happening::Restored,
    })
}

fn reply(bytes: &mut Unstructured<'_>) -> arbitrary::Result<GraphReply> {
    Ok(match bytes.int_in_range(0..=7)? {
        0 => GraphReply::NotSent("no connection".to_owned()),
        1 => GraphReply::Lost("no answer in time"),
        _ => {
            let status = bytes.choose(&GRAPH_STATUSES)?;
            let document = json!({ "status": status, "provisionStatus": status, "enabled": true });
            let body = if bytes.arbitrary()? {
                document
            } else {
                Value::Null
            };
            walk::answer(*bytes.choose(&HTTP_STATUSES)?, bytes.arbitrary()?, body)
        }
    })
}
