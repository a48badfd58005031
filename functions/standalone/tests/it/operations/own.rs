//! An operator's own operation, from the two files of `examples/own-operation`, and what becomes of it without them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use courier_core::catalogue::Catalogue;
use courier_testkit::tenants::CONFIG;
use courier_testkit::world::{Setup, World};
use graph_simulator::{Action, Declared, Fault};
use serde_json::{Value, json};

use crate::process::program::run;

const NAME: &str = "community.create";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/own-operation/catalogue")
}

/// Adds the example's operation to a World, for the client `tickets`.
fn with_own(setup: &mut Setup) {
    setup.catalogue = Catalogue::with_directory(&folder(), &[]).unwrap();
    let declared = Declared::folder(&folder()).unwrap();
    setup.simulator.catalogue.extend(declared);
    let (few, more) = (
        "\"team.schedule\"]\ncallback",
        "\"team.schedule\", \"community.create\"]\ncallback",
    );
    setup.config = CONFIG.replacen(few, more, 1);
    assert_ne!(setup.config, CONFIG);
}

fn request(world: &World) -> Value {
    json!({
        "operation": NAME,
        "parameters": { "displayName": "Advice", "privacy": "public", "ownerId": "26be1845-4119-4801-a799-aea79d09f1a2" },
        "reference": "OWN-1",
        "callback": world.callback(),
    })
}

#[tokio::test]
async fn an_operation_of_two_files_runs_to_its_callback() {
    let world = World::with(with_own).await;
    let answer = world.post(&request(&world)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let ended = world.closed(&answer.id()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let community = "eyJfdHlwZSI6Ikdyb3VwIiwiaWQiOiI4MzIxMjc1In0";
    assert_eq!(ended["result"]["communityId"], community);
    let stored = ended["result"]["community"].as_str().unwrap();
    assert!(
        stored.ends_with(&format!("communities('{community}')")),
        "{stored}"
    );
    let sent = world.simulator.calls("community.create.start")[0]
        .body
        .clone()
        .unwrap();
    let owner = format!(
        "{}/v1.0/users/26be1845-4119-4801-a799-aea79d09f1a2",
        world.simulator.base_url()
    );
    assert_eq!(sent["owners@odata.bind"], json!([owner]));
    assert_eq!(
        sent.get("description"),
        None,
        "a parameter that is absent leaves no field"
    );
}

#[tokio::test]
async fn an_operation_that_has_left_the_catalogue_waits_says_why_and_can_be_cancelled() {
    let before = World::with(with_own).await;
    let answer = before.post(&request(&before)).await;
    let id = answer.id();
    let (data, clock) = before.stop().await;
    let world = World::with(|setup| (setup.data, setup.clock) = (Some(data), clock)).await;
    for _ in 0..4 {
        world.advance(Duration::from_secs(1800)).await;
    }
    let waiting = world.get(&format!("/v1/operations/{id}")).await;
    assert_eq!(
        (waiting.status, &waiting.body["reason"]),
        (202, &json!("not_in_catalogue"))
    );
    // It is looked at once an hour, and each time counted.
    let looked = world.app.metrics.take().unusable;
    assert!((1..=3).contains(&looked), "{looked}");
    assert!(world.simulator.calls("community.create.poll").is_empty());
    let cancelled = world
        .call(
            "POST",
            &format!("/v1/operations/{id}/cancel"),
            &[],
            String::new(),
        )
        .await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(
        world.closed(&id).await["callback"]["status"],
        "undeliverable"
    );
}

#[tokio::test]
async fn check_names_file_line_key_and_rule_of_a_faulty_file() {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own");
    std::fs::create_dir(&own).unwrap();
    let text = std::fs::read_to_string(folder().join("community.create.toml")).unwrap();
    let faulty = text.replace(
        "monitor = [\"location\"]",
        "monitor = [\"location\"]\nmonitor_hosts = [\"*.evil.example\"]",
    );
    std::fs::write(own.join("community.create.toml"), &faulty).unwrap();
    std::fs::write(own.join("community.create.sim.toml"), "is not read").unwrap();
    let configuration = format!("catalogue = {:?}\n{CONFIG}", own.display().to_string());
    let configuration = configuration
        .replace("{graph}", "http://127.0.0.1:9")
        .replace("{receiver}", "http://127.0.0.1:8");
    let path = directory.path().join("courier.toml");
    std::fs::write(&path, &configuration).unwrap();
    let path = path.display().to_string();
    let ended = run(&["check", "--config", &path], &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let line = faulty
        .lines()
        .position(|line| line.starts_with("monitor_hosts"))
        .unwrap()
        + 1;
    let expected = format!(
        "community.create.toml:{line}: start.monitor_hosts: *.evil.example is not permitted"
    );
    assert!(ended.stderr.contains(&expected), "{ended:?}");
    let permitting = configuration.replacen(
        "[graph]\n",
        "[graph]\nmonitor_hosts = [\"*.evil.example\"]\n",
        1,
    );
    let permitting = permitting.replacen(
        "\"team.schedule\"]\ncallback",
        "\"community.create\"]\ncallback",
        1,
    );
    std::fs::write(&path, permitting).unwrap();
    let ended = run(&["check", "--config", &path], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in [
        "may ask for community.create: Create a Viva Engage community",
        "Graph permission: Community.ReadWrite.All (application)",
        "calls POST /v1.0/employeeExperience/communities",
        "follows jobs without a token at *.evil.example",
        "needs: The Viva Engage network must be in native mode.",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended:?}");
    }
}

/// Graph counts each page of a collection as a request, so the shared budget pays for each.
#[tokio::test]
async fn pages_after_the_first_are_paid_from_the_shared_budget() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/courier-core/catalogue");
    let directory = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(shipped.join(name)).unwrap();
    let budget =
        "restart = \"idempotent\"\nbudget = { name = \"audit\", requests = 1, seconds = 120 }";
    let text = read("audit.query.toml")
        .replace("\"audit.query\"", "\"community.create\"")
        .replace("restart = \"idempotent\"", budget);
    std::fs::write(directory.path().join("community.create.toml"), text).unwrap();
    let simulated = directory.path().join("community.create.sim.toml");
    std::fs::write(simulated, read("audit.query.sim.toml")).unwrap();
    let world = World::with(|setup| {
        with_own(setup);
        setup.catalogue = Catalogue::with_directory(directory.path(), &[]).unwrap();
        setup.simulator.catalogue = Declared::folder(directory.path()).unwrap();
    })
    .await;
    let lost = Fault::new("community.create.start", Action::LostAfter);
    world.simulator.script(lost);
    let mut body = request(&world);
    body["parameters"] = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z" });
    let id = world.post(&body).await.id();
    let ended = world.closed(&id).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let pages = world.simulator.calls("community.create.find");
    assert_eq!(pages.len(), 2, "{pages:?}");
    let polls = world.simulator.calls("community.create.poll");
    let pause = polls[0].at.duration_since(pages[1].at).as_secs();
    // Two requests in 120 seconds each, of which nine in ten are used.
    assert!(pause >= 240, "the second page was not paid for: {pause}");
}
