//! A request sent again is the same operation; the same key for something else is refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{Answer, HR_KEY, World};
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault};
use serde_json::Value;
use tokio::task::JoinSet;

async fn post_with_key(world: &World, key: &str, body: &Value) -> Answer {
    world.post_with(&[("idempotency-key", key)], body).await
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

fn assert_key_reused(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.problem()),
        (422, "idempotency-key-reused"),
        "{answer:?}"
    );
    assert!(!answer.body.to_string().contains("op_"), "{answer:?}");
}

#[tokio::test]
async fn a_key_is_equal_quoted_or_bare_and_a_replay_returns_the_current_state() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let body = body(&world, operation);
        let first = post_with_key(&world, "k-1", &body).await;
        assert!(!replayed(&first), "{operation}");
        let second = post_with_key(&world, "\"k-1\"", &body).await;
        assert!(replayed(&second), "{operation}");
        assert_eq!((second.status, &second.body), (202, &first.body));
        assert_eq!(second.header("location"), first.header("location"));
        assert!(second.header("retry-after").is_some());
        let closed = world.closed(&first.id()).await;
        world.advance(Duration::from_secs(29 * 86_400)).await;
        courier_core::engine::sweep::sweep(&world.app, jiff::Timestamp::MAX)
            .await
            .unwrap();
        let third = post_with_key(&world, " \"k-1\" ", &body).await;
        assert!(replayed(&third), "{operation}");
        assert_eq!((third.status, &third.body), (200, &closed));
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
        assert_eq!(world.receiver.journal().len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn different_keys_are_different_operations() {
    let world = World::new().await;
    let mut ids = BTreeSet::new();
    let keys = [
        "k",
        "K",
        "k ",
        "\"k k\"",
        "\"k\\\"\"",
        "\"k\\\\\"",
        "reference k",
    ];
    for key in keys {
        let answer = post_with_key(&world, key, &world.goals()).await;
        assert_eq!(answer.status, 202, "{key}");
        ids.insert(answer.id());
    }
    // HTTP strips the trailing blank of `k `, so it equals `k`.
    assert_eq!(ids.len(), keys.len() - 1);
}

#[tokio::test]
async fn a_new_sas_signature_does_not_change_the_payload() {
    let world = World::new().await;
    let mut body = world.export("dsar");
    let first = post_with_key(&world, "k", &body).await;
    let container = "https://contoso.blob.core.windows.net/dsar";
    let another = "another0123456789abcdefghijklmnopqrstuvwxyA%3D";
    for query in [
        "sv=2024-11-04&sr=c&sp=acw&se=2029-01-01T00:00:00Z",
        "sv=2030-01-01&sr=c&sp=acwd&st=2026-01-01T00:00:00Z&se=2029-01-01&spr=https&sip=0.0.0.0-255.255.255.255",
        "sv=2024-11-04&sr=c&sp=aw&se=2029-01-01&sks=b&skv=2024-11-04&skoid=11111111-1111-1111-1111-111111111111\
         &sktid=22222222-2222-2222-2222-222222222222&skt=2026-01-01T00:00:00Z&ske=2029-01-01T00:00:00Z",
        "sv=2024-11-04&sr=c&si=policy",
    ] {
        body["parameters"]["storageLocation"] = format!("{container}?{query}&sig={another}").into();
        let again = post_with_key(&world, "k", &body).await;
        assert!(replayed(&again), "{query}: {again:?}");
        assert_eq!(again.id(), first.id(), "{query}");
    }
    assert_eq!(world.simulator.jobs().len(), 1);
}

#[tokio::test]
async fn another_payload_under_the_same_key_is_refused_and_starts_nothing() {
    let world = World::new().await;
    let first = post_with_key(&world, "k", &world.export("dsar")).await;
    let change = |pointer: &str, value: &str| {
        let mut body = world.export("dsar");
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.into(),
            None => body[&pointer[1..]] = value.into(),
        }
        body
    };
    let place = "/parameters/storageLocation";
    let sas = |container: &str| courier_testkit::world::sas(container);
    let mut quiet = world.export("dsar");
    quiet.as_object_mut().unwrap().remove("callback");
    let others = [
        change(place, &sas("dsar-2")),
        change(place, &sas("dsar").replace("contoso.", "fabrikam.")),
        change(place, &sas("dsar2")),
        change("/parameters/userId", "6e7b768e-07e2-4810-8459-485f84f8f205"),
        change("/callback/url", &world.receiver.url("/elsewhere")),
        change("/reference", "RITM-2"),
        quiet,
        world.goals(),
        world.schedule(),
    ];
    for other in others {
        assert_key_reused(&post_with_key(&world, "k", &other).await);
    }
    assert_eq!(world.closed(&first.id()).await["status"], "succeeded");
    assert_eq!(world.simulator.jobs().len(), 1);
    assert_eq!(
        world.get("/v1/operations").await.body["operations"][1],
        Value::Null
    );
}

