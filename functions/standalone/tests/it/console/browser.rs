//! The console in a real Chromium: a person works with it by mouse and keyboard, on wide and narrow screens, in the dark
//! and without scripts. axe judges its pages, and pictures of them are left in `target/console`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use cloud_testkit::python;
use courier_local::{Limits, serve};
use courier_testkit::receiver;
use courier_testkit::world::World;
use graph_simulator::{Action, Fault, StatusAction};
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{AUDITOR, NIGHT, operators};
use crate::libraries;

const CHROMIUM: &str = "/usr/bin/chromium";

/// Installs Debian's Chromium unless it is there.
fn install_chromium() {
    if Path::new(CHROMIUM).exists() {
        return;
    }
    let _lock = python::lock(&std::env::temp_dir().join("courier-chromium"));
    for arguments in [
        ["update", "-qq", "-y"].as_slice(),
        &[
            "install",
            "-qq",
            "-y",
            "--no-install-recommends",
            "chromium",
            "fonts-dejavu-core",
        ],
    ] {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        let output = command.output();
        let is_done = output.as_ref().is_ok_and(|output| output.status.success());
        assert!(
            is_done,
            "this test needs {CHROMIUM}: install Debian's package chromium. {output:?}"
        );
    }
}

/// A schedule with this reference, of a team of its own.
fn schedule(world: &World, number: u32, reference: &str) -> Value {
    let mut body = world.schedule();
    body["parameters"]["teamId"] = format!("871dbd5c-3a6a-4392-bfe1-{number:012}").into();
    body["reference"] = reference.into();
    body
}

/// A goals export with this reference, which runs on.
fn goals(world: &World, number: u32, reference: &str) -> Value {
    let mut body = world.goals();
    body["parameters"]["explorerViewId"] = format!("e5e7a3c1-8cdf-409d-9ce9-{number:012}").into();
    body["reference"] = reference.into();
    body
}

fn refusal(status: u16, code: &str, retry_after: Option<&str>) -> Action {
    Action::Status(Box::new(StatusAction {
        status,
        code: Some(code.to_owned()),
        retry_after: retry_after.map(str::to_owned),
        ..StatusAction::default()
    }))
}

/// Makes an operation in each state that the list can show.
async fn scene(world: &World) {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    world.simulator.set_durations(|durations| {
        durations.schedule_seconds = 0.0;
        durations.goals_seconds = 1e6;
        durations.export_seconds = 1e6;
    });
    let done = async |body: &Value| {
        let id = world
            .post_with(&[("prefer", "respond-async")], body)
            .await
            .id();
        world.closed(&id).await;
        world.advance(minutes(7)).await;
    };
    world.receiver.answer_next(receiver::Answer::status(410));
    done(&schedule(world, 1, "RITM0041007")).await;
    for number in 2..4 {
        done(&schedule(
            world,
            number,
            &format!("RITM004100{}", number + 6),
        ))
        .await;
    }
    let elsewhere = Action::Location {
        value: Some("https://elsewhere.example/monitor".to_owned()),
        twice: false,
    };
    world
        .simulator
        .script(Fault::new("export.start", elsewhere));
    let mut export = world.export("dsar-11");
    export["reference"] = "DSAR-2026-011".into();
    done(&export).await;
    world
        .simulator
        .script(Fault::new("goals.start", refusal(400, "badRequest", None)));
    done(&goals(world, 1, "RITM0041010")).await;
    let mut soon = goals(world, 2, "RITM0041011");
    let deadline = world.clock.now() + jiff::SignedDuration::from_mins(90);
    soon["deadline"] = deadline.to_string().into();
    world.post(&soon).await;
    world.advance(minutes(75)).await;
    let pause = refusal(429, "tooManyRequests", Some("3000"));
    world.simulator.script(Fault::new("goals.start", pause));
    world.post(&goals(world, 3, "RITM0041012")).await;
    for (number, received_on) in [(12, "2026-10-23"), (13, "2026-10-12"), (14, "2026-11-13")] {
        let mut export = world.export(&format!("dsar-{number}"));
        export["reference"] = format!("DSAR-2026-0{number}").into();
        export["legal"] = json!({
            "regulation": "gdpr", "receivedAt": format!("{received_on}T12:00:00Z"),
            "timeZone": "Europe/Berlin", "holidays": "de",
        });
        world.post(&export).await;
    }
    world
        .post(&schedule(world, 9, "<b>Team</b> \u{202e}9"))
        .await;
    world.work().await;
    world.receiver.answer_next(receiver::Answer::status(503));
    world.post(&schedule(world, 10, "RITM0041013")).await;
    world.work().await;
}

/// Serves API and console as `courier serve` does, with the World's clock; returns the origin.
async fn served(world: &World) -> (String, watch::Sender<bool>) {
    let (app, clock) = (world.app.clone(), world.clock.clone());
    let handle = move |request: Request<Bytes>| {
        let (app, now) = (app.clone(), clock.now());
        async move {
            let api = |request| courier_core::http::handle(&app, request, Timestamp::MAX);
            match courier_console::serves(&request) {
                true => courier_console::handle(request, "", now, api).await,
                false => api(request).await,
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, Limits::default(), handle, stopped));
    (origin, stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_works_with_the_console_in_a_browser_and_axe_finds_nothing() {
    install_chromium();
    let world = World::with(operators).await;
    scene(&world).await;
    let (origin, _stop) = served(&world).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = root.join("../../target/console");
    std::fs::create_dir_all(&pictures).unwrap();
    let input = json!({
        "origin": origin, "chromium": CHROMIUM, "pictures": pictures.canonicalize().unwrap(),
        "operator": NIGHT, "auditor": AUDITOR, "receiver": world.receiver.url("/hooks/graph"),
    });
    let found = tokio::task::spawn_blocking(move || {
        let bin = libraries::python();
        let modules = python::node_modules(&bin, &root.join("tests/browser"));
        let mut command = Command::new(python::node(&bin));
        let script = include_str!("../../browser/person.mjs");
        command
            .current_dir(modules)
            .args(["--input-type=module", "-e", script]);
        libraries::output(&mut command, &input.to_string())
    });
    let found: Value = serde_json::from_str(&found.await.unwrap()).unwrap();
    assert_eq!(found["faults"], json!([]), "{found:#}");
    let done = found["done"].as_array().unwrap();
    assert!(done.len() >= 14, "{found:#}");
    // The simulator has been asked only for what the scene and the person wanted.
    let history = world.get("/v1/operations?reference=RITM0041011").await;
    assert_eq!(history.body["operations"][0]["status"], "cancelled");
    world.work().await;
}
