//! The operation as callers and receivers see it, and the completion that is frozen when it ends.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::operation::{Announcement, FrozenEvent, LegalClock, Outcome, Record, State, Unknown};
use crate::profile::written;
use crate::time::milliseconds;

/// Returns the operation document, in reading order.
///
/// A planned poll or delivery attempt is shown only while it lies after `now`.
pub(crate) fn document(record: &Record, now: Timestamp) -> Value {
    let mut document = without_callback(record, now);
    let delivery = &record.delivery;
    let is_planned =
        matches!(record.state, State::Ended { .. }) && record.callback_outcome().is_none();
    let next = delivery
        .next_attempt_at
        .filter(|at| is_planned && *at > now);
    let target = record.callback.as_ref();
    document["callback"] = json!({
        "status": record.callback_status(),
        "attempts": delivery.attempts,
        "lastStatus": delivery.last_status,
        "nextAttemptAt": next.map(milliseconds),
        "origin": target.map(|target| &target.origin),
        "profile": target.and_then(|target| target.profile.as_ref()),
        "eventId": record.event.as_ref().map(|event| &event.id),
    });
    if let Some(clock) = &record.legal {
        document["legal"] = legal(record, clock, now);
    }
    if let Some(announcement) = &record.announcement {
        document["events"] = events(announcement, now);
    }
    if let Some(acknowledged) = &record.acknowledged {
        document["acknowledged"] = json!(acknowledged);
    }
    if let Some(erased_at) = record.erased_at {
        document["erasedAt"] = milliseconds(erased_at).into();
    }
    document
}

/// Returns how the announcement of the end is delivered.
fn events(announcement: &Announcement, now: Timestamp) -> Value {
    let delivery = &announcement.delivery;
    let is_planned = announcement.settled.is_none();
    let next = delivery
        .next_attempt_at
        .filter(|at| is_planned && *at > now);
    json!({
        "status": announcement.status(),
        "attempts": delivery.attempts,
        "lastStatus": delivery.last_status,
        "nextAttemptAt": next.map(milliseconds),
        "eventId": announcement.event.id,
    })
}

fn without_callback(record: &Record, now: Timestamp) -> Value {
    let graph = &record.graph;
    let open = record.ended_at.is_none();
    let next = graph.next_poll_at.filter(|at| open && *at > now);
    let mut document = json!({
        "id": record.id,
        "operation": record.operation,
        "status": record.state.status(),
        "reason": record.reason,
        "reference": record.reference,
        "createdAt": milliseconds(record.created_at),
        "startedAt": record.started_at.map(milliseconds),
        "endedAt": record.ended_at.map(milliseconds),
        "deadline": milliseconds(record.deadline),
        "adopted": record.adopted,
        "graph": {
            "status": graph.status,
            "progress": graph.progress,
            "clientRequestId": graph.client_request_id,
            "requestId": graph.request_id,
            "polls": graph.polls,
            "nextPollAt": next.map(milliseconds),
        },
        "result": record.result,
        "error": record.error,
    });
    if let Some(chain) = &record.chain {
        document["evidence"] = json!({ "head": chain.head });
    }
    if let Some(expected_by) = expected_by(record, now) {
        document["expectedBy"] = milliseconds(expected_by).into();
    }
    if let Some(clock) = &record.legal {
        document["legal"] = short_legal(record, clock);
    }
    for (name, id) in [
        ("previous", &record.previous),
        ("resumedFrom", &record.resumed_from),
        ("resumedAs", &record.resumed_as),
    ] {
        if let Some(id) = id {
            document[name] = json!(id);
        }
    }
    document
}

/// Returns what completions and events say of the legal clock.
pub(crate) fn short_legal(record: &Record, clock: &LegalClock) -> Value {
    let mut legal = json!({
        "regulation": clock.regulation,
        "receivedAt": milliseconds(clock.received_at),
        "timeZone": clock.time_zone,
        "dueOn": clock.due_on,
        "dueAt": milliseconds(clock.due_at),
    });
    if let Some(ended_at) = record.ended_at {
        legal["met"] = clock.is_met(ended_at).into();
    }
    legal
}

/// Returns the legal clock as the operation's document shows it.
fn legal(record: &Record, clock: &LegalClock, now: Timestamp) -> Value {
    let mut legal = short_legal(record, clock);
    let is_open = record.ended_at.is_none();
    if let Some(days) = clock
        .days_left(now)
        .filter(|_| is_open && clock.paused_at.is_none())
    {
        legal["daysLeft"] = days.into();
    }
    legal["atRisk"] = record.is_at_legal_risk(now).into();
    legal["holidays"] = json!(clock.holidays);
    for (name, time) in [
        ("extendedAt", clock.extended_at),
        ("toldAt", clock.told_at),
        ("pausedAt", clock.paused_at),
    ] {
        if let Some(time) = time {
            legal[name] = milliseconds(time).into();
        }
    }
    if clock.paused_days > 0 {
        legal["pausedDays"] = clock.paused_days.into();
    }
    if !clock.notes.is_empty() {
        legal["notes"] = json!(clock.notes);
    }
    legal
}

/// Returns when most jobs such as this one, which runs, had ended; `None` without a forecast.
///
/// There is none either once that time has passed, as nothing is known of this job then but that it takes longer than
/// most, nor if it is not before the deadline.
fn expected_by(record: &Record, now: Timestamp) -> Option<Timestamp> {
    let expected_by = record.usual_end()?;
    (now < expected_by && expected_by < record.deadline).then_some(expected_by)
}