#[tokio::test]
async fn another_spelling_of_a_guid_and_a_new_deadline_do_not_change_the_payload() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let mut body = body(&world, operation);
        body["deadline"] = "2026-12-11T20:00:00Z".into();
        let first = post_with_key(&world, "k", &body).await;
        for deadline in [
            "2026-12-11T20:00:00+00:00".into(),
            "2026-12-11T20:07:31.250Z".into(),
            Value::Null,
        ] {
            body["deadline"] = deadline;
            for id in ["userId", "goalsOrganizationId", "explorerViewId", "teamId"] {
                if let Some(Value::String(text)) = body["parameters"].get_mut(id) {
                    *text = text.to_uppercase();
                }
            }
            let again = post_with_key(&world, "k", &body).await;
            assert!(replayed(&again), "{body}: {again:?}");
            assert_eq!(again.body, first.body, "the first deadline stays");
        }
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn without_a_header_the_key_is_operation_and_reference() {
    let world = World::new().await;
    let first = world.post(&world.export("dsar")).await;
    let again = world.post(&world.export("dsar")).await;
    assert!(replayed(&again));
    assert_eq!(again.id(), first.id());
    let mut other = world.export("dsar-2");
    other["reference"] = "RITM-dsar".into();
    assert_key_reused(&world.post(&other).await);
    // The same reference with another operation name is another operation.
    let mut goals = world.goals();
    goals["reference"] = "RITM-dsar".into();
    let goals_answer = world.post(&goals).await;
    assert!(!replayed(&goals_answer));
    assert_ne!(goals_answer.id(), first.id());
    // A key from the header never equals one derived from a reference, whatever its text.
    let key = format!("reference {} RITM-dsar", "user.exportPersonalData");
    let other_key = post_with_key(&world, &key, &world.goals()).await;
    assert_eq!(other_key.status, 202, "{other_key:?}");
    assert!(!replayed(&other_key));
}

#[tokio::test]
async fn without_key_and_reference_an_export_is_refused_and_a_schedule_accepted() {
    let world = World::new().await;
    let mut export = world.export("dsar");
    export.as_object_mut().unwrap().remove("reference");
    let answer = world.post(&export).await;
    assert_eq!((answer.status, answer.problem()), (400, "invalid-header"));
    assert_eq!(answer.body["errors"][0]["header"], "Idempotency-Key");
    assert!(world.simulator.journal().is_empty());
    let one = world.post(&world.schedule()).await;
    let two = world.post(&world.schedule()).await;
    assert_ne!(one.id(), two.id());
}

