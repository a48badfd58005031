//! A data file of the previous version, with operations in every state: today's program reads what is in it, answers as
//! the previous one did, and brings every operation to its end.
//!
//! `store-0.1.0.sql` is the file as the previous program left it, `store-0.1.0.json` what its API said just before.

use std::collections::BTreeMap;
use std::path::Path;

use courier_core::crypto::seal::{Sealed, Sealer};
use courier_core::crypto::secret::Secret;
use courier_core::operation::SealedField;
use courier_core::operation::{OperationId, Record, State};
use courier_core::time::milliseconds;
use courier_local::Database;
use courier_testkit::tenants::{FABRIKAM_KEY, SEAL_KEY, TICKETS_KEY};
use courier_testkit::world::{Answer, World};
use graph_simulator::{Action, Fault};
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

const STORE: &str = include_str!("../fixtures/store-0.1.0.sql");
const API: &str = include_str!("../fixtures/store-0.1.0.json");
const CLIENTS: [(&str, &str); 2] = [("tickets", TICKETS_KEY), ("fabrikam", FABRIKAM_KEY)];
/// A hundred are enough.
const JUMPS: usize = 500;
const ROTATION: &str = "refresh-token/contoso";

/// Every job is done, whoever asks.
const DONE: [(&str, &str); 3] = [
    (
        "export.poll",
        r#"{"id":"1","status":"complete","storageLocation":"https://contoso.blob.core.windows.net/dsar"}"#,
    ),
    ("goals.poll", r#"{"value":{"status":"succeeded"}}"#),
    (
        "schedule.poll",
        r#"{"id":"1","enabled":true,"provisionStatus":"Completed"}"#,
    ),
];

/// The previous version's file, not yet opened by this one.
fn old_file() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Connection::open(directory.path().join("courier.db")).unwrap();
    sqlite.execute_batch(STORE).unwrap();
    directory
}

fn sqlite(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join("courier.db")).unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(&Secret::new(SEAL_KEY)).unwrap()
}

/// The tables and indices of a file.
fn schema(directory: &TempDir) -> Vec<(String, Option<String>)> {
    let sqlite = sqlite(directory);
    let mut statement = sqlite
        .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_old_file_gets_the_schema_of_a_new_one() {
    let (old, new) = (old_file(), tempfile::tempdir().unwrap());
    for directory in [&old, &new] {
        drop(Database::open(&directory.path().join("courier.db")).unwrap());
    }
    assert_eq!(schema(&old), schema(&new));
}

#[test]
fn the_fixture_has_operations_in_every_state() {
    let states: Vec<String> = records(&sqlite(&old_file()))
        .iter()
        .map(|record| {
            let state = serde_json::to_value(&record.state).unwrap();
            let words = ["name", "outcome", "how"].map(|name| state[name].as_str());
            let words: Vec<&str> = words.into_iter().flatten().collect();
            words.join(" ")
        })
        .collect();
    let mut counts = BTreeMap::new();
    for state in &states {
        *counts.entry(state.as_str()).or_insert(0) += 1;
    }
    let expected = [
        ("accepted", 5),
        ("closed cancelled delivered", 1),
        ("closed expired delivered", 1),
        ("closed failed delivered", 2),
        ("closed succeeded delivered", 3),
        ("closed succeeded none", 2),
        ("closed succeeded undeliverable", 1),
        ("closed unknown delivered", 2),
        ("ended cancelled", 3),
        ("ended succeeded", 1),
        ("running", 9),
        ("startUnknown", 1),
        ("starting", 3),
    ];
    assert_eq!(counts, expected.into());
}

fn records(sqlite: &Connection) -> Vec<Record> {
    let stored = stored(sqlite).into_iter();
    stored
        .map(|(_, record)| serde_json::from_value(record).unwrap())
        .collect()
}

fn stored(sqlite: &Connection) -> Vec<(String, Value)> {
    let mut statement = sqlite.prepare("SELECT id, record FROM operations").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
    rows.unwrap()
        .map(Result::unwrap)
        .map(|(id, record)| (id, serde_json::from_str(&record).unwrap()))
        .collect()
}

/// Returns an operation's document as the previous version showed it: it told less of the callback.
fn as_before(mut operation: Value) -> Value {
    let callback = operation["callback"].as_object_mut().unwrap();
    for name in ["nextAttemptAt", "origin", "profile", "eventId"] {
        assert!(callback.remove(name).is_some(), "{name}");
    }
    if callback["status"] == "retrying" {
        callback["status"] = "pending".into();
    }
    operation
}

#[tokio::test]
async fn every_operation_of_the_previous_version_is_shown_as_before_and_comes_to_its_end() {
    let (world, recorded) = taken_over().await;
    for (client, key) in CLIENTS {
        let recorded = recorded[client].as_object().unwrap();
        assert_eq!(listed(&world, key, "").await.len(), recorded.len());
        for (id, recorded) in recorded {
            let path = format!("/v1/operations/{id}");
            assert_eq!(
                as_before(get(&world, key, &path).await.body),
                with_milliseconds(&recorded["operation"])
            );
            let history = get(&world, key, &format!("{path}/history")).await;
            assert_eq!(
                history.body["history"],
                with_milliseconds(&recorded["history"])
            );
        }
    }

    let before = records(&world_file(&world));
    let mut jumps = 0;
    while open(&world).await > 0 {
        assert!(world.jump().await, "nothing is due");
        jumps += 1;
        assert!(jumps < JUMPS, "it does not end");
    }
    let callbacks = world.receiver.journal();
    for record in before {
        let key = if record.client == "tickets" {
            TICKETS_KEY
        } else {
            FABRIKAM_KEY
        };
        let path = format!("/v1/operations/{}", record.id);
        let operation = get(&world, key, &path).await.body;
        assert_eq!(operation["status"], end_of(&record), "{operation}");
        let closed = matches!(record.state, State::Closed { .. });
        let owed = usize::from(!closed && record.callback.is_some());
        let id = record.id.as_str();
        let came = callbacks
            .iter()
            .filter(|callback| callback.header("ce-subject") == Some(id));
        assert_eq!(came.count(), owed, "{operation}");
        let history = get(&world, key, &format!("{path}/history")).await.body;
        let history = history["history"].as_array().unwrap();
        let recorded = with_milliseconds(&recorded[&record.client][id]["history"]);
        assert!(
            history.starts_with(recorded.as_array().unwrap()),
            "{operation}"
        );
    }
}

/// What becomes of a record once Graph says that every job is done.
fn end_of(record: &Record) -> &'static str {
    match &record.state {
        // The previous process died with the start in its hands.
        State::Starting { .. } if record.operation == "user.exportPersonalData" => "unknown",
        State::StartUnknown { .. } | State::Locating { .. } => "unknown",
        State::Accepted { .. } | State::Starting { .. } | State::Running { .. } => "succeeded",
        State::Ended { outcome } | State::Closed { outcome, .. } => outcome.as_str(),
    }
}