/// Returns the completion of a record that has just ended: its id and the bytes of its body, the same from now on.
///
/// It leaves out `callback`: a completion cannot know how its own delivery will go.
pub(crate) fn freeze(record: &Record, ended_at: Timestamp) -> FrozenEvent {
    let word = record.state.status();
    let kind = format!("operation.{word}");
    let completion = json!({
        "type": kind,
        "timestamp": milliseconds(ended_at),
        "data": without_callback(record, ended_at),
    });
    let callback = record.callback.as_ref();
    let is_success = record.state.outcome() == Some(Outcome::Succeeded);
    let otherwise = callback.and_then(|callback| callback.unless_succeeded.as_ref());
    let otherwise = otherwise.filter(|_| !is_success);
    let template = otherwise.or_else(|| callback?.template.as_ref());
    let body = template.map(|template| template.render(&completion));
    let as_form = callback.is_some_and(|callback| callback.as_form);
    FrozenEvent {
        id: format!("msg_{}_{word}", record.id.bare()),
        kind,
        body: written(&body.unwrap_or(completion), as_form),
        is_otherwise: otherwise.is_some(),
        unknown: Unknown::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(state: Value, callback: Option<Value>) -> Record {
        let record = json!({
            "id": "op_0123456789abcdef0123456789abcdef", "revision": 1, "writer": "w",
            "client": "tickets", "tenant": "contoso", "operation": "team.schedule",
            "fingerprint": "f", "parameters": {}, "callback": callback,
            "created_at": at(0), "deadline": at(900), "state": state,
            "attempt": 1, "maybe_started": false, "token_refused": false, "hop": 1, "adopted": false,
            "graph": { "polls": 1, "seen": true, "missing": 0, "nextPollAt": at(100) },
            "delivery": { "attempts": 2, "lastStatus": 500, "scheduledAttempts": 2 },
            "history": [],
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn the_callback_is_none_pending_retrying_delivered_or_undeliverable() {
        let target = || json!({ "url": "v1.sealed", "origin": "https://tickets.example" });
        let closed = |how: &str| json!({ "name": "closed", "outcome": "failed", "how": how });
        for (state, told) in [
            (closed("delivered"), "delivered"),
            (closed("undeliverable"), "undeliverable"),
            (json!({ "name": "ended", "outcome": "failed" }), "retrying"),
            (json!({ "name": "running", "monitor": "m" }), "pending"),
        ] {
            let with = document(&record(state.clone(), Some(target())), at(50));
            let callback = json!({
                "status": told, "attempts": 2, "lastStatus": 500, "nextAttemptAt": null,
                "origin": "https://tickets.example", "profile": null, "eventId": null,
            });
            assert_eq!(with["callback"], callback, "{state}");
            let without = document(&record(state, None), at(50));
            assert_eq!(without["callback"]["status"], "none");
            assert_eq!(without["callback"]["origin"], Value::Null);
        }
    }

    #[test]
    fn a_callback_is_retrying_from_the_first_failure_to_a_redelivery() {
        let target = json!({ "url": "v1.sealed", "origin": "https://tickets.example" });
        let state = json!({ "name": "ended", "outcome": "failed" });
        let mut record = record(state, Some(target));
        record.delivery.next_attempt_at = Some(at(100));
        let told = |record: &Record, now| document(record, at(now))["callback"].clone();
        let planned = "1970-01-01T00:01:40.000Z";
        assert_eq!(told(&record, 99)["nextAttemptAt"], planned);
        assert_eq!(told(&record, 100)["nextAttemptAt"], Value::Null);
        let found = |record: &Record| {
            ["pending", "retrying", "delivered"].map(|wanted| record.matches_callback(wanted))
        };
        assert_eq!(found(&record), [true, true, false]);
        record.delivery.scheduled_attempts = 0;
        assert_eq!(told(&record, 99)["status"], "pending");
        assert_eq!(found(&record), [true, false, false]);
    }

    #[test]
    fn the_end_is_expected_when_nine_in_ten_such_jobs_had_ended_and_only_while_that_lies_ahead() {
        let mut record = record(json!({ "name": "running", "monitor": "m" }), None);
        let told = |record: &Record, now| document(record, at(now)).get("expectedBy").cloned();
        record.started_at = Some(at(0));
        assert_eq!(told(&record, 1), None);
        // Such jobs took from 256 s to 512 s.
        let forecast = json!({ "from": 32, "shares": "zzzz" });
        record.forecast = serde_json::from_value(forecast).unwrap();
        let expected = told(&record, 1).unwrap();
        let expected: Timestamp = expected.as_str().unwrap().parse().unwrap();
        assert!((at(477)..at(478)).contains(&expected), "{expected}");
        assert!(told(&record, 477).is_some());
        assert_eq!(told(&record, 478), None);
        record.deadline = at(470);
        assert_eq!(told(&record, 1), None);
        record.deadline = at(900);
        let outcome = Outcome::Succeeded;
        record.state = State::Ended { outcome };
        assert_eq!(told(&record, 1), None);
    }

    #[test]
    fn the_next_look_is_told_only_while_it_lies_ahead() {
        let mut record = record(json!({ "name": "running", "monitor": "m" }), None);
        let told = |record: &Record, now| document(record, at(now))["graph"]["nextPollAt"].clone();
        assert_eq!(told(&record, 99), json!("1970-01-01T00:01:40.000Z"));
        assert_eq!(told(&record, 100), Value::Null);
        assert_eq!(told(&record, 101), Value::Null);
        record.ended_at = Some(at(50));
        assert_eq!(told(&record, 60), Value::Null);
    }
}
