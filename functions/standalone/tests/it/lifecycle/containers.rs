//! Exports that name a storage: their container is made before the start, and a storage that fails costs nothing but time.

use std::time::Duration;

use courier_testkit::tenants;
use courier_testkit::world::{World, sas};
use graph_simulator::{Action, Entry, Fault, STORAGE_ACCOUNT};
use serde_json::{Value, json};

const USER: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";
/// Timeout of the storage in these tests.
const STORAGE_TIMEOUT: Duration = Duration::from_millis(300);

async fn world() -> World {
    World::with(|setup| {
        setup.config = tenants::config_with_storages();
        setup.timeouts.storage = STORAGE_TIMEOUT;
        // So the result cannot come from Graph.
        setup.simulator.behaviour.export.null_storage_location = true;
    })
    .await
}

fn export(world: &World, storage: &str, ticket: &str) -> Value {
    let mut body = world.export("unused");
    body["reference"] = ticket.into();
    body["parameters"] = json!({ "userId": USER, "storage": storage });
    body
}

fn container(world: &World, id: &str) -> String {
    let name = id.replace('_', "-");
    format!("{}/{STORAGE_ACCOUNT}/{name}", world.simulator.base_url())
}

fn statuses(calls: &[Entry]) -> Vec<Option<u16>> {
    calls.iter().map(|call| call.status).collect()
}