#[tokio::test]
async fn the_same_key_of_two_clients_is_two_operations() {
    let world = World::new().await;
    let mut body = world.goals();
    body.as_object_mut().unwrap().remove("callback");
    let mine = post_with_key(&world, "k", &body).await;
    let hr = [("x-api-key", HR_KEY), ("idempotency-key", "k")];
    let theirs = world.post_with(&hr, &body).await;
    assert!(!replayed(&theirs));
    assert_ne!(mine.id(), theirs.id());
    body["parameters"]["explorerViewId"] = "e5e7a3c1-8cdf-409d-9ce9-000000000001".into();
    assert_key_reused(&world.post_with(&hr, &body).await);
}

#[tokio::test]
async fn a_replay_is_answered_after_deadline_and_signature_have_passed() {
    let world = World::with(|setup| setup.simulator.durations.export_seconds = 10.0).await;
    let mut body = world.export("dsar");
    let location = &mut body["parameters"]["storageLocation"];
    let text = location
        .as_str()
        .unwrap()
        .replace("2028-01-01", "2026-12-01");
    *location = text.into();
    body["deadline"] = "2026-11-30T00:00:00Z".into();
    let first = world.post(&body).await;
    let closed = world.closed(&first.id()).await;
    world.clock.advance(Duration::from_secs(20 * 86_400));
    let again = world.post(&body).await;
    assert!(replayed(&again), "{again:?}");
    assert_eq!((again.status, &again.body), (200, &closed));
    // Sent for the first time now, the same request is refused, because its deadline has passed.
    let late = post_with_key(&world, "new", &body).await;
    assert_eq!((late.status, late.problem()), (400, "invalid-request"));
    let pointers: BTreeSet<_> = late.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, BTreeSet::from(["/deadline"]), "{late:?}");
    body["reference"] = "RITM-other".into();
    assert_key_reused(
        &world
            .post_with(&[("idempotency-key", "x")], &{
                post_with_key(&world, "x", &world.goals()).await;
                body.clone()
            })
            .await,
    );
}

#[tokio::test]
async fn a_copy_of_a_refused_request_returns_the_same_refusal() {
    for operation in OPERATIONS {
        let world = World::new().await;
        let refusal = Fault::new(&format!("{operation}.start"), Action::status_only(400));
        world.simulator.script(refusal);
        let body = body(&world, operation);
        let first = post_with_key(&world, "k", &body).await;
        assert_eq!((first.status, first.problem()), (422, "start-rejected"));
        world.closed(&first.id()).await;
        let again = post_with_key(&world, "k", &body).await;
        assert_eq!((again.status, again.problem()), (422, "start-rejected"));
        assert!(replayed(&again), "{operation}");
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.body["graph"], first.body["graph"], "{operation}");
        assert_eq!(again.body["operation"]["callback"]["status"], "delivered");
        let starts = world.simulator.calls(&format!("{operation}.start"));
        assert_eq!(starts.len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn thirty_two_concurrent_equal_requests_start_one_job() {
    for operation in OPERATIONS {
        let world = Arc::new(World::new().await);
        let slow = Fault::new(&format!("{operation}.start"), Action::Delay { ms: 100 });
        world.simulator.script(slow);
        let mut requests = JoinSet::new();
        for _ in 0..32 {
            let caller_world = Arc::clone(&world);
            requests.spawn(async move {
                let body = body(&caller_world, operation);
                post_with_key(&caller_world, "k", &body).await
            });
        }
        let answers = requests.join_all().await;
        let ids: BTreeSet<_> = answers.iter().map(Answer::id).collect();
        assert_eq!(ids.len(), 1, "{operation}");
        assert!(answers.iter().all(|answer| answer.status == 202));
        let first = answers.iter().filter(|answer| !replayed(answer));
        assert_eq!(first.count(), 1, "{operation}");
        let id = ids.into_iter().next().unwrap();
        assert_eq!(world.closed(&id).await["status"], "succeeded");
        let starts = world.simulator.calls(&format!("{operation}.start"));
        assert_eq!((starts.len(), world.simulator.jobs().len()), (1, 1));
        assert_eq!(world.receiver.journal().len(), 1, "{operation}");
    }
}
