//! Invalid requests: each is refused with rule and pointer; the answer contains no secret, nothing is stored, and
//! nothing is called.

use courier_testkit::world::{Answer, CALLBACK_TOKEN, SAS_SIGNATURE, Setup, World};
use serde_json::{Value, json};

/// Expected status, last part of the problem type, pointer or header, and part of the rule.
pub(crate) type Refusal<'a> = (u16, &'a str, &'a str, &'a str);

const INVALID: &str = "invalid-request";

/// Configures receivers at public origins only, as in production.
pub(crate) fn public(setup: &mut Setup) {
    setup.config = setup
        .config
        .replace("{receiver}", "https://hooks.example")
        .replace("\"127.0.0.0/8\"", "");
}

pub(crate) fn export() -> Value {
    json!({
        "operation": "user.exportPersonalData",
        "parameters": {
            "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
            "storageLocation": courier_testkit::world::sas("dsar"),
        },
        "callback": { "url": format!("https://hooks.example/graph?token={CALLBACK_TOKEN}") },
        "reference": "RITM-1",
    })
}

pub(crate) fn schedule() -> Value {
    json!({
        "operation": "team.schedule",
        "parameters": {
            "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50",
            "schedule": { "enabled": true, "timeZone": "America/Chicago" },
        },
        "callback": { "url": format!("https://hooks.example/graph?token={CALLBACK_TOKEN}") },
    })
}

pub(crate) fn check(answer: &Answer, (status, problem, place, rule): Refusal<'_>, name: &str) {
    let name: String = name.chars().take(200).collect();
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    assert_eq!(answer.problem(), problem, "{name}: {answer:?}");
    assert_eq!(answer.body["status"], status, "{name}");
    let text = answer.body.to_string();
    for secret in ["canary", SAS_SIGNATURE, CALLBACK_TOKEN, "contoso.blob"] {
        assert!(!text.contains(secret), "{name}: {text}");
    }
    let none = Vec::new();
    let errors = answer.body["errors"].as_array().unwrap_or(&none);
    let found = errors.iter().any(|error| {
        let pointer = error["pointer"].as_str();
        let at = pointer.or_else(|| error["header"].as_str());
        at == Some(place) && error["rule"].as_str().unwrap().contains(rule)
    });
    let expected = !(place.is_empty() && rule.is_empty());
    assert_eq!(found, expected, "{name}: {place} {rule}: {text}");
}

/// Checks that nothing was stored or queued, and that neither Graph nor a receiver was called.
pub(crate) async fn assert_untouched(world: &World) {
    let list = world.get("/v1/operations").await;
    assert_eq!(list.body, json!({ "operations": [], "next": null }));
    assert!(world.simulator.journal().is_empty());
    assert!(world.receiver.journal().is_empty());
    assert!(world.database.next_due().is_none());
}

/// Checks that each body is refused as expected; an idempotency key is sent, so that its lack is never the reason.
pub(crate) async fn all_refused(cases: Vec<(Vec<u8>, Refusal<'_>)>) {
    let world = World::with(public).await;
    for (body, refusal) in cases {
        let name = String::from_utf8_lossy(&body).into_owned();
        let headers = [("idempotency-key", "k")];
        let answer = world.call("POST", "/v1/operations", &headers, body).await;
        check(&answer, refusal, &name);
    }
    assert_untouched(&world).await;
}

/// Returns `body` with the value at `pointer` replaced or added.
fn with(mut body: Value, pointer: &str, value: Value) -> Vec<u8> {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body.to_string().into_bytes()
}

fn without(mut body: Value, pointer: &str) -> Vec<u8> {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(name).unwrap();
    body.to_string().into_bytes()
}

#[tokio::test]
async fn the_unchanged_bodies_of_these_tests_are_accepted() {
    for body in [export(), schedule()] {
        let world = World::with(public).await;
        let answer = world.post(&body).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"running".into())
        );
    }
}

#[tokio::test]
async fn unknown_fields_of_our_own_objects_are_refused() {
    let unknown = |pointer| (400, INVALID, pointer, "is not a known field");
    let unknown_fields = [
        (export(), "/Operation"),
        (export(), "/adopted"),
        (export(), "/callback/secret"),
        (export(), "/parameters/UserId"),
        (export(), "/parameters/__proto__"),
        (schedule(), "/parameters/storageLocation"),
    ];
    let case = |(body, pointer)| (with(body, pointer, json!("canary")), unknown(pointer));
    let mut cases: Vec<_> = unknown_fields.into_iter().map(case).collect();
    cases.push((
        br#"{"a/b~c":1}"#.to_vec(),
        (400, INVALID, "/a~1b~0c", "is not a known field"),
    ));
    all_refused(cases).await;
}

#[tokio::test]
async fn wrong_types_and_missing_fields_are_refused_with_their_pointer() {
    let string = "must be a string";
    let object = "must be an object";
    let required = "is required";
    let mut cases = Vec::new();
    for value in [json!(7), json!(true), json!([]), json!({})] {
        for (pointer, rule) in [
            ("/operation", string),
            ("/reference", string),
            ("/deadline", string),
            ("/callback/url", string),
            ("/parameters/userId", string),
            ("/parameters/storageLocation", string),
        ] {
            let body = with(export(), pointer, value.clone());
            cases.push((body, (400, INVALID, pointer, rule)));
        }
    }
    for value in [json!(7), json!("canary"), json!([]), json!([{}])] {
        for pointer in ["/parameters", "/callback", "/parameters/schedule"] {
            let body = with(schedule(), pointer, value.clone());
            cases.push((body, (400, INVALID, pointer, object)));
        }
    }
    for (pointer, rule) in [
        ("/operation", string),
        ("/parameters", object),
        ("/parameters/userId", string),
        ("/callback/url", string),
    ] {
        let place = (400, INVALID, pointer, required);
        cases.push((without(export(), pointer), place));
        let null = with(export(), pointer, Value::Null);
        cases.push((null, (400, INVALID, pointer, rule)));
    }
    for pointer in [
        "/parameters/schedule/enabled",
        "/parameters/schedule/timeZone",
    ] {
        let place = (400, INVALID, pointer, required);
        cases.push((without(schedule(), pointer), place));
    }
    for whole in ["null", "true", "7", "\"canary\"", "[]", "[{}]"] {
        let place = (400, INVALID, "", "must be an object");
        cases.push((whole.into(), place));
    }
    all_refused(cases).await;
}