/// Returns a request with a signature of Azure's length. Those that were recorded are shorter, which the previous version
/// did not look at, and a repeat may carry another signature for the same container.
fn signed_anew(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(Value::String(sas)) = body.pointer_mut("/parameters/storageLocation") {
        let unsigned = sas.split("sig=").next().unwrap_or_default();
        *sas = format!("{unsigned}sig=CanarySignature%2B%2F0123456789abcdefABCDEFGHIA%3D");
    }
    body
}

#[tokio::test]
async fn a_request_that_the_previous_version_answered_is_known_when_it_comes_again() {
    let (world, recorded) = taken_over().await;
    let requests = recorded["requests"].as_object().unwrap();
    assert!(requests.len() > 25, "{}", requests.len());
    for (key, request) in requests {
        let headers = [
            ("x-api-key", request["key"].as_str().unwrap()),
            ("idempotency-key", key),
        ];
        let answer = world
            .post_with(&headers, &signed_anew(&request["body"]))
            .await;
        let known = |client: &str| recorded[client].get(answer.id()).is_some();
        // The key of a start that was refused is free again: its request begins a new operation.
        if let Some(previous) = answer.body["previous"].as_str() {
            let kept = world.operation(previous).await;
            assert_eq!(kept["reason"], "start_rejected", "{key}: {kept}");
            continue;
        }
        let replayed = answer.header("idempotency-replayed");
        assert_eq!(replayed, Some("true"), "{key}: {answer:?}");
        assert!(known("tickets") || known("fabrikam"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_wrong_seal_key_does_not_take_over_the_previous_versions_file() {
    let world = World::with(|setup| {
        setup.config = setup.config.replace("env:SEAL_KEY", "env:SEAL_KEY_NEW");
        setup.data = Some(old_file());
    })
    .await;
    let refused = world.app.deployment().await.err().unwrap();
    let words = "the data here was sealed with another key; the configured key has the id ";
    assert!(refused.to_string().contains(words), "{refused}");
    let sql = "SELECT count(*) FROM documents WHERE key = 'deployment'";
    let made: i64 = world_file(&world)
        .query_row(sql, [], |row| row.get(0))
        .unwrap();
    assert_eq!(made, 0);
}

#[tokio::test]
async fn lists_of_the_previous_versions_operations_can_be_filtered() {
    let (world, recorded) = taken_over().await;
    let recorded = recorded["tickets"].as_object().unwrap();
    let count = |name: &str, value: &str| {
        let all = recorded.values();
        all.filter(|one| one["operation"][name] == value).count()
    };
    for (name, value) in [
        ("status", "running"),
        ("status", "succeeded"),
        ("status", "starting"),
        ("operation", "goals.exportJob"),
        ("reference", "RITM0000002"),
    ] {
        let found = listed(&world, TICKETS_KEY, &format!("?{name}={value}")).await;
        assert!(!found.is_empty());
        assert_eq!(found.len(), count(name, value), "{name}={value}");
    }
}

/// A World on the previous version's file at the time it was left, and what the previous API said.
///
/// Graph knows only the refresh token that the previous version got in exchange for the configured one.
async fn taken_over() -> (World, Value) {
    let api: Value = serde_json::from_str(API).unwrap();
    let data = old_file();
    let rotated = rotated_token(&sqlite(&data));
    let world = World::with(|setup| {
        setup
            .clock
            .set(api["at"].as_str().unwrap().parse().unwrap());
        setup.simulator.refresh_token = Some(rotated);
        let faults = DONE.map(|(call, body)| Fault::new(call, Action::body(body)).times(0));
        setup.simulator.faults = faults.into();
        // The previous receiver's, for requests that come again.
        let origins = format!("{{receiver}}\", \"{}", api["receiver"].as_str().unwrap());
        setup.config = setup.config.replace("{receiver}", &origins);
        setup.data = Some(data);
        setup.prepare = move_peers;
    })
    .await;
    let graph = world.simulator.base_url();
    let api = API.replace("{graph}", &graph);
    let api = api.replace("{receiver}", &world.receiver.origin());
    (world, serde_json::from_str(&api).unwrap())
}

fn rotated_token(sqlite: &Connection) -> String {
    let sql = "SELECT body FROM documents WHERE key = ?";
    let body: String = sqlite.query_row(sql, [ROTATION], |row| row.get(0)).unwrap();
    let rotation: Value = serde_json::from_str(&body).unwrap();
    let sealed: Sealed = serde_json::from_value(rotation["token"].clone()).unwrap();
    sealer()
        .open(ROTATION, &sealed)
        .unwrap()
        .expose()
        .to_owned()
}

/// What the previous version showed, with its times as they are written now: always with three decimals.
fn with_milliseconds(shown: &Value) -> Value {
    let mut shown = shown.clone();
    match &mut shown {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = with_milliseconds(item)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let time: Option<Timestamp> = field.as_str().and_then(|text| text.parse().ok());
                let ours = [
                    "createdAt",
                    "startedAt",
                    "endedAt",
                    "deadline",
                    "nextPollAt",
                    "at",
                ];
                *field = match time.filter(|_| ours.contains(&name.as_str())) {
                    Some(time) => milliseconds(time).into(),
                    None => with_milliseconds(field),
                };
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    shown
}

fn world_file(world: &World) -> Connection {
    Connection::open(world.data_file()).unwrap()
}

/// Graph and the receiver have other ports than those of the previous version had.
fn move_peers(file: &Path, graph: &str, receiver: &str) {
    let sqlite = Connection::open(file).unwrap();
    let moved =
        "UPDATE operations SET record = replace(replace(record, '{graph}', ?1), '{receiver}', ?2)";
    sqlite.execute(moved, [graph, receiver]).unwrap();
    let moved = "UPDATE queue SET message = replace(message, '{graph}', ?1)";
    sqlite.execute(moved, [graph]).unwrap();
    for (id, mut record) in stored(&sqlite) {
        let place = SealedField::CallbackUrl.seal_context(&OperationId::parse(&id).unwrap());
        let url = &mut record["callback"]["url"];
        if url.is_null() {
            continue;
        }
        let sealed: Sealed = serde_json::from_value(url.take()).unwrap();
        let old = sealer().open(&place, &sealed).unwrap();
        let (_, path) = old.expose().split_once("/hooks").unwrap();
        let new = Secret::new(format!("{receiver}/hooks{path}"));
        *url = serde_json::to_value(sealer().seal(&place, &new)).unwrap();
        let sql = "UPDATE operations SET record = ? WHERE id = ?";
        sqlite.execute(sql, [&record.to_string(), &id]).unwrap();
    }
}

async fn open(world: &World) -> usize {
    let mut open = 0;
    for (_, key) in CLIENTS {
        let listed = listed(world, key, "").await;
        let operations = listed.iter().filter(|one| {
            let waits = ["pending", "retrying"].map(Value::from);
            one["endedAt"].is_null() || waits.contains(&one["callback"]["status"])
        });
        open += operations.count();
    }
    open
}

async fn listed(world: &World, key: &str, query: &str) -> Vec<Value> {
    let page = get(world, key, &format!("/v1/operations{query}")).await;
    assert_eq!((page.status, &page.body["next"]), (200, &Value::Null));
    page.body["operations"].as_array().unwrap().clone()
}

async fn get(world: &World, key: &str, path: &str) -> Answer {
    world.call("GET", path, &[("x-api-key", key)], "").await
}
