//! Tests how each answer of Graph is classified: to a start in every restart class, and to a poll.

use courier_core::graph::error::GraphError;
use courier_core::graph::verdict::{
    self, Answer, GraphReply, PollVerdict, StartVerdict, Started, StatusSnapshot, Subject,
};
use courier_core::operation::{OperationError, Outcome, Reason};
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    EXPORT, GOALS, GRAPH, MONITOR, SCHEDULE, accepted, answer, at, operation, replied, seconds,
};

const START_URL: &str = "https://graph.microsoft.com/v1.0/teams/1/schedule";

fn start(name: &str, answer: Answer) -> StartVerdict {
    judged_start(name, &replied(answer))
}

fn poll(name: &str, answer: Answer) -> PollVerdict {
    judged_poll(name, &replied(answer), &crate::parameters(name))
}

fn judged_start(name: &str, reply: &GraphReply) -> StartVerdict {
    let record = accepted(name, at(0));
    let graph = Url::parse(GRAPH).unwrap();
    let subject = Subject {
        operation: operation(name),
        record: &record,
        graph: &graph,
    };
    verdict::classify_start(reply, subject, START_URL, at(0))
}

fn judged_poll(name: &str, reply: &GraphReply, parameters: &Map<String, Value>) -> PollVerdict {
    let mut record = accepted(name, at(0));
    record.parameters = parameters.clone();
    let graph = Url::parse(GRAPH).unwrap();
    let subject = Subject {
        operation: operation(name),
        record: &record,
        graph: &graph,
    };
    verdict::classify_poll(reply, subject)
}

pub(crate) fn snapshot(name: &str, body: Value) -> StatusSnapshot {
    let verdict = poll(name, answer(200, body));
    let PollVerdict::Seen(snapshot) = verdict else {
        panic!("{verdict:?}")
    };
    snapshot
}

/// Returns an answer with a monitor and a `Retry-After` of 30 s.
fn full(status: u16) -> Answer {
    Answer {
        locations: vec![MONITOR.to_owned()],
        retry_after: Some(seconds(30)),
        ..answer(status, Value::Null)
    }
}

fn error(code: &str, inner_code: Option<&str>) -> GraphError {
    GraphError {
        code: code.to_owned(),
        message: "no such thing".to_owned(),
        inner_code: inner_code.map(str::to_owned),
        target: None,
        request_id: None,
    }
}

fn operation_error(code: &str, message: &str, http_status: u16) -> OperationError {
    OperationError {
        code: code.to_owned(),
        message: message.to_owned(),
        detail: None,
        http_status: Some(http_status),
        request_id: Some("r".to_owned()),
        unknown: Map::new(),
    }
}

#[test]
fn only_an_answer_after_which_a_job_may_run_counts_as_lost() {
    let nothing = "Graph sent no error document";
    for name in [EXPORT, GOALS, SCHEDULE] {
        for status in [408, 500, 502, 503, 504, 599] {
            let lost = StartVerdict::Lost {
                detail: format!("Graph answered {status}"),
                retry_after: Some(seconds(30)),
            };
            assert_eq!(start(name, full(status)), lost, "{name}");
        }
        let throttled = StartVerdict::Throttled(Some(seconds(30)));
        assert_eq!(start(name, full(429)), throttled);
        let unauthorized = StartVerdict::Unauthorized(operation_error("http401", nothing, 401));
        assert_eq!(start(name, full(401)), unauthorized);
        for status in [199, 300, 302, 400, 403, 404, 407, 410, 422, 499, 600] {
            let refused = operation_error(&format!("http{status}"), nothing, status);
            assert_eq!(start(name, full(status)), StartVerdict::Refused(refused));
        }
        let judged = |reply| judged_start(name, &reply);
        assert_eq!(
            judged(GraphReply::NotSent("no connection".to_owned())),
            StartVerdict::NotSent
        );
        let lost = StartVerdict::Lost {
            detail: "cut off".to_owned(),
            retry_after: None,
        };
        assert_eq!(judged(GraphReply::Lost("cut off")), lost);
    }
}

fn started(monitor: &str, adopted: bool, note: Option<&str>) -> StartVerdict {
    StartVerdict::Started(Started {
        monitor: monitor.to_owned(),
        adopted,
        retry_after: Some(seconds(30)),
        snapshot: None,
        secrets: Map::new(),
        note: note.map(str::to_owned),
    })
}

