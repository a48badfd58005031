//! Secrets in what a job has made: sealed, shown nowhere, given once to a callback that asks for them.

use courier_testkit::world::World;
use serde_json::{Value, json};

use super::{request, world};

async fn completion(
    world: &World,
    name: &str,
    include: bool,
    change: impl Fn(&mut Value),
) -> (Value, Value) {
    let mut request = request(world, name);
    if include {
        request["callback"]["includeSecrets"] = json!(true);
    }
    change(&mut request);
    let answer = world.post(&request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let ended = world.closed(&answer.id()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let callback = world.receiver.journal().pop().unwrap();
    (ended, serde_json::from_slice(&callback.body).unwrap())
}

#[tokio::test]
async fn the_address_of_a_report_is_given_once_to_a_callback_that_asks_for_secrets() {
    for include in [true, false] {
        let world = world().await;
        let (ended, completion) = completion(&world, "device.exportReport", include, |_| {}).await;
        let shown = ended["result"]["url"].as_str().unwrap();
        assert!(
            shown.starts_with("https://") && !shown.contains('?'),
            "{shown}"
        );
        assert_eq!(completion["data"]["result"], ended["result"]);
        let secret = completion["secrets"]["url"].as_str();
        assert_eq!(secret.is_some(), include, "{completion}");
        if let Some(secret) = secret {
            assert!(
                secret.starts_with(shown) && secret.contains('?'),
                "{secret}"
            );
        }
        // A second delivery has the same completion without them.
        let id = ended["id"].as_str().unwrap();
        let path = format!("/v1/operations/{id}/callback/redeliver");
        world.call("POST", &path, &[], String::new()).await;
        world.closed(id).await;
        let again = world.receiver.journal().pop().unwrap();
        let again: Value = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(again["secrets"], Value::Null);
        assert_eq!(again["data"], completion["data"]);
    }
}

#[tokio::test]
async fn a_password_that_graph_has_made_is_in_the_completion_only() {
    let world = world().await;
    let without = |request: &mut Value| {
        let parameters = request["parameters"].as_object_mut().unwrap();
        parameters.remove("newPassword");
    };
    let (ended, completion) = completion(&world, "user.resetPassword", true, without).await;
    let password = completion["secrets"]["generatedPassword"].as_str().unwrap();
    assert!(password.len() >= 8);
    assert!(!ended.to_string().contains(password));
    let stored = std::fs::read(world.data_file()).unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains(password));
}

#[tokio::test]
async fn a_password_of_the_request_is_stored_nowhere_and_sent_to_graph_only() {
    let world = world().await;
    let sent = "correct-horse-battery";
    let with = |request: &mut Value| request["parameters"]["newPassword"] = json!(sent);
    let (ended, completion) = completion(&world, "user.resetPassword", true, with).await;
    assert_eq!(completion["secrets"], Value::Null);
    let starts = world.simulator.calls("user.resetPassword.start");
    assert_eq!(starts[0].body.as_ref().unwrap()["newPassword"], sent);
    assert!(!ended.to_string().contains(sent) && !completion.to_string().contains(sent));
    let stored = std::fs::read(world.data_file()).unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains(sent));
}
