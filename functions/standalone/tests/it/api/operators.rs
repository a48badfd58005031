//! Operators: they see and change the operations of many clients, by the same calls, and the history names them.

use std::time::Duration;

use courier_testkit::world::{Answer, FABRIKAM_KEY, HR_KEY, Setup, TICKETS_KEY, World};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::operations::refused;

const NIGHT: &str = "night-shift-key";
const HELPDESK: &str = "helpdesk-key";
const AUDITOR: &str = "auditor-key";

/// Adds three operators: of everything, of one client, and one that only reads.
fn operators(setup: &mut Setup) {
    let hash = |key: &str| {
        let hash = Sha256::digest(key);
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    setup.config.push_str(&format!(
        r#"
[operators.night-shift]
api_keys = ["sha256:{}"]
[operators.helpdesk]
api_keys = ["sha256:{}"]
clients = ["tickets"]
[operators.auditor]
api_keys = ["sha256:{}"]
read_only = true
"#,
        hash(NIGHT),
        hash(HELPDESK),
        hash(AUDITOR),
    ));
}

async fn call(world: &World, key: &str, method: &str, path: &str, body: &str) -> Answer {
    world
        .call(method, path, &[("x-api-key", key)], body.to_owned())
        .await
}

fn ids(answer: &Answer) -> Vec<&str> {
    let operations = answer.body["operations"].as_array().unwrap();
    operations
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect()
}

/// Asks for one schedule for each of the three clients, a second apart; returns the ids, the newest first.
async fn three_clients(world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, key) in [TICKETS_KEY, HR_KEY, FABRIKAM_KEY].into_iter().enumerate() {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = format!("871dbd5c-3a6a-4392-bfe1-{number:012}").into();
        body["callback"] = Value::Null;
        let answer = call(world, key, "POST", "/v1/operations", &body.to_string()).await;
        ids.insert(0, answer.id());
        world.clock.advance(Duration::from_secs(1));
    }
    ids
}

