//! Code that panics with a record at hand: what is said of it names no secret, and the operation goes on.

use std::sync::Arc;
use std::time::Duration;

use courier_testkit::panicking::panicking;
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::World;
use courier_testkit::world_requests::body;

/// More than any of them writes until it is closed.
const WRITES: usize = 8;

#[tokio::test]
async fn a_panic_at_any_write_tells_no_secret_and_loses_no_operation() {
    for operation in OPERATIONS {
        let mut struck = 0;
        for writes_before in 0..WRITES {
            let world = World::with(|setup| {
                setup.store =
                    Box::new(move |database| Arc::new(panicking(database, writes_before)));
            })
            .await;
            struck += usize::from(survive(Arc::new(world), operation).await);
        }
        assert!((3..WRITES).contains(&struck), "{operation}: {struck}");
    }
}

/// Whether there was a panic on the way to the end of the operation.
async fn survive(world: Arc<World>, operation: &str) -> bool {
    let body = body(&world, operation);
    let mut answer = world.post(&body).await;
    let mut panicked = answer.status == 500;
    if panicked {
        assert_eq!(answer.problem(), "internal");
        // The caller repeats what he got no good answer to.
        answer = world
            .post_with(&[("idempotency-key", "again")], &body)
            .await;
    }
    let id = answer.id();
    for _ in 0..200 {
        if !world.operation(&id).await["endedAt"].is_null() {
            break;
        }
        let working = Arc::clone(&world);
        let step = tokio::spawn(async move { working.advance(Duration::from_secs(60)).await });
        panicked |= step.await.is_err();
    }
    let closed = world.closed(&id).await;
    assert!(closed["endedAt"].is_string(), "{closed}");
    panicked
}
