//! Two deployments, such as test and production, give out different ids and name themselves differently in callbacks.

use courier_testkit::world::{Setup, World};
use serde_json::Value;

/// Returns the operation of one key, whose completion has been delivered, and the `ce-source` of its callback.
async fn delivered(world: &World) -> (Value, String) {
    let headers = [("idempotency-key", "the same everywhere")];
    let answer = world.post_with(&headers, &world.schedule()).await;
    let operation = world.closed(&answer.id()).await;
    let callback = world.receiver.journal().pop().unwrap();
    assert_eq!(callback.header("ce-subject"), operation["id"].as_str());
    let bare = operation["id"].as_str().unwrap().trim_start_matches("op_");
    let id = format!("msg_{bare}_succeeded");
    assert_eq!(callback.header("webhook-id"), Some(id.as_str()));
    let source = callback.header("ce-source").unwrap().to_owned();
    (operation, source)
}

#[tokio::test]
async fn two_deployments_give_one_key_different_ids_and_sources() {
    let new = async || World::with(|setup| setup.data = Some(tempfile::tempdir().unwrap())).await;
    let (test, production) = (new().await, new().await);
    let (one, other) = (delivered(&test).await, delivered(&production).await);
    assert_ne!(one.0["id"], other.0["id"]);
    assert_ne!(one.1, other.1);
    let digits = one.1.strip_prefix("urn:graph-courier:").unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[tokio::test]
async fn a_deployment_keeps_its_ids_and_source_when_it_starts_again() {
    let world = World::new().await;
    let (operation, source) = delivered(&world).await;
    let origin = world.receiver.origin();
    let (data, clock) = world.stop().await;
    let world = World::with(|setup: &mut Setup| {
        // The same receiver, by its name, so that the request is the same.
        setup.config = setup
            .config
            .replace("{receiver}", &format!("{{receiver}}\", \"{origin}"));
        (setup.data, setup.clock) = (Some(data), clock);
    })
    .await;
    let mut body = world.schedule();
    let url = body["callback"]["url"].as_str().unwrap();
    body["callback"]["url"] = url.replace(&world.receiver.origin(), &origin).into();
    let headers = [("idempotency-key", "the same everywhere")];
    let again = world.post_with(&headers, &body).await;
    assert_eq!(
        again.header("idempotency-replayed"),
        Some("true"),
        "{again:?}"
    );
    assert_eq!(again.body["id"], operation["id"]);
    let id = world.app.deployment().await.unwrap().id();
    assert_eq!(source, format!("urn:graph-courier:{id}"));
}

#[tokio::test]
async fn the_source_of_callbacks_can_be_configured() {
    let world = World::with(|setup| {
        let source = "[callbacks]\nsource = \"https://courier.contoso.com\"";
        setup.config = setup.config.replace("[callbacks]", source);
    })
    .await;
    assert_eq!(delivered(&world).await.1, "https://courier.contoso.com");
}
