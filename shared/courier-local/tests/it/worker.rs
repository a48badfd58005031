//! The worker loop in real time: woken by events, bounded, unharmed by panics, orderly at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use courier_core::operation::message::{Disposition, Message};
use courier_core::operation::{OperationId, Record};
use courier_core::ports::{Queue, Store};
use courier_core::time::Clock;
use courier_local::{WorkerOptions, run};
use courier_testkit::sample::{at, sample_record};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::workspace::{Workspace, soon};

/// So long that only an event can be why a step runs.
const AN_HOUR: Duration = Duration::from_secs(3600);

fn noon() -> Clock {
    Arc::new(|| at(0))
}

fn watchdog() -> Message {
    Message::WatchdogV1 {
        operation_id: OperationId::random(),
    }
}

fn options() -> WorkerOptions {
    WorkerOptions {
        max_idle: AN_HOUR,
        ..WorkerOptions::default()
    }
}

/// Starts a worker whose clock stands at noon. Returns it and what stops it.
fn start_worker<S, F>(
    workspace: &Workspace,
    options: WorkerOptions,
    step: S,
) -> (JoinHandle<()>, watch::Sender<bool>)
where
    S: Fn(Message, u32) -> F + Send + Sync + 'static,
    F: Future<Output = Disposition> + Send + 'static,
{
    let (stop, stopped) = watch::channel(false);
    let database = workspace.database.clone();
    let store = database.clone();
    let load = move |ids: Vec<OperationId>| {
        let store = store.clone();
        async move { store.load_many(&ids).await.unwrap() }
    };
    let step = move |message, receives, _| step(message, receives);
    let worker = tokio::spawn(run(database, noon(), options, (load, step), stopped));
    (worker, stop)
}

#[tokio::test]
async fn a_send_wakes_the_worker() {
    let workspace = Workspace::new();
    let (seen, mut steps) = mpsc::unbounded_channel();
    let step = move |message: Message, _| {
        seen.send(message).unwrap();
        async { Disposition::Delete }
    };
    let (worker, stop) = start_worker(&workspace, options(), step);
    workspace.send(&watchdog(), at(1800)).await.unwrap();
    for _ in 0..20 {
        let message = watchdog();
        workspace.send(&message, at(0)).await.unwrap();
        assert_eq!(soon(steps.recv()).await, Some(message));
    }
    stop.send_replace(true);
    soon(worker).await.unwrap();
    assert_eq!(workspace.messages().len(), 1, "what was done is deleted");
}

/// The record's own write queues its message; nobody need send it.
#[tokio::test]
async fn a_record_that_is_due_wakes_the_worker() {
    let workspace = Workspace::new();
    let (seen, mut steps) = mpsc::unbounded_channel();
    let step = move |message: Message, _| {
        seen.send(message.operation_id().clone()).unwrap();
        async { Disposition::Delete }
    };
    let (worker, stop) = start_worker(&workspace, options(), step);
    workspace.send(&watchdog(), at(1800)).await.unwrap();
    for _ in 0..20 {
        let mut record = sample_record(&OperationId::random());
        record.due_at = Some(at(0));
        workspace.database.insert(&record).await.unwrap();
        assert_eq!(soon(steps.recv()).await, Some(record.id));
    }
    stop.send_replace(true);
    soon(worker).await.unwrap();
}

/// A file whose reads hang must not hold the steps: each of them has its own time limit.
#[tokio::test]
async fn steps_do_not_wait_long_for_records_that_are_loaded_together() {
    let workspace = Workspace::new();
    let (seen, mut steps) = mpsc::unbounded_channel();
    let load = |_| std::future::pending();
    let step = move |_, _, record: Option<Record>| {
        seen.send(record).unwrap();
        async { Disposition::Delete }
    };
    for _ in 0..2 {
        workspace.send(&watchdog(), at(0)).await.unwrap();
    }
    let options = WorkerOptions {
        load_patience: Duration::from_millis(10),
        ..options()
    };
    let (stop, stopped) = watch::channel(false);
    let database = workspace.database.clone();
    let worker = tokio::spawn(run(database, noon(), options, (load, step), stopped));
    for _ in 0..2 {
        assert_eq!(soon(steps.recv()).await, Some(None));
    }
    stop.send_replace(true);
    soon(worker).await.unwrap();
}

#[tokio::test]
async fn a_postponed_message_runs_again() {
    let workspace = Workspace::new();
    let (seen, mut steps) = mpsc::unbounded_channel();
    let step = move |_, receives| {
        seen.send(receives).unwrap();
        async { Disposition::WaitUntil(at(0)) }
    };
    let (worker, stop) = start_worker(&workspace, options(), step);
    workspace.send(&watchdog(), at(0)).await.unwrap();
    for expected in 1..=3 {
        assert_eq!(soon(steps.recv()).await, Some(expected));
    }
    stop.send_replace(true);
    soon(worker).await.unwrap();
    assert_eq!(workspace.messages().len(), 1);
}

