//! Where a function's configuration comes from, what it says when something is missing, and when it reads it again.

use std::time::Duration;

use cloud_testkit::function::{Function, Options, Outcome};
use cloud_testkit::proxy::{Action, Fault};
use courier_testkit::tenants::{
    self, CALLBACK_TOKEN, GRAPH_SECRET, REFRESH_TOKEN, SAS_SIGNATURE, SEAL_KEY, SIGNING_SECRETS,
    TICKETS_KEY,
};
use serde_json::{Value, json};

use crate::binaries::{FUNCTIONS, binary};
use crate::cloud::{Cloud, secrets};

const MINUTE: Duration = Duration::from_secs(60);
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_its_variables_ends_and_names_them_all() {
    for name in FUNCTIONS {
        let function = Function::start(
            &binary(name),
            &[("COURIER_CONFIG", "courier.toml")],
            Options::default(),
        );
        assert_eq!(function.invoke(&json!({})).await, Outcome::Crashed);
        let logs = function.logs();
        for complaint in [
            "COURIER_CONFIG must be aws-secret:ARN[#key], aws-ssm:NAME or file:PATH",
            "COURIER_QUEUE_URL is not set",
            "COURIER_TABLE is not set",
        ] {
            assert!(
                logs.contains(complaint),
                "{name}: {complaint} not in\n{logs}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_a_start_up_error_that_names_the_key() {
    let cloud = Cloud::new().await;
    let secrets =
        json!({ "GRAPH_SECRET": GRAPH_SECRET, "SEAL_KEY": SEAL_KEY, "SIGNING_NEW": "whsec_!" });
    cloud
        .replace_secret("courier/secrets", &secrets.to_string())
        .await;
    assert_eq!(cloud.start.invoke(&json!({})).await, Outcome::Crashed);
    let logs = cloud.start.logs();
    for complaint in [
        "graph.tenants.contoso.refresh_token: the secret arn:",
        "has no text under the key REFRESH_TOKEN",
        "clients.tickets.signing_secrets[0]:",
        "clients.tickets.signing_secrets[1]: the secret arn:",
    ] {
        assert!(logs.contains(complaint), "{complaint} not in\n{logs}");
    }
    assert!(
        !logs.contains(GRAPH_SECRET) && !logs.contains("whsec_!"),
        "{logs}"
    );
}

/// A function whose configuration is a parameter.
async fn of_a_parameter(cloud: &Cloud, document: &str) -> Function {
    let name = "/courier/config";
    cloud.ministack.put_parameter(name, document).await;
    let place = format!("aws-ssm:{name}");
    cloud.function("start-operation", &[("COURIER_CONFIG", &place)])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_may_be_a_parameter_of_systems_manager() {
    let cloud = Cloud::new().await;
    let document = format!("# a comment that nobody needs\n{}", cloud.config);
    let start = of_a_parameter(&cloud, &document).await;
    for action in [
        Action::unavailable(),
        Action::refuse(400, "ThrottlingException", "Rate exceeded"),
    ] {
        cloud.proxy.fault(Fault::on("GetParameter", action));
    }
    let api = cloud_testkit::gateway::Gateway::function_url(&start);
    let answer = api
        .request("GET", "/v1/operations", &[("x-api-key", TICKETS_KEY)], b"")
        .await;
    assert_eq!(answer.status, 200, "{answer:?} {}", start.logs());
    let calls = cloud.proxy.calls("GetParameter");
    assert_eq!(calls.len(), 3, "two failed and were tried again");
    for call in &calls {
        let header = call
            .headers
            .iter()
            .find(|(name, _)| name == "authorization");
        let authorization = &header.unwrap().1;
        assert!(
            authorization.contains("/us-east-1/ssm/aws4_request"),
            "{authorization}"
        );
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-target";
        assert!(authorization.contains(signed), "{authorization}");
        let request: Value = serde_json::from_slice(&call.request).unwrap();
        let expected = json!({ "Name": "/courier/config", "WithDecryption": true });
        assert_eq!(request, expected);
    }
    assert!(
        !start.logs().contains("nobody needs"),
        "at the level of trace"
    );
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_cannot_be_read_is_a_start_up_error_that_says_why() {
    let cloud = Cloud::new().await;
    let place = ("COURIER_CONFIG", "aws-ssm:/courier/none");
    let start = cloud.function("start-operation", &[place]);
    assert_eq!(start.invoke(&json!({})).await, Outcome::Crashed);
    let logs = start.logs();
    let complaint = "COURIER_CONFIG: the parameter /courier/none cannot be read: service error: ";
    for words in [complaint, "ParameterNotFound"] {
        assert!(logs.contains(words), "{words} not in\n{logs}");
    }
    assert_eq!(
        cloud.proxy.calls("GetParameter").len(),
        1,
        "not tried again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_client_secret_is_read_again_once_when_the_old_one_is_refused() {
    let cloud = Cloud::new().await;
    let reads = || cloud.proxy.calls("GetSecretValue").len();
    let body = |team: &str| tenants::schedule(&cloud.receiver, team);
    let first = cloud.post("one", &body(TEAM)).await.json();
    cloud.closed(first["id"].as_str().unwrap(), MINUTE).await;
    let before = reads();

    cloud.simulator.set_client_secret(Some("rotated"));
    cloud.simulator.revoke_access_tokens();
    cloud.clock.advance(Duration::from_secs(3600));
    let second = cloud
        .post("two", &body("00000000-3a6a-4392-bfe1-042452793a50"))
        .await;
    assert_eq!(second.status, 202, "{second:?}");
    let id = second.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(cloud.operation(&id).await["reason"], "authorization_lost");
    let mut secrets = secrets();
    secrets["GRAPH_SECRET"] = json!("rotated");
    cloud
        .replace_secret("courier/secrets", &secrets.to_string())
        .await;
    let operation = cloud.closed(&id, MINUTE).await;
    assert_eq!(operation["status"], "succeeded", "{operation}");
    // Two documents each time: once for age and once for the refusal in either function, at most.
    assert!(reads() - before <= 10, "{} reads", reads() - before);
    cloud.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_api_key_is_known_at_once_and_wrong_keys_read_nothing_again_and_again() {
    let cloud = Cloud::new().await;
    let call = async |key: &str| {
        let headers = [("x-api-key", key)];
        cloud
            .api
            .request("GET", "/v1/operations", &headers, b"")
            .await
            .status
    };
    assert_eq!(call(TICKETS_KEY).await, 200);
    let reads = || cloud.proxy.calls("GetSecretValue").len();
    let before = reads();
    cloud.clock.advance(MINUTE);
    for _ in 0..10 {
        assert_eq!(call("new-key").await, 401);
    }
    assert_eq!(reads() - before, 2, "document and secrets, once a minute");
    // SHA-256 of `new-key`.
    let added = "\"sha256:479a61d5370a0351ad498a8f324e0f9ad50bfafbe4c044ea49cbe3981e8cb573\"";
    let text = cloud
        .config
        .replacen("api_keys = [", &format!("api_keys = [{added}, "), 1);
    cloud.replace_secret("courier/config", &text).await;
    cloud.clock.advance(MINUTE);
    assert_eq!(call("new-key").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_or_queued_or_kept_readable_at_any_log_level() {
    let cloud = Cloud::new().await.logging("trace");
    let bodies = [
        tenants::export(
            &cloud.receiver,
            "6e7b768e-07e2-4810-8459-485f84f8f204",
            "dsar",
        ),
        tenants::goals(
            &cloud.receiver,
            "94a356ab-53d5-40e7-8a85-053d6d3b9eb3",
            "e5e7a3c1-8cdf-409d-9ce9-ff730d65d95e",
        ),
        tenants::schedule(&cloud.receiver, TEAM),
    ];
    for (key, body) in ["a", "b", "c"].iter().zip(&bodies) {
        let answer = cloud.post(key, body).await.json();
        let operation = cloud.closed(answer["id"].as_str().unwrap(), MINUTE).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
    }
    let logs = format!("{}{}", cloud.start.logs(), cloud.poll.logs());
    assert!(
        logs.contains("\"requestId\"") && logs.contains("operation.id"),
        "{logs}"
    );
    assert!(logs.contains("\"_aws\""), "metrics are lines of the log");
    let access = |line: &&str| line.contains("\"target\":\"access\"");
    let posts = logs.lines().filter(access);
    let posts: Vec<&str> = posts.filter(|line| line.contains("POST")).collect();
    assert_eq!(posts.len(), 3, "each request is one line: {posts:#?}");
    for part in [
        "\"client\":\"tickets\"",
        "\"request.id\":",
        "\"status\":202",
    ] {
        assert!(posts.iter().all(|line| line.contains(part)), "{posts:#?}");
    }
    let kept: Vec<Value> = cloud.ministack.items("courier").await;
    let kept = json!(kept).to_string();
    for canary in [
        GRAPH_SECRET,
        REFRESH_TOKEN,
        SAS_SIGNATURE,
        CALLBACK_TOKEN,
        SIGNING_SECRETS[0],
        SEAL_KEY,
        TICKETS_KEY,
        "canary",
    ] {
        assert!(!logs.contains(canary), "{canary} was logged");
        assert!(!kept.contains(canary), "{canary} is readable in the table");
        let leaks = cloud.proxy.find(canary).into_iter();
        let places: Vec<_> = leaks
            .map(|call| call.operation)
            .filter(|name| name != "GetSecretValue")
            .collect();
        assert_eq!(places, Vec::<String>::new(), "{canary} went elsewhere");
    }
}
