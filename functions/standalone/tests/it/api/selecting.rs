//! Lists by deadline, time and person, as CSV, with entity tags; acknowledging an unknown outcome; test callbacks.

use std::time::Duration;

use courier_testkit::receiver;
use courier_testkit::world::{Answer, World};
use graph_simulator::{Action, Fault};
use serde_json::{Value, json};

use crate::api::operations::refused;

fn ids(answer: &Answer) -> Vec<&str> {
    let operations = answer.body["operations"].as_array().unwrap();
    operations
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect()
}

/// Asks for a goals export with this view and deadline.
async fn goals(world: &World, view: u32, deadline: &str) -> String {
    let mut body = world.goals();
    body["parameters"]["explorerViewId"] = format!("e5e7a3c1-8cdf-409d-9ce9-{view:012}").into();
    body["deadline"] = deadline.into();
    body["reference"] = format!("=RITM{view}").into();
    world.clock.advance(Duration::from_secs(1));
    world.post(&body).await.id()
}

#[tokio::test]
async fn the_most_urgent_operations_come_first_in_a_list_by_deadline() {
    let world = World::new().await;
    let day = |days: i64| {
        let now = world.clock.now();
        (now + jiff::SignedDuration::from_hours(24 * days)).to_string()
    };
    let (late, soon) = (day(9), day(2));
    let cut = day(3);
    let late = goals(&world, 1, &late).await;
    let soon = goals(&world, 2, &soon).await;
    let ended = goals(&world, 3, &cut).await;
    world
        .call("POST", &format!("/v1/operations/{ended}/cancel"), &[], "")
        .await;
    let list = |query: String| {
        let world = &world;
        async move { world.get(&format!("/v1/operations?{query}")).await }
    };
    assert_eq!(ids(&list("sort=deadline".to_owned()).await), [&soon, &late]);
    assert_eq!(ids(&list(format!("deadlineBefore={cut}")).await), [&soon]);
    assert_eq!(ids(&list("status=open".to_owned()).await), [&soon, &late]);
    let page = list("sort=deadline&limit=1".to_owned()).await;
    let next = page.body["next"].as_str().unwrap();
    let page = list(format!("sort=deadline&limit=1&cursor={next}")).await;
    assert_eq!(ids(&page), [&late]);
    for (query, parameter) in [
        ("sort=deadline&status=failed", "status"),
        ("sort=size", "sort"),
        ("deadlineBefore=tomorrow", "deadlineBefore"),
        ("deadlineBefore=2026-12-20T00:00:00Z&sort=created", "sort"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("createdAfter=2026", "createdAfter"),
        ("limit=1&limit=1", "limit"),
    ] {
        let refusal = list(query.to_owned()).await;
        refused(&refusal, 400, "invalid-query");
        assert_eq!(refusal.body["errors"][0]["parameter"], parameter, "{query}");
    }
}

#[tokio::test]
async fn a_person_is_found_by_id_whatever_its_letter_case_and_no_id_is_in_the_answer_of_another() {
    let world = World::new().await;
    let body = world.export("dsar");
    let user = body["parameters"]["userId"]
        .as_str()
        .unwrap()
        .to_uppercase();
    let id = world
        .post_with(&[("idempotency-key", "k")], &body)
        .await
        .id();
    goals(&world, 1, "2027-01-01T00:00:00Z").await;
    let found = world.get(&format!("/v1/operations?person={user}")).await;
    assert_eq!(ids(&found), [&id]);
    let nobody = world.get("/v1/operations?person=somebody").await;
    assert_eq!(nobody.body["operations"], json!([]));
}

#[tokio::test]
async fn a_list_is_given_as_csv_and_not_sent_again_while_it_is_the_same() {
    let world = World::new().await;
    let id = goals(&world, 7, "2027-01-01T00:00:00Z").await;
    let csv = world.http.get(format!("{}/v1/operations", world.api));
    let csv = csv
        .header("x-api-key", courier_testkit::world::TICKETS_KEY)
        .header("accept", "text/csv")
        .send()
        .await
        .unwrap();
    let kind = csv.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let text = csv.text().await.unwrap();
    assert!(text.starts_with("id,operation,status"), "{text}");
    assert!(
        text.contains(&format!("{id},goals.exportJob,running,,'=RITM7,")),
        "{text}"
    );

    let paths = ["/v1/operations".to_owned(), format!("/v1/operations/{id}")];
    let mut tags = Vec::new();
    for path in &paths {
        let first = world.get(path).await;
        let tag = first.header("etag").unwrap().to_owned();
        for sent in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let same = world
                .call("GET", path, &[("if-none-match", &sent)], "")
                .await;
            assert_eq!(
                (same.status, same.body),
                (304, Value::Null),
                "{path} {sent}"
            );
        }
        tags.push(tag);
    }
    let cancelled = format!("/v1/operations/{id}/cancel");
    world.call("POST", &cancelled, &[], "").await;
    for (path, tag) in paths.iter().zip(tags) {
        let other = world
            .call("GET", path, &[("if-none-match", &tag)], "")
            .await;
        assert_eq!(other.status, 200, "{path}");
    }
}