#[tokio::test]
async fn a_panicking_step_gets_its_message_again() {
    let workspace = Workspace::new();
    let (seen, mut steps) = mpsc::unbounded_channel();
    let step = move |_, receives| {
        let seen = seen.clone();
        async move {
            assert!(receives > 1, "the first time it panics");
            seen.send(receives).unwrap();
            Disposition::Delete
        }
    };
    let options = WorkerOptions {
        visibility: Duration::ZERO,
        ..options()
    };
    let (worker, stop) = start_worker(&workspace, options, step);
    workspace.send(&watchdog(), at(0)).await.unwrap();
    assert_eq!(soon(steps.recv()).await, Some(2));
    stop.send_replace(true);
    soon(worker).await.unwrap();
}

#[tokio::test]
async fn concurrent_steps_stay_within_the_limit() {
    const MESSAGES: usize = 40;
    let workspace = Workspace::new();
    for _ in 0..MESSAGES {
        workspace.send(&watchdog(), at(0)).await.unwrap();
    }
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, mut steps) = mpsc::unbounded_channel();
    let most_seen = Arc::clone(&most);
    let step = move |_, _| {
        let (running, most, seen) = (Arc::clone(&running), Arc::clone(&most_seen), seen.clone());
        async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            seen.send(()).unwrap();
            Disposition::Delete
        }
    };
    let options = WorkerOptions {
        concurrency: 15,
        ..options()
    };
    let (worker, stop) = start_worker(&workspace, options, step);
    for _ in 0..MESSAGES {
        soon(steps.recv()).await.unwrap();
    }
    stop.send_replace(true);
    soon(worker).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 5, "one flow gets a third");
}

/// Inserts a due record of this client.
async fn insert_due(workspace: &Workspace, client: &str) {
    let mut record = sample_record(&OperationId::random());
    record.client = client.to_owned();
    record.due_at = Some(at(0));
    workspace.database.insert(&record).await.unwrap();
}

#[tokio::test]
async fn steps_of_one_client_that_do_not_end_leave_room_for_those_of_others() {
    let workspace = Workspace::new();
    for _ in 0..500 {
        insert_due(&workspace, "slow").await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let (seen, mut steps) = mpsc::unbounded_channel();
    let (held, database) = (Arc::clone(&gate), workspace.database.clone());
    let step = move |message: Message, _| {
        let (gate, seen, database) = (Arc::clone(&held), seen.clone(), database.clone());
        async move {
            let loaded = database.load(message.operation_id()).await;
            let client = loaded.unwrap().unwrap().client;
            seen.send(client.clone()).unwrap();
            if client == "slow" {
                gate.acquire().await.unwrap().forget();
            }
            Disposition::Delete
        }
    };
    let concurrency = 30;
    let options = WorkerOptions {
        concurrency,
        ..options()
    };
    let (worker, stop) = start_worker(&workspace, options, step);
    for _ in 0..concurrency / 3 {
        assert_eq!(soon(steps.recv()).await.unwrap(), "slow");
    }
    for _ in 0..100 {
        insert_due(&workspace, "quick").await;
    }
    for _ in 0..100 {
        assert_eq!(soon(steps.recv()).await.unwrap(), "quick");
    }
    gate.add_permits(1000);
    stop.send_replace(true);
    soon(worker).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_abandons_steps_that_do_not_end_in_time() {
    let workspace = Workspace::new();
    let (seen, mut steps) = mpsc::unbounded_channel();
    let step = move |_, _| {
        seen.send(()).unwrap();
        std::future::pending()
    };
    let options = WorkerOptions {
        drain: Duration::from_millis(10),
        ..options()
    };
    let (worker, stop) = start_worker(&workspace, options, step);
    workspace.send(&watchdog(), at(0)).await.unwrap();
    soon(steps.recv()).await.unwrap();
    stop.send_replace(true);
    soon(worker).await.unwrap();
    assert_eq!(
        workspace.messages().len(),
        1,
        "its message is received again"
    );
}

#[tokio::test]
async fn a_shutdown_waits_for_steps_in_flight() {
    let workspace = Workspace::new();
    let gate = Arc::new(Semaphore::new(0));
    let (seen, mut steps) = mpsc::unbounded_channel();
    let held = Arc::clone(&gate);
    let step = move |_, _| {
        let (gate, seen) = (Arc::clone(&held), seen.clone());
        async move {
            seen.send(()).unwrap();
            gate.acquire().await.unwrap().forget();
            Disposition::Delete
        }
    };
    let (worker, stop) = start_worker(&workspace, options(), step);
    workspace.send(&watchdog(), at(0)).await.unwrap();
    soon(steps.recv()).await.unwrap();
    stop.send_replace(true);
    workspace.send(&watchdog(), at(0)).await.unwrap();
    assert!(!worker.is_finished());
    gate.add_permits(2);
    soon(worker).await.unwrap();
    assert_eq!(
        workspace.messages().len(),
        1,
        "one was done, the later one was not begun"
    );
}

#[tokio::test]
async fn an_unusable_file_does_not_stop_the_worker_from_stopping() {
    let workspace = Workspace::new();
    workspace.database.close().await;
    let step = |_, _| async { Disposition::Delete };
    let (worker, stop) = start_worker(&workspace, options(), step);
    tokio::task::yield_now().await;
    assert!(!worker.is_finished());
    drop(stop);
    soon(worker).await.unwrap();
}
