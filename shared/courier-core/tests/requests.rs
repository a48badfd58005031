//! Tests the way from a request's bytes to its record: the places of mistakes, keys, bounds, and what an upgrade keeps.

#![cfg(test)]

use std::collections::BTreeSet;

use courier_core::catalogue::Catalogue;
use courier_core::catalogue::schema::Violation;
use courier_core::config::credentials::Credentials;
use courier_core::config::{CallbackProfiles, Client, EventRules};
use courier_core::crypto::seal::Sealer;
use courier_core::crypto::secret::Secret;
use courier_core::http::problem::Problem;
use courier_core::http::request::{NewOperation, parse};
use courier_core::operation::SealedField;
use courier_core::operation::random_ids;
use courier_core::operation::{Delivery, GraphView, OperationId, State};
use courier_core::outbound::address::Allowed;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const SAS: &str = "https://contoso.blob.core.windows.net/dsar?sv=2024-11-04&sr=c&sp=acw&se=2029-01-01T00:00:00Z&sig=canary0123456789abcdefghijklmnopqrstuvwxyzA%3D";
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

fn now() -> Timestamp {
    "2026-11-21T20:00:00Z".parse().unwrap()
}

fn client() -> Client {
    let operations = ["user.exportPersonalData", "team.schedule"];
    Client {
        name: "tickets".to_owned(),
        tenant: "contoso".to_owned(),
        credentials: Credentials::default(),
        requests_per_minute: 600,
        max_open_operations: 20_000,
        operations: BTreeSet::from(operations.map(str::to_owned)),
        storages: BTreeSet::new(),
        callback_origins: vec!["https://tickets.example".to_owned()],
        signing_secrets: Vec::new(),
        profiles: CallbackProfiles::default(),
        events: true,
        event_rules: EventRules::default(),
    }
}

fn read<'a>(
    client: &'a Client,
    headers: &[(&'static str, &str)],
    body: &Value,
) -> Result<NewOperation<'a>, Problem> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(HeaderName::from_static(name), value);
    }
    let (body, allowed) = (body.to_string(), Allowed::default());
    parse(
        body.as_bytes(),
        &map,
        client,
        Catalogue::shipped(),
        &allowed,
        &random_ids(),
        now(),
    )
}

fn export() -> Value {
    json!({
        "operation": "user.exportPersonalData",
        "parameters": { "userId": "6e7b768e-07e2-4810-8459-485f84f8f204", "storageLocation": SAS },
        "callback": { "url": "https://tickets.example/hook?token=canary" },
        "reference": "RITM-1",
        "deadline": "2026-12-20T00:00:00Z",
    })
}

