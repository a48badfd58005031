//! What the log says at its usual level when a receiver or Graph fails: who, what, and when it goes on; and no flood.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use courier_testkit::receiver::{Answer, Receiver};
use courier_testkit::world::World;
use courier_testkit::world_requests::body;
use graph_simulator::{Action, Fault, StatusAction};
use serde_json::{Value, json};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::callback::circuit_breaker::{OAUTH, ended};
use crate::callback::profiles;

/// The lines that this thread has logged at INFO and above, as JSON.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Takes the lines of this thread, where a test of one thread also runs the server, until the guard is dropped.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn about(&self, message: &str) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let found = lines.filter(|line: &Value| {
            let said = line["fields"]["message"].as_str().unwrap_or_default();
            said.contains(message)
        });
        found.collect()
    }
}

const FAILED: &str = "the receiver did not take the completion";
const UNDELIVERABLE: &str = "the completion is undeliverable";

#[tokio::test]
async fn a_failed_delivery_is_a_warning_with_host_client_operation_attempt_status_and_next_time() {
    let (lines, _guard) = Lines::listen();
    let world = World::new().await;
    world.receiver.answer_next(Answer::status(500));
    world.receiver.answer_next(Answer::status(410));
    let id = ended(&world, 1).await.remove(0);
    let next = world.operation(&id).await["callback"]["nextAttemptAt"].clone();
    world.closed(&id).await;
    let host = world.receiver.origin().replace("http://", "");
    for (message, attempt, status) in [(FAILED, 1, 500), (UNDELIVERABLE, 2, 410)] {
        let line = lines.about(message).remove(0);
        assert_eq!(line["level"], "WARN");
        let fields = &line["fields"];
        for (name, value) in [
            ("client", json!("tickets")),
            ("host", json!(host)),
            ("operation.id", json!(id)),
            ("attempt", json!(attempt)),
            ("status", json!(status)),
        ] {
            assert_eq!(fields[name], value, "{name} in {line}");
        }
        assert!(!line.to_string().contains("/as/"), "{line}");
    }
    let told: jiff::Timestamp = lines.about(FAILED)[0]["fields"]["next"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(format!("{told:.3}"), next.as_str().unwrap());
}

#[tokio::test]
async fn a_failing_receiver_fills_the_log_with_one_line_a_minute_and_recovers_with_one() {
    let (lines, _guard) = Lines::listen();
    let world = World::new().await;
    world.receiver.answer_otherwise(Answer::status(503));
    let ids = ended(&world, 40).await;
    assert_eq!(lines.about(FAILED).len(), 1);
    assert_eq!(lines.about("the receiver is down").len(), 1);
    for _ in 0..60 {
        world.advance(Duration::from_secs(10)).await;
    }
    let failed = lines.about(FAILED);
    assert!((2..=11).contains(&failed.len()), "{}", failed.len());
    assert_eq!(failed[1]["fields"]["left_out"], 5, "{}", failed[1]);
    world.receiver.answer_otherwise(Answer::status(204));
    for id in ids {
        world.closed(&id).await;
    }
    let recovered = lines.about("the receiver answers again");
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0]["level"], "INFO");
}

#[tokio::test]
async fn the_kind_of_connection_trouble_is_in_the_history_and_in_the_log() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    // No resolver takes a label of more than 63 characters, so no query leaves this machine.
    let nowhere = format!("http://{}.example", "x".repeat(64));
    for (origin, detail) in [
        (format!("http://127.0.0.1:{port}"), "the host refused it"),
        ("https://{plain}".to_owned(), "TLS was not agreed on"),
        (nowhere, "the host name cannot be resolved"),
        (
            format!("http://localhost:{port}"),
            "the host has an address that must not be called",
        ),
    ] {
        let (lines, _guard) = Lines::listen();
        let clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
        let plain = Receiver::start(clock).await.unwrap();
        let origin = origin.replace("{plain}", &plain.origin().replace("http://", ""));
        let is_forbidden = origin.contains("localhost");
        let world = World::with(|setup| {
            let known = "callback_origins = [\"{receiver}\"]";
            let both = format!("callback_origins = [\"{origin}\"]");
            setup.config = setup.config.replace(known, &both);
            if is_forbidden {
                setup.config = setup.config.replace("127.0.0.0/8", "10.20.0.0/16");
            }
        })
        .await;
        world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
        let mut body = world.schedule();
        body["callback"]["url"] = json!(format!("{origin}/canary-path"));
        let answer = world.post(&body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.id();
        world.work().await;
        let detail = format!("no connection: {detail}");
        let history = world.get(&format!("/v1/operations/{id}/history")).await;
        let history = history.body["history"].as_array().unwrap().clone();
        let attempt = history
            .iter()
            .find(|line| line["event"] == "callbackAttempt");
        assert_eq!(attempt.unwrap()["detail"], detail, "{origin}");
        let line = lines.about(FAILED).remove(0);
        assert_eq!(line["fields"]["detail"], detail);
        assert!(!line.to_string().contains("canary"), "{line}");
    }
}

