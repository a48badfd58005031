//! The templates of `infra/examples`: what the linters say, and what they do on MiniStack.

use std::process::Command;

use cloud_testkit::ministack::MiniStack;
use cloud_testkit::python;
use courier_core::http::intake::{self, Taken};
use courier_testkit::tenants::config_with_storages;
use courier_testkit::world::World;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::linters::passes;
use crate::binaries::root;

const PERSON: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";

/// The clients of the examples, each with an intake queue of its own.
const CLIENTS: &str = r#"
[clients.dsar-bus]
tenant = "contoso"
source = "sqs:dsar-bus"
operations = ["user.exportPersonalData"]
event_sources = ["com.contoso.privacy"]
[clients.state-machines]
tenant = "contoso"
source = "sqs:state-machines"
operations = ["team.archive"]
event_sources = ["com.contoso.state-machines"]
callback_origins = ["https://states.us-east-1.amazonaws.com"]
[clients.state-machines.callback]
profile = "step-functions"
sigv4 = { region = "us-east-1" }
[aws]
access_key_id = "env:AWS_KEY_ID"
secret_access_key = "env:AWS_KEY"
[seal]
"#;

/// The templates, by their paths from the root.
fn templates() -> Vec<String> {
    let folder = root().join("infra/examples");
    let folders = std::fs::read_dir(&folder).unwrap().map(Result::unwrap);
    let files = folders
        .filter(|entry| entry.path().is_dir())
        .flat_map(|entry| std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap));
    let path = |file: std::fs::DirEntry| file.path().to_str().unwrap().to_owned();
    let found: Vec<String> = files.map(path).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    found
}

#[test]
fn cfn_lint_and_checkov_pass_the_examples() {
    let templates = templates();
    let mut line = vec!["cfn-lint"];
    line.extend(templates.iter().map(String::as_str));
    passes("sam", &line);
    let mut line = vec!["checkov", "--config-file", "infra/checkov.yaml"];
    line.extend(templates.iter().flat_map(|path| ["--file", path.as_str()]));
    passes("checkov", &line);
}

/// The systems around graph-courier are those of MiniStack, which grants them every permission and tries nothing again.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_becomes_a_request_and_an_end_reaches_its_targets() {
    let seen = played().await;
    requests_are_complete(&seen);
    ends_reach_their_targets(&seen);
    graph_courier_takes_the_requests(seen).await;
}

/// What reached whom when `examples.py` had played the systems around graph-courier.
async fn played() -> Value {
    let ministack = MiniStack::start().await;
    let url = ministack.url().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python::ministack().join("python3"))
            .args(["-B", "-c", include_str!("examples.py"), &url])
            .arg(root().join("infra/examples"))
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}{}", ministack.output());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn requests_are_complete(seen: &Value) {
    let reference = "RITM\"1";
    let request = json!({
        "operation": "user.exportPersonalData",
        "parameters": { "userId": PERSON, "storage": "dsar-eu" },
        "reference": reference,
        "legal": { "regulation": "gdpr", "receivedAt": "2026-01-31T09:12:00+01:00", "timeZone": "Europe/Berlin" },
    });
    for event in [&seen["queued"], &seen["posted"]["body"]] {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "io.graph-courier.operation.requested");
        assert_eq!(event["source"], "com.contoso.privacy");
        assert_eq!(event["subject"], reference);
        assert_eq!(event["data"], request, "{event}");
    }
    let posted = &seen["posted"];
    assert_eq!(posted["path"], "/v1/operations");
    for (name, value) in [
        ("content-type", "application/cloudevents+json"),
        ("prefer", "respond-async"),
        ("x-api-key", "key-of-the-client"),
    ] {
        assert_eq!(posted["headers"][name], value, "{name}");
    }

    let asked = &seen["asked"];
    assert_eq!(asked["id"], "RITM2");
    let data = json!({
        "operation": "team.archive",
        "parameters": { "teamId": PERSON },
        "reference": "RITM2",
        "callback": { "url": "https://states.us-east-1.amazonaws.com" },
    });
    assert_eq!(asked["data"], data);
}

fn ends_reach_their_targets(seen: &Value) {
    for told in ["ended", "for people"] {
        assert_eq!(seen[told]["metadata"]["client"], "dsar-bus", "{told}");
    }
    let operation = json!({ "id": "op_1", "status": "succeeded" });
    assert_eq!(seen["followed up"], json!([operation]));
    let ends = json!([
        ["SUCCEEDED", null],
        ["FAILED", "Unknown"],
        ["ABORTED", "Refused"],
    ]);
    assert_eq!(seen["executions"], ends);
}

/// The messages as they came out of the queue are requests that are stored.
async fn graph_courier_takes_the_requests(mut seen: Value) {
    let world = World::with(|setup| {
        setup.config = config_with_storages().replace("[seal]\n", CLIENTS);
    })
    .await;
    seen["asked"]["data"]["callback"]["token"] = "token-of-the-task".into();
    for (queue, message) in [("dsar-bus", "queued"), ("state-machines", "asked")] {
        let text = seen[message].to_string();
        let taken = intake::take(&world.app, queue, &text, Timestamp::MAX).await;
        assert!(matches!(taken, Taken::Accepted), "{message}: {taken:?}");
    }
}
