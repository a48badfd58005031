//! The header `Prefer`: how long a request waits, and for what.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use courier_testkit::intercepted::{Call, Intercepted};
use courier_testkit::world::World;
use graph_simulator::{Action, Fault};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn prefer_wait_returns_the_outcome() {
    let world = World::new().await;
    let (headers, body) = ([("prefer", "wait=20")], world.schedule());
    let request = world.post_with(&headers, &body);
    let work = async {
        world.simulator.until(|calls| calls.len() > 1).await;
        let list = world.get("/v1/operations").await.body;
        let id = list["operations"][0]["id"].as_str().unwrap();
        world.closed(id).await;
    };
    let (answer, ()) = tokio::join!(request, work);
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &"succeeded".into())
    );
    assert_eq!(answer.header("preference-applied"), Some("wait=20"));
}

#[tokio::test]
async fn prefer_wait_that_passes_before_the_end_is_202() {
    for (prefer, applied) in [
        ("wait=1", Some("wait=1")),
        ("wait=0", Some("wait=0")),
        ("Wait=\"0\"", Some("wait=0")),
        ("handling=lenient, wait=0; foo", Some("wait=0")),
        ("wait", None),
        ("wait=-1", None),
        ("wait=1e9", None),
        ("return=representation", Some("return=representation")),
        ("return=nothing", None),
    ] {
        let world = World::new().await;
        let answer = world.post_with(&[("prefer", prefer)], &world.goals()).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"running".into()),
            "{prefer}"
        );
        assert_eq!(answer.header("preference-applied"), applied, "{prefer}");
    }
}

#[tokio::test]
async fn prefer_wait_is_limited_to_25_seconds() {
    let world = World::with(|setup| setup.simulator.durations.schedule_seconds = 0.0).await;
    let headers = [("prefer", "wait=3600")];
    let answer = world.post_with(&headers, &world.schedule()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("preference-applied"), Some("wait=25"));
}

#[tokio::test]
async fn respond_async_answers_before_graph_is_called() {
    for operation in courier_testkit::tenants::OPERATIONS {
        let world = World::new().await;
        let body = courier_testkit::world_requests::body(&world, operation);
        let headers = [("prefer", "respond-async"), ("idempotency-key", "K")];
        let answer = world.post_with(&headers, &body).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (202, &"accepted".into())
        );
        assert_eq!(answer.header("preference-applied"), Some("respond-async"));
        let repeated = world.post_with(&headers, &body).await;
        assert_eq!((repeated.status, repeated.id()), (202, answer.id()));
        assert!(world.simulator.journal().is_empty(), "{operation}");
        // The repeat does not put the start off.
        world.work().await;
        assert_eq!(world.operation(&answer.id()).await["status"], "running");
        assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
        assert_eq!(world.simulator.jobs().len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn a_read_with_prefer_wait_is_answered_when_the_operation_ends() {
    let world = World::new().await;
    let posted = world.post(&world.schedule()).await;
    let (id, path) = (posted.id(), posted.header("location").unwrap());
    let headers = [("prefer", "foo=\"a, wait=1\""), ("prefer", "wait=20")];
    let begin = Instant::now();
    let read = world.call("GET", path, &headers, "");
    let (answer, ended) = tokio::join!(read, world.ended(&id));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["endedAt"], ended["endedAt"]);
    assert_eq!(answer.header("preference-applied"), Some("wait=20"));
    assert!(begin.elapsed() < Duration::from_secs(15), "it ended early");
    // What has ended is answered at once, and a read knows no `respond-async`.
    let headers = [("prefer", "respond-async, wait=20")];
    let again = timeout(
        Duration::from_secs(15),
        world.call("GET", path, &headers, ""),
    );
    let again = again.await.unwrap();
    assert_eq!(again.header("preference-applied"), Some("wait=20"));
}

#[tokio::test]
async fn a_read_with_prefer_wait_that_passes_before_the_end_is_202() {
    let world = World::new().await;
    let posted = world.post(&world.goals()).await;
    let path = posted.header("location").unwrap();
    for (prefer, applied) in [("wait=1", Some("wait=1")), ("respond-async", None)] {
        let begin = Instant::now();
        let answer = world.call("GET", path, &[("prefer", prefer)], "").await;
        assert_eq!((answer.status, &answer.body), (202, &posted.body));
        assert_eq!(answer.header("preference-applied"), applied);
        let waited = begin.elapsed() >= Duration::from_millis(400);
        assert!(waited || applied.is_none(), "{:?}", begin.elapsed());
    }
}

/// A worker that takes the record's own message before the request has sent one would run the first step twice.
#[tokio::test]
async fn the_record_of_a_deferred_request_is_due_only_after_its_message() {
    let dues = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&dues);
    let world = World::with(move |setup| {
        setup.store = Box::new(move |database| {
            Arc::new(Intercepted::new(database, move |call| {
                if let Call::Write(record) = call {
                    seen.lock().unwrap().push(record.due_at);
                }
                Box::pin(std::future::ready(()))
            }))
        });
    })
    .await;
    let headers = [("prefer", "respond-async")];
    let answer = world.post_with(&headers, &world.schedule()).await;
    assert_eq!(answer.body["status"], "accepted");
    let inserted = dues.lock().unwrap()[0].unwrap();
    let sent = world.database.next_due().unwrap();
    assert!(sent <= world.clock.now(), "its message is due at once");
    assert!(inserted > world.clock.now(), "{inserted}");
    assert_eq!(world.closed(&answer.id()).await["status"], "succeeded");
}

/// The start takes longer than the caller wants to wait, so the record is not looked at again.
#[tokio::test]
async fn the_wait_begins_when_the_request_comes() {
    let loads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&loads);
    let world = World::with(move |setup| {
        setup.store = Box::new(move |database| {
            Arc::new(Intercepted::new(database, move |call| {
                count.fetch_add(usize::from(matches!(call, Call::Load(_))), SeqCst);
                Box::pin(std::future::ready(()))
            }))
        });
    })
    .await;
    let slow = Fault::new("goals.start", Action::Delay { ms: 1_100 });
    world.simulator.script(slow.times(2));
    let mut counts = Vec::new();
    for prefer in ["", "wait=1", "wait=3"] {
        loads.store(0, SeqCst);
        let answer = world.post_with(&[("prefer", prefer)], &world.goals()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        counts.push(loads.load(SeqCst));
    }
    assert_eq!(counts[0], counts[1]);
    assert!(counts[2] > counts[0], "{counts:?}");
}

#[tokio::test]
async fn a_wait_ends_when_the_host_stops() {
    let world = World::new().await;
    let posted = world.post(&world.goals()).await;
    let path = posted.header("location").unwrap();
    let headers = [("prefer", "wait=25")];
    let read = timeout(
        Duration::from_secs(15),
        world.call("GET", path, &headers, ""),
    );
    let stop = async {
        world.app.begin_shutdown(Duration::ZERO);
    };
    let (answer, ()) = tokio::join!(read, stop);
    assert_eq!(answer.unwrap().status, 202);
}
