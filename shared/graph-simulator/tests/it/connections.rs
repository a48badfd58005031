//! Faults of the connection, as a client sees them.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use graph_simulator::{Action, Fault};

use crate::faults::{running, start};
use crate::world::*;

#[tokio::test]
async fn connection_is_closed_or_reset_before_or_after_the_job_exists() {
    for (action, reset, jobs) in [
        (Action::LostBefore, false, 0),
        (Action::LostAfter, false, 1),
        (Action::ResetBefore, true, 0),
        (Action::ResetAfter, true, 1),
    ] {
        let world = World::new().await;
        let token = world.application().await;
        world
            .simulator
            .script(Fault::new("export.start", action.clone()));
        let error = start(&world, &token).await.unwrap_err();
        let was_reset = caused_by(&error, io::ErrorKind::ConnectionReset);
        assert_eq!(was_reset, reset, "{action:?}: {error:?}");
        assert_eq!(world.simulator.jobs().len(), jobs, "{action:?}");
        let entry = world.simulator.calls("export.start").remove(0);
        assert_eq!(
            (entry.status, entry.fault.as_deref()),
            (None, Some(action.name()))
        );
        let again = start(&world, &token).await.unwrap();
        assert_eq!(
            again.status,
            if jobs == 0 { 202 } else { 400 },
            "{action:?}"
        );
    }
}

#[tokio::test]
async fn hanging_call_is_never_answered() {
    for processed in [false, true] {
        let world = World::new().await;
        let token = world.application().await;
        world
            .simulator
            .script(Fault::new("export.start", Action::Hang { processed }));
        let seen = world
            .simulator
            .until(|entries| entries.iter().any(|e| e.call == "export.start"));
        tokio::select! {
            biased;
            reply = start(&world, &token) => panic!("{reply:?}"),
            () = seen => {}
        }
        assert_eq!(world.simulator.jobs().len(), usize::from(processed));
        assert_eq!(world.simulator.calls("export.start")[0].status, None);
    }
}

#[tokio::test]
async fn delayed_answer_comes_after_its_time() {
    let (world, token, monitor) = running().await;
    world
        .simulator
        .script(Fault::new("export.poll", Action::Delay { ms: 150 }));
    let started = std::time::Instant::now();
    assert_eq!(
        world.get(&monitor, &token).await.string("/status"),
        "running"
    );
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn dripping_answer_is_whole_in_the_end() {
    let (world, token, monitor) = running().await;
    let right = world.get(&monitor, &token).await;
    world
        .simulator
        .script(Fault::new("*", Action::Drip { ms_per_byte: 1 }).times(2));
    let started = std::time::Instant::now();
    let reply = world.get(&monitor, &token).await;
    assert!(started.elapsed() >= Duration::from_millis(right.text.len() as u64));
    assert_eq!(reply.text, right.text);
    assert_eq!(start(&world, &token).await.unwrap().status, 202);
}

#[tokio::test]
async fn half_a_body_arrives_and_then_the_connection_breaks() {
    let (world, token, monitor) = running().await;
    let right = world.get(&monitor, &token).await.text;
    world
        .simulator
        .script(Fault::new("*", Action::HalfBody).times(2));
    let request = world
        .client
        .get(&monitor)
        .header("authorization", format!("Bearer {token}"));
    let mut response = request.send().await.unwrap();
    assert_eq!(
        response.headers()["content-length"],
        right.len().to_string()
    );
    let half = response.chunk().await.unwrap().unwrap();
    assert_eq!(half, right.as_bytes()[..right.len() / 2]);
    response.chunk().await.unwrap_err();
    start(&world, &token).await.unwrap_err();
    assert_eq!(
        world.simulator.jobs().len(),
        2,
        "the 202 had arrived in half as well"
    );
}

fn caused_by(error: &reqwest::Error, kind: io::ErrorKind) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == kind)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