#[tokio::test]
async fn values_out_of_bounds_are_refused_with_their_pointer() {
    let mut cases = Vec::new();
    let mut add = |body: Value, pointer: &'static str, value: Value, rule: &'static str| {
        cases.push((with(body, pointer, value), (400, INVALID, pointer, rule)));
    };
    for name in [
        "",
        "canary",
        "USER.exportPersonalData",
        "user.exportPersonalData\0",
    ] {
        add(
            export(),
            "/operation",
            name.into(),
            "is not a known operation",
        );
    }
    for id in [
        "",
        "someone@contoso.example",
        "6e7b768e-07e2-4810-8459-485f84f8f20",
        "{6e7b768e-07e2-4810-8459-485f84f8f204}",
        "6e7b768e07e248108459485f84f8f204",
        "6e7b768e-07e2-4810-8459-485f84f8f204/../x",
        "6e7b768e-07e2-4810-8459-485f84f8f20g",
        "6e7b768e-07e2-4810-8459-485f84f8f204\n",
    ] {
        add(export(), "/parameters/userId", id.into(), "must be a GUID");
        add(
            schedule(),
            "/parameters/teamId",
            id.into(),
            "must be a GUID",
        );
        add(
            schedule(),
            "/parameters/actsAs",
            id.into(),
            "must be a GUID",
        );
    }
    for value in [json!("true"), json!(1), Value::Null] {
        let rule = "must be true or false";
        add(schedule(), "/parameters/schedule/enabled", value, rule);
    }
    let zone = "/parameters/schedule/timeZone";
    add(schedule(), zone, json!(7), "must be a string");
    let control = "1 to 256 characters, none of them a control";
    for reference in ["", "a\u{0}", "a\nb", "\u{7f}", "a\u{85}"] {
        add(export(), "/reference", reference.into(), control);
    }
    add(export(), "/reference", "ü".repeat(257).into(), control);
    for deadline in [
        "",
        "tomorrow",
        "2026-12-20",
        "2026-12-20T00:00:00",
        "2026-13-20T00:00:00Z",
        "2026-12-20T25:00:00Z",
        "1766188800",
    ] {
        add(export(), "/deadline", deadline.into(), "RFC 3339");
    }
    for deadline in [
        "2026-11-21T20:00:00Z",
        "2026-11-21T20:30:00+01:00",
        "0001-01-01T00:00:00Z",
    ] {
        add(
            export(),
            "/deadline",
            deadline.into(),
            "must lie in the future",
        );
    }
    for deadline in ["2027-11-22T20:00:01Z", "9999-12-30T00:00:00Z"] {
        add(schedule(), "/deadline", deadline.into(), "within 366 days");
    }
    all_refused(cases).await;
}

#[tokio::test]
async fn all_errors_of_a_request_are_reported_at_once() {
    let world = World::with(public).await;
    let body = json!({
        "adopted": true,
        "zebra": 1,
        "operation": "team.schedule",
        "parameters": { "teamId": "x", "schedule": { "enabled": "no", "canaries": 1 } },
        "callback": {},
        "reference": "",
        "deadline": "soon",
    });
    let answer = world.post(&body).await;
    let mut pointers: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    let expected = [
        "/adopted",
        "/callback/url",
        "/deadline",
        "/parameters/schedule/enabled",
        "/parameters/schedule/timeZone",
        "/parameters/teamId",
        "/reference",
        "/zebra",
    ];
    assert_eq!(pointers, expected);
    assert_untouched(&world).await;
}

/// Graph's own answer to a GET is a body that it takes for a PUT; what Graph does not want, it ignores or refuses itself.
#[tokio::test]
async fn a_schedule_that_graph_has_answered_with_is_sent_back_untouched() {
    let world = World::with(public).await;
    let team = "871dbd5c-3a6a-4392-bfe1-042452793a50";
    let schedule = format!(
        r##"{{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#teams('{team}')/schedule/$entity","@odata.etag":"W/\"1\"","id":"{team}","timeZone":"America/Chicago","enabled":true,"provisionStatus":"Completed","provisionStatusCode":null,"timeClockEnabled":false,"timeClockSettings":null,"workforceIntegrationIds":[],"startDayOfWeek@odata.type":"#microsoft.graph.dayOfWeek","startDayOfWeek":"Sunday","approvedLocation":{{"altitude":1024.13,"latitude":26.13246,"longitude":-24.34616,"exact":9007199254740993,"low":-9223372036854775808,"high":18446744073709551615}},"unknown \u00e9":[null,[],{{}}]}}"##
    );
    let text = format!(
        r#"{{"operation":"team.schedule","parameters":{{"schedule":{schedule},"teamId":"{team}"}}}}"#
    );
    let answer = world.call("POST", "/v1/operations", &[], text).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let starts = world.simulator.calls("schedule.start");
    let sent = starts[0].body.as_ref().unwrap().to_string();
    assert_eq!(sent, schedule.replace("\\u00e9", "é"));
}
