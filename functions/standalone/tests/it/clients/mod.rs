//! HTTP clients that callers have: each starts an operation and follows it to its end by its own means.
//!
//! A driver, in the folder `drivers`, makes one wrong request, starts `team.schedule`, sends a HEAD to the operation, and
//! follows `Location` and `Retry-After` of each answer. It writes what its client let it see. It knows the Basic credentials
//! and the API key of the same caller, and runs against `courier serve` and a simulated Graph.

mod wire;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use courier_testkit::tenants::{self, TICKETS_KEY};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::clients::wire::Wire;
use crate::libraries;
use crate::process::deployment::{QUICK, Site};
use crate::process::program::PATIENCE;

const USER: &str = "Tickets";
const PASSWORD: &str = "correct: horse";
/// With the SHA-256 of the password.
const BASIC: &str = r#"
[clients.tickets.basic]
username = "Tickets"
passwords = ["sha256:d4b9dec492ed05fda542291a8d6950a35e71265172464be267d7e9049ca45c3f"]
"#;

#[tokio::test]
async fn requests_follows_an_operation_that_it_started_in_chunks() {
    let wire = follow(in_python("python_requests.py").await).await;
    sent_in_chunks(&wire);
}

#[tokio::test]
async fn httpx_follows_an_operation_that_it_started_in_chunks() {
    let wire = follow(in_python("python_httpx.py").await).await;
    sent_in_chunks(&wire);
}

#[tokio::test]
async fn aiohttp_follows_an_operation_that_it_started_in_chunks() {
    let wire = follow(in_python("python_aiohttp.py").await).await;
    sent_in_chunks(&wire);
}

#[tokio::test]
async fn fetch_follows_an_operation_that_it_started_in_chunks() {
    let wire = follow(in_node(include_str!("drivers/node_fetch.mjs")).await).await;
    sent_in_chunks(&wire);
}

#[tokio::test]
async fn axios_follows_an_operation_that_it_started_in_chunks() {
    let wire = follow(in_node(include_str!("drivers/node_axios.mjs")).await).await;
    sent_in_chunks(&wire);
}

#[tokio::test]
async fn curl_follows_an_operation_that_it_started_when_it_was_challenged() {
    let wire = follow(in_python("python_pycurl.py").await).await;
    challenged(&wire);
}

#[tokio::test]
async fn java_follows_an_operation_that_it_started_when_it_was_challenged() {
    if std::process::Command::new("javac")
        .arg("-version")
        .output()
        .is_err()
    {
        eprintln!("not run: no JDK is installed, Java's HttpClient was not tried");
        return;
    }
    let mut java = Command::new("java");
    java.arg(drivers().join("JavaHttpClient.java"));
    let wire = follow(java).await;
    challenged(&wire);
}

/// Its driver ends with an error at a 202 without `Location`, as an action of Logic Apps would.
#[tokio::test]
async fn a_logic_app_polls_each_location_with_its_credentials_until_no_202_comes() {
    let wire = follow(in_python("logic_apps.py").await).await;
    let (sent, answered) = (wire.sent(), wire.answered());
    let calls = sent.matches("authorization: basic ").count();
    assert_eq!(calls, answered.matches("http/1.1 ").count(), "{answered}");
    assert_eq!(calls, wire.connections(), "one connection for each call");
}

fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients/drivers")
}

async fn in_python(driver: &str) -> Command {
    let bin = tokio::task::spawn_blocking(libraries::python)
        .await
        .unwrap();
    let mut python = Command::new(bin.join("python3"));
    python.arg("-B").arg(drivers().join(driver));
    python
}

async fn in_node(module: &'static str) -> Command {
    let node = tokio::task::spawn_blocking(|| libraries::node(module));
    Command::from(node.await.unwrap())
}

