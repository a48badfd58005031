//! Monitors on other hosts than Graph's: no token goes there, and their URL is kept sealed.

use courier_testkit::tenants::config_with_all_operations;
use courier_testkit::world::World;

use super::{request, world};

#[tokio::test]
async fn the_monitor_of_a_copy_is_asked_without_a_token_and_its_url_is_stored_sealed() {
    let world = world().await;
    let answer = world.post(&request(&world, "drive.copyItem")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let stored = std::fs::read(world.data_file()).unwrap();
    let log = world.data_file().with_extension("db-wal");
    let stored = [stored, std::fs::read(log).unwrap_or_default()].concat();
    let text = String::from_utf8_lossy(&stored);
    assert!(text.contains("drive.copyItem") && text.contains("sealed:v2."));
    assert!(
        !text.contains("/_api/v2.0/monitor/"),
        "the monitor's URL is stored in clear"
    );
    let ended = world.closed(&answer.id()).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let polls = world.simulator.calls("drive.copyItem.poll");
    assert!(!polls.is_empty());
    for poll in polls {
        assert_eq!(poll.authorization, None, "{poll:?}");
        assert_eq!(poll.client_request_id, None, "{poll:?}");
        assert_ne!(poll.status, Some(401));
    }
}

#[tokio::test]
async fn a_host_that_nobody_has_permitted_is_not_called() {
    let world = World::with(|setup| {
        setup.config = config_with_all_operations().replace("{anonymous}", "http://127.0.0.1:9");
    })
    .await;
    let answer = world.post(&request(&world, "drive.copyItem")).await;
    let ended = world.closed(&answer.id()).await;
    assert_eq!(ended["status"], "unknown", "{ended}");
    assert_eq!(ended["reason"], "location_untrusted");
    assert!(world.simulator.calls("drive.copyItem.poll").is_empty());
}
