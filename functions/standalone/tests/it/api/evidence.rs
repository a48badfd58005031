//! `GET /v1/operations/{id}/evidence`: signed where a key is configured, refused where the stored history was changed.

use courier_core::crypto::evidence_keys::PublicKey;
use courier_core::evidence::verdict::{Against, verify};
use courier_core::operation::OperationId;
use courier_testkit::world::{HR_KEY, TICKETS_KEY, World};
use serde_json::json;

use crate::api::operations::refused;
use crate::console::Visitor;

/// A World that signs evidence.
pub(crate) async fn signing() -> World {
    World::with(|setup| {
        setup.config += "[evidence]\nkeys = [\"env:EVIDENCE_KEY\"]\n";
    })
    .await
}

#[tokio::test]
async fn the_evidence_of_an_operation_is_verified_by_the_published_key_and_the_completion() {
    let world = signing().await;
    let id = world.post(&world.export("dsar")).await.id();
    let closed = world.closed(&id).await;
    let path = format!("/v1/operations/{id}/evidence");
    let answer = world.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let media_type = "application/vnd.dsse.envelope.v1+json";
    assert_eq!(answer.header("content-type"), Some(media_type));
    let open = [("x-api-key", "")];
    let keys = world.call("GET", "/v1/evidence/keys", &open, "").await;
    assert_eq!(keys.status, 200, "{keys:?}");
    assert_eq!(
        keys.header("content-type"),
        Some("application/jwk-set+json")
    );
    let keys = PublicKey::parse_all(&keys.body.to_string()).unwrap();
    assert_eq!(answer.body["signatures"][0]["keyid"], keys[0].id());

    let completion = world.receiver.journal().pop().unwrap();
    let head = closed["evidence"]["head"].as_str().unwrap();
    let against = Against {
        keys: &keys,
        head: serde_json::from_value(json!(head)).unwrap(),
        completion: Some(&completion.body),
    };
    let verdict = verify(answer.body.to_string().as_bytes(), &against);
    assert!(verdict.holds(), "{verdict:?}");
    let proven = format!("{:?}", verdict.proven);
    for words in ["head that was given is the head", "(ended)", "this outcome"] {
        assert!(proven.contains(words), "{words} not in {proven}");
    }

    let visitor = Visitor::with_key(&world, TICKETS_KEY).await;
    let page = format!("/console/operations/{id}");
    let link = format!("{page}/evidence\"");
    visitor.get(&page).await.has(&[link.as_str()]);
    let file = visitor.get(&format!("{page}/evidence")).await;
    assert_eq!(file.header("content-type"), media_type);
    assert!(verify(file.text.as_bytes(), &against).holds());

    let other = world.call("GET", &path, &[("x-api-key", HR_KEY)], "").await;
    refused(&other, 404, "not-found");
    let id = OperationId::parse(&id).unwrap();
    let mut record = world.app.store.load(&id).await.unwrap().unwrap();
    record.history[1].status = "failed".to_owned();
    record.revision += 1;
    world.app.store.update(&record).await.unwrap();
    refused(&world.get(&path).await, 409, "history-altered");
}

#[tokio::test]
async fn without_a_key_there_is_no_evidence_and_no_public_key() {
    let world = World::new().await;
    let id = world.post(&world.schedule()).await.id();
    let answer = world.get(&format!("/v1/operations/{id}/evidence")).await;
    refused(&answer, 404, "no-evidence-key");
    let visitor = Visitor::with_key(&world, TICKETS_KEY).await;
    let page = visitor.get(&format!("/console/operations/{id}")).await;
    assert!(!page.text.contains("/evidence"), "{}", page.text);
    let keys = world.get("/v1/evidence/keys").await;
    assert_eq!((keys.status, keys.body), (200, json!({ "keys": [] })));
}