fn schedule() -> Value {
    json!({
        "operation": "team.schedule",
        "parameters": { "teamId": TEAM, "schedule": { "enabled": true, "timeZone": "UTC" } },
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// Returns every broken rule, each with its place.
fn mistakes(body: &Value) -> Vec<(String, String)> {
    let client = client();
    let pair = |violation: Violation| (violation.pointer, violation.rule);
    match read(&client, &[("idempotency-key", "k")], body).err() {
        Some(Problem::InvalidRequest(errors)) => errors.into_iter().map(pair).collect(),
        other => panic!("{other:?}: {body}"),
    }
}

fn mistaken(body: &Value, expected: &[(&str, &str)]) {
    let mistakes = mistakes(body);
    let found: Vec<(&str, &str)> = mistakes.iter().map(|(at, rule)| (&**at, &**rule)).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn field_of_the_wrong_type_is_reported_by_its_place() {
    let string = "must be a string";
    let object = "must be an object";
    mistaken(&json!([]), &[("", object)]);
    mistaken(
        &json!({}),
        &[
            ("/operation", "is required"),
            ("/parameters", "is required"),
        ],
    );
    for wrong in [json!(1), json!(true), json!(["a"])] {
        mistaken(
            &with(schedule(), "reference", wrong.clone()),
            &[("/reference", string)],
        );
        mistaken(
            &with(schedule(), "deadline", wrong.clone()),
            &[("/deadline", string)],
        );
        mistaken(
            &with(schedule(), "callback", wrong.clone()),
            &[("/callback", object)],
        );
        mistaken(
            &with(schedule(), "operation", wrong),
            &[("/operation", string)],
        );
    }
    mistaken(
        &with(schedule(), "operation", Value::Null),
        &[("/operation", string)],
    );
    mistaken(
        &with(schedule(), "operation", "team.x".into()),
        &[("/operation", "is not a known operation")],
    );
    mistaken(
        &with(schedule(), "a/b~c", Value::Null),
        &[("/a~1b~0c", "is not a known field")],
    );
    let url = |url: Value| with(schedule(), "callback", url);
    mistaken(&url(json!({})), &[("/callback/url", "is required")]);
    mistaken(&url(json!({ "url": 1 })), &[("/callback/url", string)]);
    let known = json!({ "url": "https://tickets.example/", "a/~": 1 });
    mistaken(&url(known), &[("/callback/a~1~0", "is not a known field")]);
    mistaken(
        &url(json!({ "url": "http://tickets.example/" })),
        &[("/callback/url", "must be https")],
    );
    let parameters = mistakes(&with(schedule(), "parameters", json!("x")));
    assert!(parameters.contains(&("/parameters".to_owned(), object.to_owned())));
    assert!(!parameters.contains(&("/parameters".to_owned(), "is required".to_owned())));
}

#[test]
fn optional_fields_may_be_null() {
    let client = client();
    for name in ["callback", "reference", "deadline"] {
        assert!(read(&client, &[], &with(schedule(), name, Value::Null)).is_ok());
    }
}

#[test]
fn reference_has_1_to_256_characters_and_no_control_character() {
    let rule = "must have 1 to 256 characters, none of them a control";
    let long = "漢".repeat(257);
    for bad in ["", "a\nb", "\u{7f}", "\u{85}", &long] {
        mistaken(
            &with(schedule(), "reference", bad.into()),
            &[("/reference", rule)],
        );
    }
    let client = client();
    for good in ["a", " ", &long["漢".len()..]] {
        let body = with(schedule(), "reference", good.into());
        let record = read(&client, &[], &body).unwrap();
        assert_eq!(
            record.id,
            OperationId::from_key("tickets", &format!("reference team.schedule {good}"))
        );
    }
}

#[test]
fn only_the_clients_operations_and_origins_are_accepted() {
    let goals = json!({ "operation": "goals.exportJob", "parameters": {} });
    let client = client();
    let refused = |body| read(&client, &[], &body).err();
    assert!(matches!(refused(goals), Some(Problem::OperationForbidden)));
    let elsewhere = json!({ "url": "https://other.example/" });
    let elsewhere = with(schedule(), "callback", elsewhere);
    assert!(matches!(
        refused(elsewhere),
        Some(Problem::CallbackForbidden { .. })
    ));
}

/// Returns the violations that matter only if the request is new.
fn late(deadline: &str) -> Vec<String> {
    let client = client();
    let body = with(schedule(), "deadline", deadline.into());
    let operation = read(&client, &[], &body).unwrap();
    let late = operation.late.into_iter();
    late.map(|violation| format!("{} {}", violation.pointer, violation.rule))
        .collect()
}

#[test]
fn deadline_must_lie_in_the_future_and_within_366_days() {
    let furthest = now() + SignedDuration::from_hours(366 * 24);
    let second = SignedDuration::from_secs(1);
    for good in [now() + second, furthest - second, furthest] {
        assert_eq!(late(&good.to_string()), [""; 0], "{good}");
    }
    for past in [now() - second, now()] {
        assert_eq!(
            late(&past.to_string()),
            ["/deadline must lie in the future"]
        );
    }
    let far = (furthest + second).to_string();
    assert_eq!(late(&far), ["/deadline must lie within 366 days"]);
    let rule = "must be an RFC 3339 time such as 2026-12-20T00:00:00Z";
    mistaken(
        &with(schedule(), "deadline", "soon".into()),
        &[("/deadline", rule)],
    );
}

#[test]
fn sas_that_expires_before_the_deadline_is_a_violation_only_of_a_new_request() {
    let client = client();
    let body = with(export(), "deadline", "2027-01-01T00:00:00Z".into());
    let mut short = body.clone();
    short["parameters"]["storageLocation"] = SAS.replace("2029-01-01", "2026-12-31").into();
    assert!(read(&client, &[], &body).unwrap().late.is_empty());
    let late = read(&client, &[], &short).unwrap().late;
    let [violation] = &*late else {
        panic!("{late:?}")
    };
    assert_eq!(violation.pointer, "/parameters/storageLocation");
    let mut readable = body;
    readable["parameters"]["storageLocation"] = SAS.replace("sp=acw", "sp=racw").into();
    let place = "/parameters/storageLocation";
    mistaken(&readable, &[(place, "must not allow read (sp=r)")]);
}

#[test]
fn idempotency_key_is_1_to_255_printable_characters_quoted_or_bare() {
    let client = client();
    let id = |values: &[&str]| {
        let headers: Vec<_> = values
            .iter()
            .map(|value| ("idempotency-key", *value))
            .collect();
        read(&client, &headers, &schedule()).map(|operation| operation.id)
    };
    let long = "k".repeat(255);
    for (header, key) in [
        ("k", "k"),
        ("\"k\"", "k"),
        ("  k  ", "k"),
        ("a b", "a b"),
        (r#""a\"b\\c""#, r#"a"b\c"#),
        (r"a\b", r"a\b"),
        ("~ !", "~ !"),
        (&long, &long),
    ] {
        let expected = OperationId::from_key("tickets", &format!("key {key}"));
        assert_eq!(id(&[header]).ok(), Some(expected), "{header}");
    }
    let longer = "k".repeat(256);
    let rule = "must be 1 to 255 printable ASCII characters, quoted or bare";
    for bad in [
        "", " ", "\"\"", "\" \"", "a\"b", "\"a", "\"a\"b\"", r#""a\b""#, r#""a\""#, "ü", "a\tb",
        &longer,
    ] {
        match id(&[bad]) {
            Err(Problem::InvalidHeader { name, rule: found }) => {
                assert_eq!((name, found), ("Idempotency-Key", rule), "{bad}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    let twice = id(&["k", "k"]).err();
    let expected = "must be sent once";
    assert!(matches!(twice, Some(Problem::InvalidHeader { rule, .. }) if rule == expected));
}

#[test]
fn reference_replaces_a_missing_key_and_without_both_only_repeatable_operations_pass() {
    let client = client();
    let id = |body: &Value| read(&client, &[], body).map(|operation| operation.id);
    let referred = OperationId::from_key("tickets", "reference user.exportPersonalData RITM-1");
    assert_eq!(id(&export()).ok(), Some(referred));
    let unnamed = with(export(), "reference", Value::Null);
    let rule = "is required for this operation unless the body has a reference";
    let refused = id(&unnamed).err();
    assert!(matches!(refused, Some(Problem::InvalidHeader { rule: found, .. }) if found == rule));
    assert_ne!(id(&schedule()).unwrap(), id(&schedule()).unwrap());
}

#[test]
fn only_a_complete_trace_context_is_passed_on() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (text, valid) in [
        (good.to_owned(), true),
        (good.replace("00-", "ff-"), false),
        (good.replace("0af7", "0AF7"), false),
        (good.replace("0af7", "0ag7"), false),
        (good.replace("0af7", "0a/7"), false),
        (good.replace("0af7", "0a`7"), false),
        (format!("{good}-00"), false),
        (good.replace("-01", "-001"), false),
        (good.replace("-01", ""), false),
        (String::new(), false),
    ] {
        let client = client();
        let operation = read(&client, &[("traceparent", &text)], &schedule()).unwrap();
        let record = operation.record(&sealer(), now(), now());
        assert_eq!(record.traceparent, valid.then_some(text.clone()), "{text}");
    }
}

fn sealer() -> Sealer {
    Sealer::new(&Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
}

#[test]
fn new_record_contains_the_request_with_its_secrets_sealed() {
    let client = client();
    let due = now() + SignedDuration::from_secs(75);
    let operation = read(&client, &[("idempotency-key", "k")], &export()).unwrap();
    assert_eq!(operation.operation().name, "user.exportPersonalData");
    let record = operation.record(&sealer(), due, now());
    let open = |field: SealedField, sealed| {
        let context = field.seal_context(&record.id);
        sealer().open(&context, sealed).unwrap()
    };
    let sealed = record.sealed_parameters.as_ref().unwrap();
    let secrets = open(SealedField::Parameters, sealed);
    let expected = json!({ "storageLocation": SAS });
    assert_eq!(secrets.expose().parse::<Value>().unwrap(), expected);
    let callback = record.callback.as_ref().unwrap();
    let url = open(SealedField::CallbackUrl, &callback.url);
    assert_eq!(url.expose(), "https://tickets.example/hook?token=canary");
    assert_eq!(callback.origin, "https://tickets.example");
    let parameters = json!({
        "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
        "storageLocation": "https://contoso.blob.core.windows.net/dsar",
    });
    assert_eq!(Value::Object(record.parameters.clone()), parameters);
    assert_eq!(record.id, OperationId::from_key("tickets", "key k"));
    assert_eq!((record.revision, record.attempt, record.epoch), (1, 0, 0));
    assert_eq!((&*record.client, &*record.tenant), ("tickets", "contoso"));
    assert_eq!(record.operation, "user.exportPersonalData");
    assert_eq!(record.reference.as_deref(), Some("RITM-1"));
    assert_eq!((record.created_at, record.due_at), (now(), Some(due)));
    assert_eq!(record.deadline, "2026-12-20T00:00:00Z".parse().unwrap());
    assert_eq!(record.state, State::Accepted { not_before: now() });
    assert_eq!(record.graph, GraphView::default());
    assert_eq!(record.delivery, Delivery::default());
    let [line] = &*record.history else {
        panic!("{:?}", record.history)
    };
    assert_eq!(
        (line.at, &*line.status, &*line.event),
        (now(), "accepted", "accepted")
    );
    let stored = serde_json::to_string(&record).unwrap();
    assert!(!stored.contains("canary"), "{stored}");

    let parsed = read(&client, &[], &schedule()).unwrap();
    let plain = parsed.record(&sealer(), due, now());
    assert_eq!((&plain.sealed_parameters, &plain.callback), (&None, &None));
    assert_eq!(plain.deadline, now() + SignedDuration::from_hours(1));
}

/// A secret that was sealed before an upgrade must open after it, so the contexts must never change.
#[test]
fn secrets_are_sealed_for_one_field_of_one_operation() {
    let id = OperationId::parse("op_0123456789abcdef0123456789abcdef").unwrap();
    for (field, name) in [
        (SealedField::Parameters, "parameters"),
        (SealedField::CallbackUrl, "callback"),
        (SealedField::TaskToken, "token"),
    ] {
        assert_eq!(field.seal_context(&id), format!("{id}/{name}"));
    }
}