/// Returns the details of the lines of the history with this event.
async fn details(world: &World, id: &str, event: &str) -> Vec<String> {
    let answer = world.get(&format!("/v1/operations/{id}/history")).await;
    let lines = answer.body["history"].as_array().unwrap();
    let lines = lines.iter().filter(|line| line["event"] == event);
    lines
        .map(|line| line["detail"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_export_that_names_its_storage_has_one_container_however_often_it_is_asked_for_and_started()
 {
    let world = world().await;
    let later = Action::throttled(429, Some("90"));
    world.simulator.script(Fault::new("export.start", later));
    let body = export(&world, "dsar-eu", "RITM-1");
    let (first, again) = tokio::join!(world.post(&body), world.post(&body));
    assert_eq!((first.status, again.status), (202, 202));
    let id = first.id();
    assert_eq!(again.id(), id);
    let closed = world.closed(&id).await;
    assert_eq!(closed["status"], "succeeded", "{closed}");
    let container = container(&world, &id);
    assert_eq!(closed["result"]["storageLocation"], container.as_str());
    let made = world.simulator.calls("storage.container");
    assert_eq!(statuses(&made), [Some(201), Some(409)]);
    let claims = details(&world, &id, "startClaimed").await;
    let claim = |attempt: u8| format!("attempt {attempt}, into {container}");
    assert_eq!(claims, [claim(1), claim(2)]);
    // The right to write is signed anew for each start, and is for what an export needs.
    let starts = world.simulator.calls("export.start");
    let signed = starts.iter().map(|start| {
        let body = start.body.as_ref().unwrap();
        body["storageLocation"].as_str().unwrap()
    });
    let signed: Vec<&str> = signed.collect();
    assert_ne!(signed[0], signed[1]);
    for url in signed {
        let query = url.strip_prefix(&format!("{container}?")).unwrap();
        assert!(query.contains("&sr=c&sp=aw&"), "{query}");
    }
}

#[tokio::test]
async fn a_storage_that_refuses_its_key_is_asked_once_for_all_while_others_go_on() {
    let world = world().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let body = export(&world, "dsar-us", &format!("RITM-{number}"));
        let answer = world.post(&body).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.body["status"], "accepted");
        assert_eq!(answer.body["reason"], "authorization_lost");
        ids.push(answer.id());
    }
    let refused = world.simulator.calls("storage.container");
    assert_eq!(statuses(&refused), [Some(403)]);
    assert!(
        world.app.credentials_refused(),
        "the key may have been replaced"
    );
    let postponed = details(&world, &ids[4], "startPostponed").await;
    let detail = "authorization_lost: the storage dsar-us made no container: it answered 403 (AuthenticationFailed)";
    assert_eq!(postponed, [detail]);
    let other = world.post(&export(&world, "dsar-eu", "RITM-9")).await;
    assert_eq!(world.closed(&other.id()).await["status"], "succeeded");
    // Five operations wait for half an hour: their storage is asked about once a minute.
    for _ in 0..90 {
        world.advance(Duration::from_secs(20)).await;
    }
    let asked = world.simulator.calls("storage.container").len();
    assert!((20..=40).contains(&asked), "{asked}");
    assert_eq!(world.simulator.calls("export.start").len(), 1);
    for id in ids {
        let waiting = world.operation(&id).await;
        assert_eq!(waiting["reason"], "authorization_lost", "{waiting}");
        assert_eq!(details(&world, &id, "startPostponed").await.len(), 1);
        world
            .call("POST", &format!("/v1/operations/{id}/cancel"), &[], "")
            .await;
        world.closed(&id).await;
    }
}

#[tokio::test]
async fn a_storage_that_is_slow_is_waited_for_and_one_that_loses_its_answer_is_asked_again() {
    let world = world().await;
    let slow = Action::Delay {
        ms: u64::try_from((STORAGE_TIMEOUT * 9 / 10).as_millis()).unwrap(),
    };
    let call = "storage.container";
    world.simulator.script(Fault::new(call, slow));
    let answer = world.post(&export(&world, "dsar-eu", "RITM-1")).await;
    assert_eq!(answer.body["status"], "running", "{answer:?}");
    world.closed(&answer.id()).await;

    world
        .simulator
        .script(Fault::new(call, Action::Hang { processed: false }));
    world.simulator.script(Fault::new(call, Action::LostAfter));
    let answer = world.post(&export(&world, "dsar-eu", "RITM-2")).await;
    assert_eq!(answer.body["status"], "accepted", "{answer:?}");
    assert_eq!(answer.body["reason"], "no_usable_answer");
    let id = answer.id();
    assert_eq!(world.closed(&id).await["status"], "succeeded");
    assert_eq!(
        details(&world, &id, "startPostponed").await,
        [
            "no_usable_answer: the storage dsar-eu made no container: no answer in time",
            "no_usable_answer: the storage dsar-eu made no container: the connection ended before the answer",
        ]
    );
    assert_eq!(details(&world, &id, "startClaimed").await.len(), 1);
}

#[tokio::test]
async fn a_request_names_a_storage_of_its_tenant_or_sends_a_sas_and_not_both() {
    let world = world().await;
    let (eu, location) = (json!("dsar-eu"), json!(sas("dsar")));
    let unknown = "must be a storage of the tenant: dsar-eu or dsar-us";
    for (parameters, pointer, rule) in [
        (
            json!({ "userId": USER }),
            "/parameters/storageLocation",
            "is required, or storage in its place",
        ),
        (
            json!({ "userId": USER, "storage": eu, "storageLocation": location }),
            "/parameters/storage",
            "must not be given beside storageLocation",
        ),
        (
            json!({ "userId": USER, "storage": "DSAR-EU" }),
            "/parameters/storage",
            unknown,
        ),
        (
            json!({ "userId": USER, "storage": location }),
            "/parameters/storage",
            "must have at most 64 characters",
        ),
        (
            json!({ "userId": USER, "storage": 1 }),
            "/parameters/storage",
            "must be a string",
        ),
    ] {
        let mut body = export(&world, "dsar-eu", "RITM-1");
        body["parameters"] = parameters;
        let answer = world.post(&body).await;
        assert_eq!(answer.status, 400, "{body}");
        let error = &answer.body["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["rule"]),
            (&pointer.into(), &rule.into())
        );
        assert!(!answer.body.to_string().contains("sig="), "{answer:?}");
    }
    let entry = world.get("/v1/catalogue/user.exportPersonalData").await;
    let parameter = &entry.body["parameters"]["properties"]["storage"];
    assert_eq!(parameter["enum"], json!(["dsar-eu", "dsar-us"]));

    let none = World::new().await;
    let answer = none.post(&export(&none, "dsar-eu", "RITM-1")).await;
    let rule = "cannot be given: the configuration has no storage for this tenant";
    assert_eq!(answer.body["errors"][0]["rule"], rule);
}
