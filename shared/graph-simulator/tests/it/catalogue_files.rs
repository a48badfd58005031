//! An operation that somebody brings along in two files, and the mistakes that files can have.

use std::path::PathBuf;
use std::{fs, io};

use bytes::Bytes;
use graph_simulator::{Action, Declared, Fault, Options, Simulator};
use http::Request;
use tokio::net::TcpListener;

use crate::world::*;

const CATALOGUE: &str = r#"
name = "printer.create"
[start]
method = "POST"
version = "v1.0"
path = "/print/printers/create"
monitor = ["location", "/print/operations/{answer/id}"]
[find]
path = "/print/operations?$filter=displayName eq '{operation/tag}'"
"#;
const SIMULATION: &str = r#"
[start]
status = 202
headers = { Operation-Location = "{{root}}/print/operations/{{job}}", Retry-After = "5" }
[poll]
headers = { Retry-After = "5" }
word = "/status/state"
[[phase]]
seconds = 0
document = '''{ "id": "{{job}}", "status": { "state": "running" }, "name": "{{body/displayName}}" }'''
[[phase]]
seconds = 10
outcome = "succeeded"
document = '''{ "id": "{{job}}", "status": { "state": "succeeded" }, "printers": [ { "{{for body/names}}": { "name": "{{each}}" } } ], "at": "{{start+10s}}" }'''
[find]
items = "/value"
"#;

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    folder
}

#[tokio::test]
async fn operation_of_somebody_elses_runs_from_two_files() {
    let files = [
        ("printer.create.toml", CATALOGUE),
        ("printer.create.sim.toml", SIMULATION),
        ("other.toml", ""),
    ];
    let declared = Declared::folder(&folder("own-operation", &files)).unwrap();
    let world = World::with(|options| {
        options.catalogue.extend(declared);
        options.faults = vec![Fault::new(
            "printer.create.poll",
            Action::throttled(429, Some("2")),
        )];
    })
    .await;
    let token = world.application().await;
    let body = r#"{"displayName":"Floor 3","names":["a","b"]}"#;
    let started = world
        .post("/v1.0/print/printers/create", &token, body)
        .await;
    assert_eq!(
        (started.status, started.header("retry-after")),
        (202, Some("5"))
    );
    let monitor = started.header("operation-location").unwrap();
    assert_eq!(world.get(monitor, &token).await.status, 429);
    let running = world.get(monitor, &token).await;
    assert_eq!(running.string("/name"), "Floor 3");
    assert_eq!(running.header("retry-after"), Some("5"));
    world.advance(10);
    let ended = world.get(monitor, &token).await;
    assert_eq!(ended.string("/printers/1/name"), "b");
    assert_eq!(ended.string("/at"), "2026-01-01T00:00:10Z");
    assert_eq!(ended.header("retry-after"), None);
    let list = world.get("/v1.0/print/operations", &token).await;
    assert_eq!(list.string("/value/0/status/state"), "succeeded");
}

#[test]
fn mistake_in_a_file_is_named() {
    let two = |from: &str, to: &str| (CATALOGUE.replace(from, to), SIMULATION.replace(from, to));
    for (from, to, named) in [
        ("seconds = 0", "secnds = 0", "secnds"),
        ("{{job}}", "{{jo b}}", "jo b"),
        ("\"{{each}}\"", "\"{{colour}}\"", "colour"),
        ("status = 202", "status = 99", "99"),
        ("outcome = \"succeeded\"", "", "outcome"),
        ("seconds = 0", "seconds = 1", "seconds = 0"),
        ("seconds = 10", "seconds = 0", "do not grow"),
        ("outcome = \"succeeded\"", "outcome = \"done\"", "done"),
        ("Retry-After", "\"Retry After\"", "Retry After"),
        (
            "\"name\": \"{{body",
            "name: \"{{body",
            "key must be a string",
        ),
        (
            "/print/operations/{answer/id}",
            "/print/x{answer/id}",
            "whole segment",
        ),
        ("[find]\npath", "[found]\npath", "find.path"),
        ("v1.0", "v3", "v3"),
        ("path = \"/print/printers/create\"", "", "start.path"),
        (
            "[start]\nstatus",
            "duplicate = \"refuse\"\n[start]\nstatus",
            "refuse.duplicate",
        ),
    ] {
        let (catalogue, simulation) = two(from, to);
        let error = Declared::read(&catalogue, &simulation)
            .unwrap_err()
            .to_string();
        assert!(error.contains(named), "{to}: {error}");
        assert!(error.contains("printer.create"), "{error}");
    }
    let alone = folder("alone", &[("printer.create.sim.toml", SIMULATION)]);
    let error = Declared::folder(&alone).unwrap_err().to_string();
    assert!(error.contains("is not beside it"), "{error}");
    let error = Declared::folder(&alone.join("nowhere"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[tokio::test]
async fn script_for_an_operation_that_is_not_there_is_refused() {
    let fault = Fault::new("printer.delete.poll", Action::LostAfter);
    let text = "[[faults]]\non = \"printer.delete.poll\"\naction = \"lost_after\"";
    let options = Options::from_toml(text, still()).unwrap();
    assert_eq!(options.faults, [fault]);
    let refused = start(options).await.err().unwrap().to_string();
    assert!(refused.contains("printer.delete.poll"), "{refused}");
    let mut options = Options::new(still());
    options
        .variants
        .insert("team.create".to_owned(), "nearly".to_owned());
    let refused = start(options).await.err().unwrap().to_string();
    assert!(refused.contains("nearly"), "{refused}");
    let world = World::new().await;
    let body = r#"{"on":"printer.delete.*","action":"lost_after"}"#;
    assert_eq!(world.post("/__script", "", body).await.status, 400);
    let body = r#"{"on":"team.create.*","action":"lost_after"}"#;
    assert_eq!(world.post("/__script", "", body).await.status, 204);
}

async fn start(options: Options) -> io::Result<Simulator> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Simulator::start(listener, options).await
}

#[test]
fn samples_are_what_is_sent() {
    for declared in Declared::shipped() {
        let samples = declared.samples("2026-03-01T10:00:00Z".parse().unwrap());
        assert!(
            samples
                .iter()
                .any(|sample| sample.variant == "ordinary" && sample.outcome == Some("succeeded"))
        );
        let ends: Vec<&str> = declared.ends().collect();
        for sample in &samples {
            assert!(sample.variant == "ordinary" || ends.contains(&sample.variant.as_str()));
            let text = sample
                .document
                .as_ref()
                .map_or_else(String::new, ToString::to_string);
            assert!(!text.contains("{{"), "{}: {text}", declared.name());
        }
        let search = declared.search_in_vain("2026-03-01T10:00:00Z".parse().unwrap());
        assert!(!search.is_some_and(|document| document.to_string().contains("{{")));
    }
}

/// A simulator without a listener knows the other host by its name.
#[test]
fn host_decides_where_there_is_no_listener() {
    let simulator = Simulator::detached(Options::new(still())).unwrap();
    let ask = |host: &str, path: &str| {
        let request = Request::get(path).header("host", host);
        let (answer, _) = simulator
            .exchange(request.body(Bytes::new()).unwrap())
            .unwrap();
        answer.status().as_u16()
    };
    let path = "/_api/v2.0/monitor/x";
    assert_eq!(ask("contoso.sharepoint.com", path), 404);
    assert_eq!(ask("graph.microsoft.com", path), 401);
    let calls: Vec<String> = simulator
        .journal()
        .into_iter()
        .map(|entry| entry.call)
        .collect();
    assert_eq!(calls, ["drive.copyItem.poll", "other"]);
}