#[tokio::test]
async fn an_operator_sees_the_operations_of_its_clients_and_a_client_its_own() {
    let world = World::with(operators).await;
    let all = three_clients(&world).await;
    let list = |key: &'static str, query: &'static str| {
        let world = &world;
        async move { call(world, key, "GET", &format!("/v1/operations{query}"), "").await }
    };
    let seen = list(NIGHT, "").await;
    assert_eq!(ids(&seen), all);
    let clients: Vec<&Value> = seen.body["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["client"])
        .collect();
    assert_eq!(clients, ["fabrikam", "hr", "tickets"]);
    assert_eq!(ids(&list(HELPDESK, "").await), [&all[2]]);
    assert_eq!(ids(&list(AUDITOR, "?client=hr").await), [&all[1]]);
    let own = list(TICKETS_KEY, "").await;
    assert_eq!(ids(&own), [&all[2]]);
    assert_eq!(own.body["operations"][0].get("client"), None);

    // Pages of one are merged from the pages of the clients.
    let (mut query, mut walked) = ("?limit=1".to_owned(), Vec::new());
    loop {
        let page = call(&world, NIGHT, "GET", &format!("/v1/operations{query}"), "").await;
        walked.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(link) = page.header("link") else {
            break;
        };
        let relative = link.strip_prefix('<').unwrap().split('>').next().unwrap();
        query = relative.to_owned();
    }
    assert_eq!(walked, all);

    let path = format!("/v1/operations/{}", all[1]);
    assert_eq!(
        call(&world, NIGHT, "GET", &path, "").await.body["client"],
        "hr"
    );
    refused(
        &call(&world, HELPDESK, "GET", &path, "").await,
        404,
        "not-found",
    );
    refused(&list(HELPDESK, "?client=hr").await, 400, "invalid-query");
    refused(
        &list(TICKETS_KEY, "?client=tickets").await,
        400,
        "invalid-query",
    );
    refused(
        &call(&world, "night-shift", "GET", "/v1/operations", "").await,
        401,
        "unauthenticated",
    );
}

#[tokio::test]
async fn what_an_operator_does_is_in_the_history_with_its_name() {
    let world = World::with(operators).await;
    let all = three_clients(&world).await;
    let path = |id: &str, act: &str| format!("/v1/operations/{id}{act}");
    let refusal = call(&world, AUDITOR, "POST", &path(&all[0], "/cancel"), "").await;
    refused(&refusal, 403, "read-only");
    let cancelled = call(&world, NIGHT, "POST", &path(&all[0], "/cancel"), "").await;
    assert_eq!(cancelled.body["status"], "cancelled", "{cancelled:?}");
    let erased = call(&world, NIGHT, "DELETE", &path(&all[0], ""), "").await;
    assert_eq!(erased.status, 200, "{erased:?}");
    world.call("POST", &path(&all[2], "/cancel"), &[], "").await;
    for (id, expected) in [
        (
            &all[0],
            vec![
                ("ended", "operator night-shift"),
                ("erased", "operator night-shift"),
            ],
        ),
        (&all[2], vec![("ended", "client tickets")]),
    ] {
        let acts = acts(&world, id).await;
        assert_eq!(acts, named(&expected));
    }
}

/// Returns what callers have done to an operation: the event of each line that has `by`, and who it was.
async fn acts(world: &World, id: &str) -> Vec<(String, String)> {
    let path = format!("/v1/operations/{id}/history");
    let history = call(world, NIGHT, "GET", &path, "").await;
    let lines = history.body["history"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let acts = lines.filter(|line| line["by"].is_string());
    acts.map(|line| (text(&line["event"]), text(&line["by"])))
        .collect()
}

fn named(acts: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = acts.iter();
    owned
        .map(|(event, by)| ((*event).to_owned(), (*by).to_owned()))
        .collect()
}

#[tokio::test]
async fn redeliveries_and_a_new_receiver_name_the_operator_in_the_history() {
    let world = World::with(operators).await;
    let id = world.post(&world.schedule()).await.id();
    world.closed(&id).await;
    let path = format!("/v1/operations/{id}/callback");
    let elsewhere = json!({ "url": world.receiver.url("/elsewhere") }).to_string();
    let changed = call(&world, NIGHT, "PATCH", &path, &elsewhere).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let one = format!("{path}/redeliver");
    let answer = call(&world, HELPDESK, "POST", &one, "").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    world.closed(&id).await;
    let all = "/v1/operations/callback/redeliver?callback=delivered&client=tickets";
    let answer = call(&world, NIGHT, "POST", all, "").await;
    assert_eq!(answer.body["redelivered"], json!([id]), "{answer:?}");
    world.closed(&id).await;
    world.call("POST", &one, &[], "").await;
    let closed = world.closed(&id).await;
    assert_eq!(closed["callback"]["attempts"], 4);
    let expected = [
        ("callbackChanged", "operator night-shift"),
        ("redeliveryAsked", "operator helpdesk"),
        ("redeliveryAsked", "operator night-shift"),
        ("redeliveryAsked", "client tickets"),
    ];
    assert_eq!(acts(&world, &id).await, named(&expected));
}

#[tokio::test]
async fn a_resumed_operation_and_the_ended_one_name_each_other_and_who_was_the_first_to_ask() {
    let world = World::with(|setup| {
        operators(setup);
        setup.simulator.durations.schedule_seconds = 3000.0;
    })
    .await;
    let mut body = world.schedule();
    let deadline = world.clock.now() + Duration::from_secs(1000);
    body["deadline"] = deadline.to_string().into();
    let expired = world.post(&body).await.id();
    assert_eq!(world.closed(&expired).await["status"], "expired");
    let path = format!("/v1/operations/{expired}/resume");
    let resumed = call(&world, HELPDESK, "POST", &path, "").await;
    assert_eq!(resumed.status, 202, "{resumed:?}");
    let again = call(&world, NIGHT, "POST", &path, "").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.id(), resumed.id());
    world.closed(&resumed.id()).await;
    let expected = named(&[("resumed", "operator helpdesk")]);
    assert_eq!(acts(&world, &resumed.id()).await, expected);
    let expected = named(&[("resumeAsked", "operator helpdesk")]);
    assert_eq!(acts(&world, &expired).await, expected);
    let ended = world.operation(&expired).await;
    assert_eq!(
        (&ended["status"], &ended["resumedAs"]),
        (&json!("expired"), &json!(resumed.id())),
    );
}

#[tokio::test]
async fn an_operator_asks_for_an_operation_on_behalf_of_a_client_and_by_its_rules() {
    let world = World::with(operators).await;
    let body = world.goals().to_string();
    let post = |query: &'static str| {
        let (world, body) = (&world, &body);
        async move {
            call(
                world,
                HELPDESK,
                "POST",
                &format!("/v1/operations{query}"),
                body,
            )
            .await
        }
    };
    refused(&post("").await, 400, "invalid-query");
    refused(&post("?client=hr").await, 400, "invalid-query");
    let id = post("?client=tickets").await.id();
    assert_eq!(
        world.operation(&id).await["id"],
        id.as_str(),
        "the client's own"
    );
    let history = world.get(&format!("/v1/operations/{id}/history")).await;
    assert_eq!(history.body["history"][0]["by"], "operator helpdesk");
    let refusal = world
        .call("POST", "/v1/operations?client=tickets", &[], body.clone())
        .await;
    refused(&refusal, 400, "invalid-query");
    let catalogue = call(&world, HELPDESK, "GET", "/v1/catalogue", "").await;
    let own = world.get("/v1/catalogue").await;
    assert_eq!(catalogue.body["operations"], own.body["operations"]);
    let caller = |name: &str, kind: &str| json!({ "name": name, "kind": kind, "readOnly": false, "clients": ["tickets"] });
    assert_eq!(catalogue.body["caller"], caller("helpdesk", "operator"));
    assert_eq!(own.body["caller"], caller("tickets", "client"));
    assert_eq!(own.body["operations"].as_array().unwrap().len(), 3);
    let entry = world.get("/v1/catalogue/team.schedule").await;
    assert_eq!(entry.body["restart"], "idempotent");
    assert_eq!(
        entry.body["parameters"]["required"],
        json!(["teamId", "schedule"])
    );
    refused(
        &world.get("/v1/catalogue/team.create").await,
        404,
        "not-found",
    );
    world.closed(&id).await;
}
