//! Tests the idempotency fingerprint: which payloads count as the same, and which do not.

#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use courier_core::catalogue::Catalogue;
use courier_core::config::credentials::Credentials;
use courier_core::config::{CallbackProfiles, Client, EventRules};
use courier_core::http::request::{NewOperation, parse};
use courier_core::operation::random_ids;
use courier_core::outbound::address::Allowed;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

static CLIENT: LazyLock<Client> = LazyLock::new(|| client("tickets"));

fn client(name: &str) -> Client {
    let operations = ["user.exportPersonalData", "team.schedule"];
    Client {
        name: name.to_owned(),
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

fn read<'a>(client: &'a Client, key: &str, body: &str) -> NewOperation<'a> {
    let now: Timestamp = "2026-11-21T20:00:00Z".parse().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", HeaderValue::from_str(key).unwrap());
    let allowed = Allowed::default();
    parse(
        body.as_bytes(),
        &headers,
        client,
        Catalogue::shipped(),
        &allowed,
        &random_ids(),
        now,
    )
    .unwrap_or_else(|problem| panic!("{problem:?}: {body}"))
}

/// The query of a SAS, in which two honest attempts at one export may differ in every field.
#[derive(Debug, Clone)]
struct Signature {
    query: Vec<(String, String)>,
    order: usize,
}

fn signature() -> impl Strategy<Value = Signature> {
    let hash = "[A-Za-z0-9]{42}A%3D";
    let guid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    let expiry = (2028..2090_u32, 1..13_u32).prop_map(|(y, m)| format!("{y}-{m:02}-01T00:00:00Z"));
    (
        hash,
        expiry,
        any::<bool>(),
        prop::option::of((guid, guid)),
        0..8_usize,
    )
        .prop_map(|(sig, expiry, ip, delegated, order)| {
            let mut query = vec![
                ("sv".to_owned(), "2024-11-04".to_owned()),
                ("sr".to_owned(), "c".to_owned()),
                ("sp".to_owned(), "acw".to_owned()),
                ("se".to_owned(), expiry.clone()),
                ("sig".to_owned(), sig),
            ];
            if ip {
                query.push(("sip".to_owned(), "0.0.0.0-255.255.255.255".to_owned()));
                query.push(("spr".to_owned(), "https".to_owned()));
            }
            if let Some((oid, tid)) = delegated {
                query.push(("skoid".to_owned(), oid));
                query.push(("sktid".to_owned(), tid));
                query.push(("ske".to_owned(), expiry));
                query.push(("sks".to_owned(), "b".to_owned()));
                query.push(("skv".to_owned(), "2024-11-04".to_owned()));
            }
            Signature { query, order }
        })
}

fn plain_signature() -> Signature {
    let signature = "sig=canary0123456789abcdefghijklmnopqrstuvwxyzA%3D";
    let query = ["sv=2024-11-04", "sr=c", "sp=aw", "se=2030-01-01", signature]
        .map(|field| field.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Signature {
        query: query.to_vec(),
        order: 0,
    }
}

fn export(container: &str, signature: &Signature, reference: &str) -> String {
    let mut fields = signature.query.clone();
    let turn = signature.order % fields.len();
    fields.rotate_left(turn);
    let query: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let url = format!(
        "https://contoso.blob.core.windows.net/{container}?{}",
        query.join("&")
    );
    json!({
        "operation": "user.exportPersonalData",
        "parameters": {
            "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
            "storageLocation": url,
        },
        "callback": { "url": "https://tickets.example/hook" },
        "reference": reference,
    })
    .to_string()
}

proptest! {
    #[test]
    fn new_sas_signature_keeps_id_and_fingerprint(
        first in signature(),
        second in signature(),
        container in "[a-z0-9]{3,20}",
        reference in "[A-Za-z0-9 äß漢]{1,40}",
    ) {
        let one = read(&CLIENT, "k", &export(&container, &first, &reference));
        let two = read(&CLIENT, "\"k\"", &export(&container, &second, &reference));
        prop_assert_eq!(&one.fingerprint, &two.fingerprint);
        prop_assert_eq!(&one.id, &two.id);
    }

    #[test]
    fn other_container_or_reference_changes_the_fingerprint_but_not_the_id(
        signature in signature(),
        containers in ("[a-z0-9]{3,20}", "[a-z0-9]{3,20}"),
        references in ("[A-Z0-9]{1,9}", "[A-Z0-9]{1,9}"),
    ) {
        let one = read(&CLIENT, "k", &export(&containers.0, &signature, &references.0));
        let two = read(&CLIENT, "k", &export(&containers.1, &signature, &references.1));
        let same = containers.0 == containers.1 && references.0 == references.1;
        prop_assert_eq!(one.fingerprint == two.fingerprint, same);
        prop_assert_eq!(one.id, two.id);
    }

    #[test]
    fn different_keys_or_clients_give_different_ids(
        one in "[!-~&&[^\"\\\\{]]{1,60}",
        two in "[!-~&&[^\"\\\\{]]{1,60}",
    ) {
        let other = client("hr");
        let body = export("c1x", &plain_signature(), "R");
        let id = |client, key: &str| read(client, key, &body).id;
        prop_assert_eq!(id(&CLIENT, &one) == id(&CLIENT, &two), one == two);
        prop_assert_ne!(id(&CLIENT, &one), id(&other, &one));
    }
}

#[test]
fn order_and_spacing_of_the_body_do_not_change_the_fingerprint() {
    let compact = r#"{"operation":"team.schedule","parameters":{"teamId":"871dbd5c-3a6a-4392-bfe1-042452793a50","schedule":{"enabled":true,"timeZone":"UTC"}}}"#;
    let spaced = r#"{ "parameters": { "schedule": { "timeZone": "UTC",
        "enabled": true }, "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50" }, "operation": "team.schedule" }"#;
    assert_eq!(
        read(&CLIENT, "k", compact).fingerprint,
        read(&CLIENT, "k", spaced).fingerprint
    );
    let mut changed: Value = serde_json::from_str(compact).unwrap();
    changed["parameters"]["schedule"]["timeZone"] = "Europe/Berlin".into();
    let other = changed.to_string();
    assert_ne!(
        read(&CLIENT, "k", compact).fingerprint,
        read(&CLIENT, "k", &other).fingerprint
    );
}

