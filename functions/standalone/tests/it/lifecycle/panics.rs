//! Panics while a record is in memory: the log and the answer contain no secret, and the operation continues.

use std::sync::Arc;
use std::time::Duration;

use courier_testkit::panicking::panicking;
use courier_testkit::tenants::OPERATIONS;
use courier_testkit::world::World;
use courier_testkit::world_requests::body;

/// Upper bound of the number of writes that any operation makes until it is closed.
const MAX_WRITES: usize = 8;

#[tokio::test]
async fn a_panic_at_any_write_leaks_no_secret_and_loses_no_operation() {
    for operation in OPERATIONS {
        let mut panics = 0;
        for writes_before in 0..MAX_WRITES {
            let world = World::with(|setup| {
                setup.store =
                    Box::new(move |database| Arc::new(panicking(database, writes_before)));
            })
            .await;
            panics += usize::from(panicked_until_end(Arc::new(world), operation).await);
        }
        assert!((3..MAX_WRITES).contains(&panics), "{operation}: {panics}");
    }
}

/// Runs the operation to its end and reports whether a panic happened on the way.
async fn panicked_until_end(world: Arc<World>, operation: &str) -> bool {
    let body = body(&world, operation);
    let mut answer = world.post(&body).await;
    let mut panicked = answer.status == 500;
    if panicked {
        assert_eq!(answer.problem(), "internal");
        // The caller repeats a request that was answered with an error.
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
