//! No secret appears on disk, in an answer, in a history or in a callback (invariant I11).

use std::path::{Path, PathBuf};
use std::time::Duration;

use courier_testkit::receiver;
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::{
    CALLBACK_TOKEN, FABRIKAM_KEY, GRAPH_SECRET, HR_KEY, REFRESH_TOKEN, SAS_SIGNATURE,
    SIGNING_SECRETS, TICKETS_KEY, World,
};
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault, StatusAction};

use crate::secrets::refresh_tokens::assert_nowhere;

const SECRETS: [&str; 14] = [
    GRAPH_SECRET,
    REFRESH_TOKEN,
    SAS_SIGNATURE,
    CALLBACK_TOKEN,
    SIGNING_SECRETS[0],
    SIGNING_SECRETS[1],
    "bmV3LXNlY3JldC1vZi10aGUtdGlja2V0cy1jbGllbnQ",
    "new-secret-of-the-tickets-client",
    TICKETS_KEY,
    HR_KEY,
    FABRIKAM_KEY,
    "simulated-access",
    "simulated-refresh",
    // This is a part of the sealing key.
    "test-sealing-key",
];

fn assert_clean(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

/// Checks everything that a client can read about its operations, everything on disk, and all callbacks.
async fn assert_no_secret_anywhere(world: &World, data: &Path) {
    assert_nowhere(data, &SECRETS);
    let list = world.get("/v1/operations").await;
    assert_clean(&format!("{list:?}"));
    for operation in list.body["operations"].as_array().unwrap() {
        let id = operation["id"].as_str().unwrap();
        for part in ["", "/history"] {
            let answer = world.get(&format!("/v1/operations/{id}{part}")).await;
            assert!(answer.body.is_object(), "{answer:?}");
            assert_clean(&format!("{answer:?}"));
        }
    }
    for callback in world.receiver.journal() {
        assert_clean(&String::from_utf8_lossy(&callback.body));
        assert_clean(&format!("{:?}", callback.headers));
    }
}

async fn world() -> (World, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_owned();
    (World::with(|setup| setup.data = Some(data)).await, path)
}

#[tokio::test]
async fn no_secret_is_stored_or_sent_on_the_way_to_success() {
    let (world, data) = world().await;
    for operation in OPERATIONS {
        // The start is throttled, so the parameters must be stored until the next attempt.
        let start = format!("{operation}.start");
        let later = Action::throttled(429, Some("90"));
        world.simulator.script(Fault::new(&start, later));
        world.receiver.answer_next(receiver::Answer::status(500));
        let answer = world.post(&body(&world, operation)).await;
        assert_eq!(answer.body["status"], "accepted");
        assert_clean(&format!("{answer:?}"));
        assert_no_secret_anywhere(&world, &data).await;
        world.advance(Duration::from_secs(120)).await;
        assert_no_secret_anywhere(&world, &data).await;
        assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
        assert_no_secret_anywhere(&world, &data).await;
    }
    let (directory, _) = world.stop().await;
    assert_nowhere(directory.path(), &SECRETS);
}

#[tokio::test]
async fn no_secret_that_graph_repeats_is_stored_or_sent() {
    let echo = format!(
        "Cannot write to https://contoso.blob.core.windows.net/dsar?sp=acw&sig={SAS_SIGNATURE}, \
         nor tell https://hooks.example/graph?k={CALLBACK_TOKEN}; \
         token Bearer simulated-access-1-0123456789abcdef, sig={SAS_SIGNATURE}&x"
    );
    let refusal = |status| {
        Action::Status(Box::new(StatusAction {
            status,
            code: Some("StorageLocationInvalid".to_owned()),
            message: Some(echo.clone()),
            ..StatusAction::default()
        }))
    };
    for operation in OPERATIONS {
        let (world, data) = world().await;
        let start = format!("{operation}.start");
        world.simulator.script(Fault::new(&start, refusal(400)));
        let answer = world.post(&body(&world, operation)).await;
        assert_eq!(answer.status, 422, "{operation}");
        assert_clean(&format!("{answer:?}"));
        world.closed(&answer.id()).await;
        assert_no_secret_anywhere(&world, &data).await;

        let mut body = body(&world, operation);
        if operation == "export" {
            body = world.export("second");
        }
        let id = world
            .post_with(&[("idempotency-key", "second")], &body)
            .await
            .id();
        let gone = Fault::new(&format!("{operation}.poll"), refusal(404));
        world.simulator.script(gone.times(0));
        assert_eq!(world.closed(&id).await["reason"], "monitor_gone");
        assert_no_secret_anywhere(&world, &data).await;
    }
}

#[tokio::test]
async fn the_result_is_reported_without_the_sas_signature_in_it() {
    let (world, data) = world().await;
    let id = world.post(&world.export("dsar")).await.id();
    let closed = world.closed(&id).await;
    assert_eq!(
        closed["result"]["storageLocation"],
        "https://contoso.blob.core.windows.net/dsar"
    );
    assert_no_secret_anywhere(&world, &data).await;
}
