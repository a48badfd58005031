//! The seal key is checked once when a function starts, and that costs one read at most.

use std::time::Duration;

use cloud_testkit::function::{Function, Outcome};
use cloud_testkit::gateway::Gateway;
use cloud_testkit::proxy::{Action, Fault};
use courier_testkit::tenants::{self, SEAL_KEY_NEW, TICKETS_KEY};
use serde_json::{Value, json};

use crate::binaries::FUNCTIONS;
use crate::cloud::{Cloud, secrets};

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

/// A cloud whose table is in use.
async fn used() -> Cloud {
    let cloud = Cloud::new().await;
    let answer = cloud
        .post("k", &tenants::schedule(&cloud.receiver, TEAM))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    cloud
}

async fn list(function: &Function) -> u16 {
    let headers = [("x-api-key", TICKETS_KEY)];
    let api = Gateway::http_api(function);
    api.request("GET", "/v1/operations", &headers, b"")
        .await
        .status
}

/// Replaces the seal key in the secret that the configuration names.
async fn replace_seal_key(cloud: &Cloud) {
    let mut secrets = secrets();
    secrets["SEAL_KEY"] = json!(SEAL_KEY_NEW);
    cloud
        .replace_secret("courier/secrets", &secrets.to_string())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_seal_key_is_a_start_up_error_and_a_running_function_keeps_the_right_one() {
    let cloud = used().await;
    replace_seal_key(&cloud).await;
    for name in FUNCTIONS {
        let function = cloud.function(name, &[]);
        assert_eq!(
            function.invoke(&json!({})).await,
            Outcome::Crashed,
            "{name}"
        );
        let words = "seal.key: the data here was sealed with another key, which has the id ";
        assert!(
            function.logs().contains(words),
            "{name}: {}",
            function.logs()
        );
    }
    cloud.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(list(&cloud.start).await, 200);
    let words = "configuration reload failed; keeping the previous one";
    assert!(cloud.start.logs().contains(words), "{}", cloud.start.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_the_seal_key_is_one_read_for_each_process() {
    let cloud = used().await;
    let reads = || {
        let calls = cloud.proxy.calls("GetItem").into_iter();
        let keys = calls.map(|call| serde_json::from_slice::<Value>(&call.request).unwrap());
        keys.filter(|request| request["Key"].to_string().contains("deployment"))
            .count()
    };
    let before = reads();
    let function = cloud.function("start-operation", &[]);
    for _ in 0..3 {
        assert_eq!(list(&function).await, 200);
    }
    assert_eq!(reads() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_older_records_looks_for_none() {
    let cloud = used().await;
    let reads = || cloud.proxy.calls("GetItem").len();
    let before = reads();
    let body = tenants::schedule(&cloud.receiver, "00000000-3a6a-4392-bfe1-042452793a50");
    let answer = cloud.post_later("another", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    // The line of the team's starts is read.
    assert_eq!(reads() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_keeps_no_function_from_starting() {
    let cloud = used().await;
    let hang = Fault::on("GetItem", Action::Hang)
        .containing("deployment")
        .times(1);
    cloud.proxy.fault(hang);
    let function = cloud.function("start-operation", &[]);
    assert_eq!(list(&function).await, 200);
    let words = "the seal key is checked at the next use";
    assert!(function.logs().contains(words), "{}", function.logs());
    // The next use reads it, and finds the operation of the key.
    let body = tenants::schedule(&cloud.receiver, TEAM).to_string();
    let headers = [
        ("x-api-key", TICKETS_KEY),
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let api = Gateway::http_api(&function);
    let again = api
        .request("POST", "/v1/operations", &headers, body.as_bytes())
        .await;
    assert_eq!(again.status, 202, "{again:?}");
    let replayed = again
        .headers
        .iter()
        .any(|(name, _)| name == "idempotency-replayed");
    assert!(replayed, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_filter_that_is_none_keeps_a_function_from_starting() {
    let cloud = Cloud::new().await;
    let function = cloud.function("start-operation", &[("COURIER_LOG", "inof")]);
    assert_eq!(function.invoke(&json!({})).await, Outcome::Crashed);
    let words = "is not a level (off, error, warn, info, debug or trace)";
    assert!(function.logs().contains(words), "{}", function.logs());
}
