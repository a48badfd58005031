//! The refresh token for delegated tokens: replaced at every use, stored sealed, and used by one process at a time.

use std::path::Path;
use std::time::Duration;

use courier_testkit::world::{GRAPH_SECRET, REFRESH_TOKEN, Setup, World};
use graph_simulator::{Action, Entry, Fault, Simulator};
use serde_json::Value;
use tempfile::TempDir;

use crate::secrets::access_tokens::{assert_accepted, fetches};

/// Returns the refresh token of each call to the token endpoint.
fn refresh_tokens(simulator: &Simulator) -> Vec<String> {
    let form = |entry: &Entry| {
        let text = entry.body.as_ref().unwrap().as_str().unwrap().to_owned();
        let field = text
            .split('&')
            .find_map(|f| f.strip_prefix("refresh_token="));
        field.unwrap().to_owned()
    };
    fetches(simulator).iter().map(form).collect()
}

/// Configures an existing simulator as the Graph of a new World.
fn use_simulator(setup: &mut Setup, simulator: &Simulator) {
    setup.config = setup.config.replace("{graph}", &simulator.base_url());
}

/// Returns a goals export of the given view; each view is a separate job.
fn goals(world: &World, view: u32) -> Value {
    let mut body = world.goals();
    let id = format!("e5e7a3c1-8cdf-409d-9ce9-{view:012}");
    body["parameters"]["explorerViewId"] = id.into();
    body
}

#[tokio::test]
async fn each_refresh_token_is_used_once_and_the_newest_is_stored_sealed() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_owned();
    let world = World::with(|setup| {
        setup.simulator.behaviour.revoke_old_refresh = true;
        setup.data = Some(data);
    })
    .await;
    for view in 0..3 {
        let id = world.post(&goals(&world, view)).await.id();
        assert_eq!(world.closed(&id).await["status"], "succeeded");
        world.simulator.revoke_access_tokens();
    }
    assert_nowhere(
        &path,
        &["simulated-refresh", "simulated-access", REFRESH_TOKEN],
    );
    let simulator = world.simulator.clone();
    let (data, clock) = world.stop().await;
    assert_nowhere(
        &path,
        &["simulated-refresh", "simulated-access", REFRESH_TOKEN],
    );
    let world = World::with(|setup| {
        use_simulator(setup, &simulator);
        setup.data = Some(data);
        setup.clock = clock;
    })
    .await;
    let answer = world.post(&goals(&world, 3)).await;
    assert_eq!(answer.body["status"], "running");
    let tokens = refresh_tokens(&simulator);
    assert_eq!(tokens.len(), 4);
    assert_eq!(tokens[0], REFRESH_TOKEN);
    for (index, token) in tokens.iter().enumerate() {
        assert!(!tokens[..index].contains(token), "{tokens:?}");
    }
    assert!(fetches(&simulator).iter().all(|f| f.status == Some(200)));
}

#[tokio::test]
async fn an_operation_waits_until_a_refused_refresh_token_is_replaced() {
    let world = World::with(|setup| {
        setup.simulator.refresh_token = None;
        setup.simulator.behaviour.revoke_old_refresh = true;
    })
    .await;
    let id = world.post(&world.goals()).await.id();
    world.simulator.revoke_access_tokens();
    // Every refresh is refused, as when the user has left.
    let refused = Action::status_only(400);
    world
        .simulator
        .script(Fault::new("token", refused).times(3));
    for _ in 0..3 {
        world.jump().await;
        let now = world.operation(&id).await;
        assert_eq!(
            (&now["status"], &now["reason"]),
            (&"running".into(), &"authorization_lost".into())
        );
    }
    let simulator = world.simulator.clone();
    let (data, clock) = world.stop().await;
    let world = World::with(|setup| {
        use_simulator(setup, &simulator);
        // Another token, as after a new sign-in; GRAPH_SECRET is the only other secret that the World knows.
        let other = "refresh_token = \"env:GRAPH_SECRET\"";
        setup.config = setup
            .config
            .replace("refresh_token = \"env:REFRESH_TOKEN\"", other);
        setup.data = Some(data);
        setup.clock = clock;
    })
    .await;
    // The callback cannot be delivered, because the receiver ended with the first World.
    let ended = world.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["reason"]),
        (&"succeeded".into(), &Value::Null)
    );
    assert_eq!(refresh_tokens(&simulator).last().unwrap(), GRAPH_SECRET);
}

#[tokio::test]
async fn two_processes_on_one_database_never_refresh_at_the_same_time() {
    let data = tempfile::tempdir().unwrap();
    let same = link_to(data.path());
    let one = World::with(|setup| {
        setup.simulator.behaviour.revoke_old_refresh = true;
        setup.data = Some(data);
    })
    .await;
    let two = World::with(|setup| {
        use_simulator(setup, &one.simulator);
        setup.data = Some(same);
        setup.clock = one.clock.clone();
    })
    .await;
    let slow = Fault::new("token", Action::Delay { ms: 400 });
    one.simulator.script(slow);
    let bodies = (goals(&one, 1), goals(&two, 2));
    let first = one.post(&bodies.0);
    let second = async {
        one.simulator.until(|calls| !calls.is_empty()).await;
        two.post(&bodies.1).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.body["status"], "running");
    assert_accepted(&second, None, "another process is refreshing");
    assert_eq!(fetches(&one.simulator).len(), 1);
    two.advance(Duration::from_secs(10)).await;
    assert_eq!(two.operation(&second.id()).await["status"], "running");
    let tokens = refresh_tokens(&one.simulator);
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);
    assert!(
        fetches(&one.simulator)
            .iter()
            .all(|f| f.status == Some(200))
    );
    // Each process has the messages of the operations that it has started.
    one.ended(&first.id()).await;
    two.ended(&second.id()).await;
}

/// Returns a symbolic link to the directory, for a second World.
fn link_to(data: &Path) -> TempDir {
    let link = tempfile::tempdir().unwrap();
    std::fs::remove_dir(link.path()).unwrap();
    std::os::unix::fs::symlink(data, link.path()).unwrap();
    link
}

/// Checks that no file of the directory contains one of the texts.
pub(crate) fn assert_nowhere(directory: &Path, texts: &[&str]) {
    let mut files = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        files += 1;
        for text in texts {
            let found = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!found, "{text} is in {}", file.display());
        }
    }
    assert!(files > 0, "{} is empty", directory.display());
}
