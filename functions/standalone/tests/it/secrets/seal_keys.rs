//! A completion that the configuration does not permit to send waits for a better one, and loses no attempt meanwhile.

use std::sync::Arc;
use std::time::Duration;

use courier_core::operation::OperationId;
use courier_testkit::receiver::Receiver;
use courier_testkit::tenants;
use courier_testkit::world::World;
use jiff::Timestamp;

const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";
const OLD: &str = "key = \"env:SEAL_KEY\"";

/// A receiver that outlives the worlds of a test.
async fn receiver() -> Receiver {
    let clock = Arc::new(|| Timestamp::UNIX_EPOCH);
    Receiver::start(clock).await.unwrap()
}

/// Returns a world with an operation that has ended and whose completion is due, and the operation's id.
async fn ended(receiver: &Receiver) -> (World, String) {
    let origin = receiver.origin();
    let world = World::with(|setup| {
        setup.config = setup.config.replace("{receiver}", &origin);
        setup.simulator.durations.schedule_seconds = 0.0;
    })
    .await;
    let body = tenants::schedule(receiver, TEAM);
    let id = world.post(&body).await.id();
    (world, id)
}

/// Goes on with a world's data under another configuration.
async fn reconfigured(world: World, receiver: &Receiver, changes: &[(&str, &str)]) -> World {
    let (data, clock) = world.stop().await;
    let origin = receiver.origin();
    World::with(|setup| {
        for (from, to) in changes {
            assert!(setup.config.contains(from), "{from}");
            setup.config = setup.config.replace(from, to);
        }
        setup.config = setup.config.replace("{receiver}", &origin);
        (setup.data, setup.clock) = (Some(data), clock);
    })
    .await
}

/// Lets four days pass, longer than all attempts take, and checks that none was made.
async fn waits_for_days(world: &World, id: &str) {
    for _ in 0..8 {
        world.advance(HALF_A_DAY).await;
    }
    let counts = world.app.metrics.take().callbacks;
    assert!(
        counts.get("orphaned").is_some_and(|count| *count > 3),
        "{counts:?}"
    );
    let id = OperationId::parse(id).unwrap();
    let record = world.app.store.load(&id).await.unwrap().unwrap();
    assert_eq!(record.callback_status(), "pending", "{record:?}");
    assert_eq!(record.delivery.attempts, 0, "{record:?}");
}

/// Checks that the completion is delivered at the first attempt.
async fn is_delivered(world: &World, receiver: &Receiver, id: &str) {
    world.advance(HALF_A_DAY).await;
    let closed = world.closed(id).await;
    assert_eq!(closed["callback"]["status"], "delivered", "{closed}");
    assert_eq!(closed["callback"]["attempts"], 1, "{closed}");
    assert_eq!(receiver.journal().len(), 1);
}

#[tokio::test]
async fn the_completion_of_a_renamed_client_waits_until_the_client_is_back() {
    let receiver = receiver().await;
    let (world, id) = ended(&receiver).await;
    let world = reconfigured(world, &receiver, &[("clients.tickets", "clients.helpdesk")]).await;
    waits_for_days(&world, &id).await;
    let world = reconfigured(world, &receiver, &[]).await;
    is_delivered(&world, &receiver, &id).await;
}

#[tokio::test]
async fn the_completion_of_a_removed_profile_waits_until_the_profile_is_back() {
    let receiver = receiver().await;
    let (seal, profile) = (
        "[seal]",
        "[clients.tickets.profiles.board]\nprofile = \"generic\"\n[seal]",
    );
    let (world, _) = ended(&receiver).await;
    let world = reconfigured(world, &receiver, &[(seal, profile)]).await;
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let mut body = tenants::schedule(&receiver, "00000000-3a6a-4392-bfe1-042452793a50");
    body["callback"]["profile"] = "board".into();
    let id = world.post(&body).await.id();
    let world = reconfigured(world, &receiver, &[]).await;
    world.advance(HALF_A_DAY).await;
    assert_eq!(receiver.journal().len(), 1, "that of the other operation");
    waits_for_days(&world, &id).await;
    let world = reconfigured(world, &receiver, &[(seal, profile)]).await;
    world.advance(HALF_A_DAY).await;
    assert_eq!(world.closed(&id).await["callback"]["attempts"], 1);
}

#[tokio::test]
async fn the_completion_that_no_key_opens_waits_until_the_key_is_back() {
    let receiver = receiver().await;
    let (world, id) = ended(&receiver).await;
    let both = "keys = [\"env:SEAL_KEY_NEW\", \"env:SEAL_KEY\"]";
    let world = reconfigured(world, &receiver, &[(OLD, both)]).await;
    let alone = "key = \"env:SEAL_KEY_NEW\"";
    let world = reconfigured(world, &receiver, &[(OLD, alone)]).await;
    assert!(
        world.app.deployment().await.is_ok(),
        "it was sealed again with the new key"
    );
    waits_for_days(&world, &id).await;
    let world = reconfigured(world, &receiver, &[(OLD, both)]).await;
    is_delivered(&world, &receiver, &id).await;
}