#[test]
fn every_2xx_counts_as_started_and_an_undocumented_one_is_noted() {
    for (name, documented, monitor) in [
        (EXPORT, 202, MONITOR),
        (GOALS, 201, MONITOR),
        (SCHEDULE, 200, START_URL),
    ] {
        for status in [200, 201, 202, 204, 299] {
            let text = format!("undocumented success code {status}");
            let note = (status != documented).then_some(text.as_str());
            let expected = started(monitor, false, note);
            assert_eq!(start(name, full(status)), expected, "{name}");
        }
    }
}

#[test]
fn start_is_followed_only_if_it_names_exactly_one_trusted_monitor() {
    let foreign = "https://evil.example/v1.0/x".to_owned();
    let monitor = MONITOR.to_owned();
    let named = |locations: &[&String]| {
        let locations = locations.iter().map(|text| (*text).clone()).collect();
        start(
            EXPORT,
            Answer {
                locations,
                ..full(202)
            },
        )
    };
    let untrackable = StartVerdict::Untrackable(Reason::StartUntrackable);
    let untrusted = StartVerdict::Untrackable(Reason::LocationUntrusted);
    let followed = started(MONITOR, false, None);
    assert_eq!(named(&[&monitor]), followed);
    assert_eq!(named(&[&monitor, &monitor]), followed);
    assert_eq!(named(&[&monitor, &monitor, &foreign]), untrusted);
    assert_eq!(named(&[&foreign]), untrusted);
    for unusable in ["", "\"\"", "/x y", "https://graph.microsoft.com"] {
        assert_eq!(named(&[&unusable.to_owned()]), untrackable, "{unusable}");
    }
    assert_eq!(named(&[]), untrackable);
}

#[test]
fn conflict_is_adopted_by_its_location_or_else_by_its_target() {
    let by_location = started(MONITOR, true, None);
    assert_eq!(start(GOALS, full(409)), by_location);
    let conflict = |location: &[&str], target: Option<&str>| Answer {
        locations: location.iter().map(|text| (*text).to_owned()).collect(),
        error: Some(GraphError {
            target: target.map(str::to_owned),
            ..error("conflict", None)
        }),
        ..full(409)
    };
    let both = conflict(&[MONITOR], Some("j!1"));
    assert_eq!(start(GOALS, both), by_location);
    let rebuilt = format!("{GRAPH}/beta/employeeexperience/goals/exportJobs/j!1");
    let by_target = started(&rebuilt, true, None);
    for location in [&[][..], &["https://evil.example/x"], &[MONITOR, "/other"]] {
        let verdict = start(GOALS, conflict(location, Some("j!1")));
        assert_eq!(verdict, by_target, "{location:?}");
    }
    let refused = StartVerdict::Refused(operation_error("conflict", "no such thing", 409));
    for target in [None, Some("../x")] {
        assert_eq!(start(GOALS, conflict(&[], target)), refused);
    }
    assert_eq!(start(EXPORT, conflict(&[MONITOR], Some("j!1"))), refused);
}

#[test]
fn refusal_reports_the_innermost_code_and_explains_a_used_container() {
    let refused = |code, inner| {
        let answer = Answer {
            error: Some(error(code, inner)),
            ..full(400)
        };
        let verdict = start(EXPORT, answer);
        let StartVerdict::Refused(error) = verdict else {
            panic!("{verdict:?}")
        };
        error
    };
    let plain = operation_error("badRequest", "no such thing", 400);
    assert_eq!(refused("badRequest", None), plain);
    let deep = operation_error("invalidSas", "no such thing", 400);
    assert_eq!(refused("badRequest", Some("invalidSas")), deep);
    let used = refused("badRequest", Some("StorageLocationAlreadyUsed"));
    let detail = "an export has already begun to write to this container";
    assert_eq!(used.detail.as_deref(), Some(detail));
}

#[test]
fn poll_yields_a_snapshot_only_from_a_status_document() {
    let silent = PollVerdict::Nothing(Some(seconds(30)));
    for status in [200, 201, 202, 206, 299] {
        let body = Some(json!({ "status": "running" }));
        let seen = Answer {
            body,
            ..full(status)
        };
        assert!(matches!(poll(EXPORT, seen), PollVerdict::Seen(_)));
        for body in [
            None,
            Some(json!({})),
            Some(json!({ "status": "" })),
            Some(json!({ "status": 1 })),
        ] {
            let unread = Answer {
                body,
                ..full(status)
            };
            assert_eq!(poll(EXPORT, unread), silent);
        }
    }
    for status in [302, 400, 408, 409, 429, 500, 503] {
        assert_eq!(poll(EXPORT, full(status)), silent, "{status}");
    }
    for reply in [
        GraphReply::NotSent("no connection".to_owned()),
        GraphReply::Lost("cut off"),
    ] {
        let verdict = judged_poll(EXPORT, &reply, &Map::new());
        assert_eq!(verdict, PollVerdict::Nothing(None));
    }
    for status in [401, 403] {
        assert_eq!(poll(EXPORT, full(status)), PollVerdict::Unauthorized);
    }
}

