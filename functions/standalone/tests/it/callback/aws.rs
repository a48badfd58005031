//! Other people's judges of what we send to AWS: an emulator that checks signatures and permissions, and botocore.

use std::process::Command;

use cloud_testkit::ministack::{MiniStack, Setup};
use cloud_testkit::python;
use courier_testkit::tenants::AWS_KEYS;
use serde_json::{Value, json};

use crate::callback::profiles::{CASES, delivered};
use crate::libraries::output;
use crate::process::deployment::{QUICK, Site};
use crate::rules::root;

/// Runs a Python program of this directory, which may import boto3; returns the JSON that it wrote.
async fn with_boto(program: &'static str, input: Value) -> Value {
    let run = move || {
        let folder = root().join("functions/standalone/tests/it/callback");
        let mut python = Command::new(python::ministack().join("python3"));
        output(
            python.arg("-B").arg(folder.join(program)),
            &input.to_string(),
        )
    };
    let written = tokio::task::spawn_blocking(run).await.unwrap();
    serde_json::from_str(&written).unwrap()
}

const TARGETS: &str = "aws.py";

/// The profiles of the client, with what the emulator has made in the places of their targets.
fn profiles(made: &Value) -> String {
    let target = |name: &str, base: &str, target: &Value| {
        format!(
            "[clients.tickets.profiles.{name}]\nprofile = \"{base}\"\ntarget = {target}\nsigv4 = {{}}\n"
        )
    };
    [
        target("queue", "sqs", &made["queues"]["direct"]),
        target("topic", "sns", &made["topic"]),
        target("bus", "eventbridge", &made["buses"]["privacy"]),
        target("closed", "eventbridge", &made["buses"]["closed"]),
        "[clients.tickets.profiles.step-functions]\nsigv4 = {}\n".to_owned(),
        "[clients.tickets.profiles.lambda-durable]\nsigv4 = {}\n".to_owned(),
        "[aws]\nregion = \"us-east-1\"\naccess_key_id = \"env:KEY_ID\"\nsecret_access_key = \"env:KEY\"\n".to_owned(),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_arrive_at_queue_topic_bus_and_task_of_an_emulator_that_checks_signatures() {
    let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let setup = Setup {
        variables: vec![word("AUTH", "true"), word("MINISTACK_HOST", "127.0.0.1")],
        ..Setup::default()
    };
    let stack = MiniStack::start_with(setup).await;
    let mut made = with_boto(TARGETS, json!({ "url": stack.url() })).await;
    let site = Site::new(QUICK).await;
    let file = site.path("courier.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let origin = format!("callback_origins = [\"{}\", ", stack.url());
    let config = config.replace("callback_origins = [", &origin) + &profiles(&made);
    let bus = &made["buses"]["announcements"];
    let endpoint = stack.url();
    let config = format!(
        "{config}[events]\nsource = \"https://courier.example\"\nbus = {bus}\nendpoint = \"{endpoint}\"\n"
    );
    std::fs::write(&file, config).unwrap();
    let key = |index: usize| made["key"][index].as_str().unwrap().to_owned();
    let (id, secret) = (key(0), key(1));
    let (_server, api) = site.serve(&[("KEY_ID", &id), ("KEY", &secret)]).await;
    let token = made["token"].clone();
    let mut ids = Vec::new();
    for (profile, token) in [
        ("queue", Value::Null),
        ("topic", Value::Null),
        ("bus", Value::Null),
        ("step-functions", token),
        ("step-functions", json!("AAAA")),
        ("lambda-durable", json!("YS9i+/8=")),
        ("closed", Value::Null),
    ] {
        let body = json!({
            "operation": "team.schedule",
            "parameters": { "teamId": uuid::Uuid::new_v4().to_string(), "schedule": { "enabled": true, "timeZone": "America/Chicago" } },
            "callback": { "url": stack.url(), "profile": profile, "token": token },
        });
        let answer = site
            .post(&api, &format!("{profile}-{}", ids.len()), &body)
            .await;
        ids.push(answer.unwrap().id());
    }
    for id in &ids[..4] {
        let closed = site.closed(&api, id).await;
        assert_eq!(closed["callback"]["status"], "delivered", "{closed}");
    }
    made["url"] = json!(stack.url());
    let arrived = with_boto(TARGETS, made).await;
    let ended = |completion: &Value| (completion["type"].clone(), completion["data"]["id"].clone());
    let is = |id: &String| (json!("operation.succeeded"), json!(id));
    assert_eq!(ended(&arrived["direct"]), is(&ids[0]));
    assert_eq!(ended(&arrived["of-topic"]), is(&ids[1]));
    let event = &arrived["of-bus"];
    assert_eq!(ended(&event["detail"]), is(&ids[2]));
    assert_eq!(event["detail-type"], "Graph Operation Completion");
    let announced = &arrived["of-announcements"];
    assert_eq!(announced["detail-type"], "Graph Operation Ended");
    assert_eq!(announced["detail"]["data"]["status"], "succeeded");
    assert_eq!(
        announced["detail"]["metadata"]["source"],
        "https://courier.example"
    );
    let resource = format!("urn:graph-courier:operation:{}", ids[2]);
    assert_eq!(event["resources"], json!([resource]));
    let execution = &arrived["execution"];
    assert_eq!(
        (&execution[0], &execution[1]["id"]),
        (&json!("SUCCEEDED"), &json!(ids[3]))
    );
    // The signature was right, or another error would be named.
    for (id, error) in [
        (&ids[4], "TaskDoesNotExist"),
        (&ids[5], "ResourceNotFoundException"),
    ] {
        let closed = site.closed(&api, id).await;
        assert_eq!(closed["callback"]["status"], "undeliverable", "{closed}");
        assert_eq!(closed["callback"]["attempts"], 1);
        let detail =
            format!("the receiver names the error {error}, after which trying again is of no use");
        assert_eq!(attempted(&site, &api, id).await["detail"], detail.as_str());
    }
    let denied = attempted(&site, &api, &ids[6]).await;
    assert_eq!(
        denied["detail"],
        "the receiver names the error AccessDeniedException"
    );
    let open = site.get(&api, &format!("/v1/operations/{}", ids[6])).await;
    assert_eq!(open.unwrap().body["callback"]["status"], "retrying");
}

/// Returns the last attempt in the history.
async fn attempted(site: &Site, api: &str, id: &str) -> Value {
    let history = site.get(api, &format!("/v1/operations/{id}/history")).await;
    let history = history.unwrap().body["history"].as_array().unwrap().clone();
    let mut lines = history.into_iter().rev();
    lines
        .find(|line| line["event"] == "callbackAttempt")
        .unwrap()
}

#[tokio::test]
async fn botocore_makes_the_same_signature_of_each_target() {
    let mut sent = Vec::new();
    let mut ours = Vec::new();
    for case in CASES.iter().filter(|case| case.is_signed_for_aws()) {
        let (_world, callback) = delivered(case).await;
        let headers: serde_json::Map<_, _> = callback
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let proof = callback.header("authorization").unwrap();
        ours.push(json!(proof.rsplit("Signature=").next().unwrap()));
        let body = String::from_utf8_lossy(&callback.body);
        sent.push(
            json!({ "path": callback.path, "headers": headers, "body": body, "keys": AWS_KEYS }),
        );
    }
    assert_eq!(sent.len(), 5);
    assert_eq!(
        with_boto("aws_signatures.py", Value::Array(sent)).await,
        Value::Array(ours)
    );
}