#[tokio::test]
async fn only_an_unknown_outcome_is_acknowledged_and_the_note_is_kept_with_its_author() {
    let world = World::new().await;
    world
        .simulator
        .script(Fault::new("export.start", Action::LostAfter));
    let id = world
        .post_with(&[("idempotency-key", "k")], &world.export("dsar"))
        .await
        .id();
    let path = format!("/v1/operations/{id}/acknowledge");
    let note = json!({ "note": "Looked into Purview: the export runs there." }).to_string();
    refused(
        &world.call("POST", &path, &[], note.clone()).await,
        409,
        "conflict",
    );
    assert_eq!(world.closed(&id).await["status"], "unknown");
    for (body, pointer) in [
        ("{}", "/note"),
        (r#"{"note": ""}"#, "/note"),
        (r#"{"note": "a\u0007"}"#, "/note"),
        (r#"{"note": "a", "by": "me"}"#, "/by"),
        ("[]", ""),
    ] {
        let refusal = world.call("POST", &path, &[], body).await;
        refused(&refusal, 400, "invalid-request");
        assert_eq!(refusal.body["errors"][0]["pointer"], pointer, "{body}");
    }
    let answer = world.call("POST", &path, &[], note).await;
    assert_eq!(
        answer.body["acknowledged"]["by"], "client tickets",
        "{answer:?}"
    );
    assert_eq!(answer.body["status"], "unknown", "the outcome stays");
    assert_eq!(world.history(&id).await.last().unwrap(), "acknowledged");
}

#[tokio::test]
async fn a_test_callback_is_signed_sent_once_and_stored_nowhere() {
    let world = World::new().await;
    let url = world.receiver.url("/hooks/test");
    let test = |body: Value| {
        let world = &world;
        async move {
            world
                .call("POST", "/v1/callbacks/test", &[], body.to_string())
                .await
        }
    };
    let answer = test(json!({ "url": url, "outcome": "failed", "reference": "T-1" })).await;
    assert_eq!(answer.body["delivered"], true, "{answer:?}");
    let calls = world.receiver.journal();
    assert_eq!(calls.len(), 1);
    let sent: Value = serde_json::from_slice(&calls[0].body).unwrap();
    assert_eq!(sent["type"], "operation.failed");
    assert_eq!(sent["data"]["reference"], "T-1");
    assert_eq!(
        calls[0].header("webhook-id").unwrap(),
        answer.body["eventId"]
    );
    world.receiver.answer_next(receiver::Answer::status(500));
    let answer = test(json!({ "url": url })).await;
    assert_eq!(
        (&answer.body["delivered"], &answer.body["status"]),
        (&json!(false), &json!(500))
    );
    assert_eq!(world.receiver.journal().len(), 2, "it is not tried again");
    assert_eq!(
        world.get("/v1/operations").await.body["operations"],
        json!([])
    );
    refused(
        &test(json!({ "url": "https://evil.example/" })).await,
        403,
        "callback-forbidden",
    );
    let refusal = test(json!({ "url": url, "outcome": "happy" })).await;
    refused(&refusal, 400, "invalid-request");
    assert_eq!(refusal.body["errors"][0]["pointer"], "/outcome");
}