/// Runs a driver against the program and checks what its client saw; returns what went over the wire.
async fn follow(mut driver: Command) -> Wire {
    // Longer than the first `Retry-After`, so that a poll too is answered 202.
    let script = QUICK.replace("schedule_seconds = 1.0", "schedule_seconds = 2.5");
    let site = Site::new(&script).await;
    let file = site.path("courier.toml");
    let config = std::fs::read_to_string(&file).unwrap() + BASIC;
    std::fs::write(&file, config).unwrap();
    let (_server, api) = site.serve(&[]).await;
    let wire = Wire::before(&api).await;
    let (_, body) = tenants::request(&site.receiver, "schedule");
    // No proxy of the environment can reach loopback.
    driver
        .envs([("NO_PROXY", "*"), ("no_proxy", "*")])
        .args([&wire.origin, USER, PASSWORD, TICKETS_KEY, &body.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, driver.output()).await;
    let output = output.expect("the driver does not end").unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{errors}\n{}\n{}",
        wire.sent(),
        wire.answered()
    );
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{}", seen["client"].as_str().unwrap());
    refused(&seen["refused"]);
    let id = followed(seen["answers"].as_array().unwrap());
    headed(&seen["head"], &id);
    let jobs = site.jobs().await;
    assert_eq!(jobs.len(), 1, "no request was made twice: {jobs:?}");
    wire
}

/// The wrong request lacks `parameters`.
fn refused(answer: &Value) {
    assert_eq!(answer["status"], 400, "{answer}");
    assert_eq!(
        answer["headers"]["content-type"],
        "application/problem+json"
    );
    let problem = body(answer);
    assert_eq!(problem["status"], 400);
    let kind = problem["type"].as_str().unwrap();
    assert!(kind.ends_with("invalid-request"), "{kind}");
    assert_eq!(problem["errors"][0]["pointer"], "/parameters", "{problem}");
}

/// Checks the answers to the start and to each poll; returns the operation's id.
fn followed(answers: &[Value]) -> Value {
    let (last, earlier) = answers.split_last().unwrap();
    let ended = body(last);
    let id = &ended["id"];
    assert!(earlier.len() > 1, "{answers:?}");
    for answer in earlier {
        assert_eq!(answer["status"], 202, "{answer}");
        let (headers, operation) = (&answer["headers"], body(answer));
        assert_eq!(headers["content-type"], "application/json");
        let own = format!("/v1/operations/{}", id.as_str().unwrap());
        assert_eq!(headers["location"], own, "{answer}");
        let pause: u32 = headers["retry-after"].as_str().unwrap().parse().unwrap();
        assert!((1..=5).contains(&pause), "{answer}");
        assert_eq!(
            (&operation["id"], &operation["endedAt"]),
            (id, &Value::Null)
        );
    }
    assert_eq!(last["status"], 200, "{last}");
    assert_eq!(ended["status"], "succeeded", "{last}");
    id.clone()
}

/// Checks the answer to the HEAD, which came right after the start.
fn headed(answer: &Value, id: &Value) {
    assert_eq!(
        (&answer["status"], &answer["text"]),
        (&json!(202), &json!(""))
    );
    let own = format!("/v1/operations/{}", id.as_str().unwrap());
    assert_eq!(answer["headers"]["location"], own, "{answer}");
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["text"].as_str().unwrap()).unwrap()
}

/// Checks that a client used a connection again, sent a body of unknown length, and told which encodings it reads.
fn sent_in_chunks(wire: &Wire) {
    let sent = wire.sent();
    assert!(sent.contains("transfer-encoding: chunked\r\n"), "{sent}");
    assert!(sent.contains("accept-encoding: "), "{sent}");
    // Some close a connection that is idle for as long as a `Retry-After`, and `fetch` closes it after a HEAD.
    let requests = sent.matches(" http/1.1\r\n").count();
    assert!(wire.connections() < requests, "{sent}");
}

/// Checks that a client that sends nothing before it is challenged was challenged, and was told to go on with its body.
fn challenged(wire: &Wire) {
    let (sent, answered) = (wire.sent(), wire.answered());
    let first = sent.split("\r\n\r\n").next().unwrap();
    assert!(!first.contains("authorization: "), "{first}");
    assert!(answered.contains("http/1.1 401 "), "{answered}");
    assert!(
        answered.contains("www-authenticate: basic realm="),
        "{answered}"
    );
    assert!(sent.contains("expect: 100-continue\r\n"), "{sent}");
    assert!(answered.contains("http/1.1 100 continue\r\n"), "{answered}");
}