#[test]
fn monitor_is_missing_by_http_status_or_by_the_catalogues_error_code() {
    let failed = |status, code, inner| Answer {
        error: Some(error(code, inner)),
        ..full(status)
    };
    let missing =
        |code, status| PollVerdict::Missing(operation_error(code, "no such thing", status));
    for status in [404, 410] {
        let verdict = poll(EXPORT, failed(status, "itemNotFound", None));
        assert_eq!(verdict, missing("itemNotFound", status));
    }
    let code = "OperationNotFound";
    assert_eq!(poll(EXPORT, failed(400, code, None)), missing(code, 400));
    let inner = failed(400, "badRequest", Some(code));
    assert_eq!(poll(EXPORT, inner), missing(code, 400));
    let outer = failed(400, code, Some("deeper"));
    assert_eq!(poll(EXPORT, outer), missing("deeper", 400));
    let silent = PollVerdict::Nothing(Some(seconds(30)));
    for answer in [
        failed(400, "badRequest", None),
        failed(400, "exportJobNotFound", None),
        failed(409, code, None),
    ] {
        assert_eq!(poll(EXPORT, answer), silent);
    }
}

#[test]
fn only_statuses_of_the_catalogue_end_an_operation() {
    for (name, status, outcome) in [
        (EXPORT, "complete", Some(Outcome::Succeeded)),
        (EXPORT, "COMPLETE", Some(Outcome::Succeeded)),
        (EXPORT, "failed", Some(Outcome::Failed)),
        (EXPORT, "running", None),
        (EXPORT, "succeeded", None),
        (GOALS, "succeeded", Some(Outcome::Succeeded)),
    ] {
        let snapshot = snapshot(name, json!({ "status": status }));
        assert_eq!(
            (snapshot.outcome, snapshot.word.as_str()),
            (outcome, status),
            "{name}"
        );
        assert_eq!(snapshot.error.is_some(), outcome == Some(Outcome::Failed));
    }
    let enveloped = snapshot(GOALS, json!({ "value": { "status": "succeeded" } }));
    assert_eq!(enveloped.outcome, Some(Outcome::Succeeded));
}

#[test]
fn schedule_succeeds_only_when_enabled_and_fails_regardless_of_it() {
    for (status, enabled, outcome) in [
        ("Completed", json!(true), Some(Outcome::Succeeded)),
        ("Completed", json!(false), None),
        ("Completed", json!("true"), None),
        ("Failed", json!(false), Some(Outcome::Failed)),
    ] {
        let body = json!({ "provisionStatus": status, "enabled": enabled });
        assert_eq!(
            snapshot(SCHEDULE, body).outcome,
            outcome,
            "{status} {enabled}"
        );
    }
}

#[test]
fn schedule_succeeds_when_enabled_equals_the_requested_value() {
    for (requested, answered, outcome) in [
        (json!(true), json!(true), Some(Outcome::Succeeded)),
        (json!(true), json!(false), None),
        (json!(false), json!(false), Some(Outcome::Succeeded)),
        (json!(false), json!(true), None),
        (json!(false), Value::Null, None),
    ] {
        let request = json!({ "schedule": { "enabled": requested } });
        let parameters = request.as_object().unwrap();
        let body = json!({ "provisionStatus": "Completed", "enabled": answered });
        let reply = replied(answer(200, body));
        let verdict = judged_poll(SCHEDULE, &reply, parameters);
        let PollVerdict::Seen(snapshot) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(snapshot.outcome, outcome, "{requested} {answered}");
    }
}

#[test]
fn failure_carries_graphs_code_and_message_where_graph_sends_them() {
    let failed = |name, body| snapshot(name, body).error.unwrap();
    let error = failed(
        SCHEDULE,
        json!({ "provisionStatus": "Failed", "provisionStatusCode": "X" }),
    );
    assert_eq!(
        (&*error.code, &*error.message),
        ("X", "Graph reports Failed")
    );
    assert_eq!((error.http_status, error.request_id), (None, None));
    let error = failed(
        GOALS,
        json!({ "status": "failed", "statusDetail": "it broke" }),
    );
    assert_eq!(
        (&*error.code, &*error.message),
        ("operationFailed", "it broke")
    );
}
