//! Tests the timetable of a platform whose queue ends with its process: which polls are written, and when the next process
//! polls.

use std::time::Duration;

use courier_core::catalogue::{Catalogue, TokenKind};
use courier_core::graph::verdict::GraphReply;
use courier_core::lifecycle::resuming::{LastSeen, resume};
use courier_core::lifecycle::{Asked, Decision, Event, Next, Policy, Timing, decide};
use courier_core::operation::{Forecast, Record};
use jiff::Timestamp;
use serde_json::json;
use url::Url;

use crate::polls::known;
use crate::{GRAPH, answer, at, forecast, operation, replied, seconds};

fn says_again(retry_after: Option<u64>) -> GraphReply {
    let body = json!({ "status": "running", "progress": 20.0 });
    let mut answer = answer(200, body);
    answer.retry_after = retry_after.map(seconds);
    replied(answer)
}

/// Returns the decision about a poll without news, where the queue ends with its process.
fn polled(record: &Record, now: Timestamp, retry_after: Option<u64>) -> Decision {
    let (graph, timing) = (
        Url::parse(GRAPH).unwrap(),
        Timing {
            forgets_waits: true,
            ..Timing::default()
        },
    );
    let policy = Policy {
        operation: operation(&record.operation),
        token: TokenKind::Application,
        graph: &graph,
        timing: &timing,
        shelve_from: None,
        announce: None,
    };
    let event = Event::Polled {
        epoch: record.epoch,
        receives: 1,
        asked: Asked::of(record, now),
        client_request_id: "p".to_owned(),
        reply: Ok(says_again(retry_after)),
    };
    decide(record, &event, now, &policy)
}

/// Returns a running record, due at `at(100)` by a `Retry-After` of this many seconds.
fn paced(retry_after: u64, forecast: Option<Forecast>) -> Record {
    let mut record = known();
    record.graph.retry_after = Some(retry_after);
    record.due_at = Some(record.deadline);
    record.forecast = forecast;
    record
}

fn waits(decision: &Decision) -> Timestamp {
    let Next::Wait(until) = decision.next else {
        panic!("{decision:?}");
    };
    until
}

#[test]
fn poll_at_its_time_is_not_written_and_the_next_process_finds_the_same_time() {
    let record = paced(30, None);
    let decision = polled(&record, at(100), Some(30));
    assert_eq!(decision.write, None);
    let next = waits(&decision);
    assert!(next >= at(130));
    let seen = LastSeen {
        settled: at(101),
        alive_until: at(101),
    };
    let (_, due) = resume(&record, Catalogue::shipped(), Some(&seen)).unwrap();
    assert!(due >= next && due <= next + seconds(4), "{due} {next}");
}

#[test]
fn what_the_next_process_could_not_compute_is_written() {
    let record = paced(30, None);
    let late = polled(&record, at(110), Some(30));
    assert_eq!(
        late.write.as_ref().unwrap().graph.next_poll_at,
        Some(waits(&late))
    );
    let longer = polled(&record, at(100), Some(60));
    let written = longer.write.unwrap();
    assert_eq!(written.graph.retry_after, Some(60));
    assert!(written.graph.next_poll_at.unwrap() >= at(160));
}

/// The process before died before this poll was due: it is made at once, or when it is due.
#[test]
fn poll_that_was_not_made_is_made_at_its_time() {
    let record = paced(30, None);
    for (settled, alive_until) in [(50, 60), (90, 99)] {
        let seen = LastSeen {
            settled: at(settled),
            alive_until: at(alive_until),
        };
        let (_, due) = resume(&record, Catalogue::shipped(), Some(&seen)).unwrap();
        assert_eq!(due, at(100));
    }
}

#[test]
fn poll_that_may_have_been_made_is_put_off_no_further_than_the_last_one() {
    let mut record = paced(30 * 24 * 3600, None);
    record.graph.next_poll_at = Some(record.deadline);
    let seen = LastSeen {
        settled: record.deadline - seconds(5),
        alive_until: record.deadline + seconds(5),
    };
    let (_, due) = resume(&record, Catalogue::shipped(), Some(&seen)).unwrap();
    assert_eq!(due, record.deadline + seconds(6 * 3600));
}

/// Follows many operations through polls that are a little or much too late, and kills the process between any two.
#[test]
fn next_process_polls_neither_sooner_than_graph_allows_nor_later_than_the_plan() {
    let mut random = 7_u64;
    let mut up_to = |most: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % (most + 1)
    };
    let mut unwritten = 0;
    for round in 0..600 {
        let retry_after = [1, 5, 30, 60, 300][round % 5];
        let mut record = paced(retry_after, (round % 2 == 0).then(forecast));
        record.deadline = at(30 * 24 * 3600);
        record.due_at = Some(record.deadline);
        let mut due = at(100);
        for _ in 0..up_to(40) {
            let late = if up_to(9) == 0 {
                up_to(60_000)
            } else {
                up_to(300)
            };
            let now = due + Duration::from_millis(late);
            let decision = polled(&record, now, Some(retry_after));
            due = waits(&decision);
            assert!(due >= now + seconds(retry_after));
            match decision.write {
                Some(written) => record = *written,
                None => unwritten += 1,
            }
            // The note that the process has left was made at this time or up to ten seconds before.
            let noted = now - Duration::from_millis(up_to(10_000));
            let seen = LastSeen {
                settled: noted,
                alive_until: noted + seconds(10),
            };
            let (_, again) = resume(&record, Catalogue::shipped(), Some(&seen)).unwrap();
            assert!(
                again >= now + seconds(retry_after),
                "{round}: {now} {again}"
            );
            let pause = Duration::try_from(due.duration_since(now)).unwrap();
            let margin = (pause / 5).max(seconds(2));
            let doubt = seen.alive_until + seconds(retry_after);
            assert!(again <= (due + margin).max(doubt), "{round}: {due} {again}");
        }
    }
    assert!(unwritten > 5000, "{unwritten}");
}