/// Returns an export with these parts of the payload; `None` leaves a part out.
fn export_with(callback: Option<&str>, reference: Option<&str>, deadline: Option<&str>) -> Value {
    let mut body: Value = serde_json::from_str(&export("dsar", &plain_signature(), "")).unwrap();
    body["callback"] = callback.map_or(Value::Null, |url| json!({ "url": url }));
    body["reference"] = reference.into();
    body["deadline"] = deadline.into();
    body
}

const URL: Option<&str> = Some("https://tickets.example/hook?token=canary");
const DEADLINE: Option<&str> = Some("2026-12-20T00:00:00Z");

#[test]
fn each_part_of_the_payload_changes_the_fingerprint() {
    let other = Some("https://tickets.example/");
    let mut user = export_with(URL, Some("R-1"), DEADLINE);
    user["parameters"]["userId"] = "871dbd5c-3a6a-4392-bfe1-042452793a50".into();
    let bodies = [
        user,
        export_with(URL, Some("R-1"), DEADLINE),
        export_with(other, Some("R-1"), DEADLINE),
        export_with(None, Some("R-1"), DEADLINE),
        export_with(URL, Some("R-2"), DEADLINE),
        export_with(URL, None, DEADLINE),
        export_with(None, None, DEADLINE),
    ];
    let fingerprints: BTreeSet<String> = bodies
        .iter()
        .map(|body| read(&CLIENT, "k", &body.to_string()).fingerprint)
        .collect();
    assert_eq!(fingerprints.len(), bodies.len());
}

#[test]
fn neither_the_deadline_nor_the_case_of_a_guid_changes_the_fingerprint() {
    let fingerprint = |body: &Value| read(&CLIENT, "k", &body.to_string()).fingerprint;
    let first = fingerprint(&export_with(URL, Some("R-1"), DEADLINE));
    for deadline in [
        None,
        Some("2026-12-20T00:00:00+00:00"),
        Some("2026-12-21T00:00:00Z"),
    ] {
        let mut body = export_with(URL, Some("R-1"), deadline);
        assert_eq!(fingerprint(&body), first, "{deadline:?}");
        body["parameters"]["userId"] = "6E7B768E-07E2-4810-8459-485F84F8F204".into();
        assert_eq!(fingerprint(&body), first, "{deadline:?}");
    }
    let mut schedule = json!({
        "operation": "team.schedule",
        "parameters": {
            "teamId": "871dbd5c-3a6a-4392-bfe1-042452793a50",
            "schedule": { "enabled": true, "timeZone": "UTC", "id": "871dbd5c-3a6a-4392-bfe1-042452793a50" },
        },
    });
    let first = fingerprint(&schedule);
    let inner = &mut schedule["parameters"]["schedule"]["id"];
    *inner = inner.as_str().unwrap().to_uppercase().into();
    assert_ne!(
        fingerprint(&schedule),
        first,
        "the catalogue does not call it a GUID"
    );
}

/// A replay may come weeks later, after an upgrade, and must still have the same id and one of the same fingerprints.
///
/// The hashes were made with Python's `hashlib` and `json`.
#[test]
fn ids_and_fingerprints_stay_the_same_after_an_upgrade() {
    let body = export_with(URL, Some("RITM-1"), DEADLINE).to_string();
    let operation = read(&CLIENT, "k", &body);
    assert_eq!(operation.id.as_str(), "op_4010cbc2292ad58716452a18346e5bc2");
    let schedule = r#"{"operation":"team.schedule","parameters":{"teamId":"871DBD5C-3a6a-4392-bfe1-042452793a50","schedule":{"enabled":true,"timeZone":"UTC"}}}"#;
    let now = [&body, schedule].map(|body| read(&CLIENT, "k", body).fingerprint);
    assert_eq!(
        now,
        [
            "4ab12dc0e4df30f6b85be655f4069681f1c61056e8b2c70b4535c14a19756811",
            "80d572dbcb15a24f2788c9cfb685ed9b09d96d2a837bc7f228160c1e2269d950",
        ]
    );
    let schedule = schedule.replace("DBD5C", "dbd5c");
    let formerly = [&body, &schedule].map(|body| read(&CLIENT, "k", body).former_fingerprint);
    assert_eq!(
        formerly,
        [
            "2faa1a72c117c74710aed3483b8be656c723e443bb90d6a492b8a264a795b66f",
            "289c2be59b00c1df9c02c75fc0f909c30068436327c18602c9d3b546998e548b",
        ]
    );
}