#[tokio::test]
async fn a_refused_start_is_a_warning_with_graphs_code_and_request_id() {
    let (lines, _guard) = Lines::listen();
    let world = World::new().await;
    let refusal = StatusAction {
        status: 400,
        code: Some("badThing".to_owned()),
        ..StatusAction::default()
    };
    let fault = Fault::new("goals.start", Action::Status(Box::new(refusal)));
    world.simulator.script(fault);
    let answer = world.post(&body(&world, "goals")).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let operation = world.operation(&answer.id()).await;
    let line = lines.about("Graph refused the start").remove(0);
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["fields"]["code"], "badThing");
    assert_eq!(line["fields"]["status"], 400);
    assert_eq!(
        line["fields"]["request_id"],
        operation["graph"]["requestId"]
    );
    assert!(operation["graph"]["requestId"].is_string());
    world.closed(&answer.id()).await;
}

#[tokio::test]
async fn an_operation_that_waits_for_authorization_or_ends_unknown_is_a_warning() {
    let (lines, _guard) = Lines::listen();
    let world = World::with(|setup| setup.timeouts.graph = Duration::from_millis(400)).await;
    let lost = Fault::new("export.start", Action::ResetAfter);
    world.simulator.script(lost);
    let unknown = world.post(&body(&world, "export")).await.id();
    assert_eq!(world.ended(&unknown).await["status"], "unknown");
    let line = lines.about("the operation ended as unknown").remove(0);
    assert_eq!(line["fields"]["reason"], "start_outcome_unknown");
    assert_eq!(line["fields"]["operation.id"], unknown.as_str());
    world.simulator.set_client_secret(Some("rotated"));
    world.simulator.revoke_access_tokens();
    world.clock.advance(Duration::from_secs(7200));
    for number in 0..3 {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = json!(format!("871dbd5c-3a6a-4392-bfe1-{number:012}"));
        world.post(&body).await;
    }
    let waiting = lines.about("the operation waits");
    assert_eq!(waiting.len(), 1, "one line a minute for a tenant");
    assert_eq!(waiting[0]["fields"]["tenant"], "contoso");
    world.simulator.set_client_secret(None);
}

#[tokio::test]
async fn a_receivers_token_endpoint_that_refuses_is_named_with_its_error() {
    let (lines, _guard) = Lines::listen();
    let world = profiles::world(OAUTH).await;
    world.receiver.answer_next(Answer::Status {
        status: 401,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: r#"{"error":"access_denied","error_description":"canary of the receiver"}"#.into(),
    });
    let id = ended(&world, 1).await.remove(0);
    let detail = "the token endpoint answered 401 access_denied";
    let history = world.get(&format!("/v1/operations/{id}/history")).await;
    let history = history.body["history"].as_array().unwrap().clone();
    let line = history
        .iter()
        .find(|line| line["event"] == "callbackPostponed");
    assert_eq!(line.unwrap()["detail"], detail, "{history:?}");
    let warning = lines
        .about("could not get an access token for a receiver")
        .remove(0);
    assert_eq!(warning["fields"]["error"], detail);
    assert!(!format!("{history:?} {warning}").contains("canary"));
}
