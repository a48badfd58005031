//! The writer: one commit for many, all or nothing, alive after every refusal.

use std::time::Duration;

use courier_core::operation::{OperationId, Outcome, Record};
use courier_core::ports::{Store, StoreError, Write};
use courier_local::{Database, Options};
use courier_testkit::sample::{at, closed, next, sample_record};

use crate::workspace::Workspace;

fn sample() -> Record {
    sample_record(&OperationId::random())
}

fn insert(
    database: &Database,
    record: Record,
) -> tokio::task::JoinHandle<Result<Write, StoreError>> {
    let database = database.clone();
    tokio::spawn(async move { database.insert(&record).await })
}

/// Lets the runtime, which polls a few dozen tasks at a time, reach all of them.
async fn all_sent() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn concurrent_writes_share_commits() {
    let workspace = Workspace::new();
    let sqlite = workspace.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    let inserts: Vec<_> = (0..500)
        .map(|_| insert(&workspace.database, sample()))
        .collect();
    all_sent().await;
    sqlite.execute_batch("COMMIT").unwrap();
    for insert in inserts {
        assert_eq!(insert.await.unwrap().unwrap(), Write::Applied);
    }
    let commits = workspace.database.commits();
    assert!(commits <= 6, "{commits} commits");
    assert_eq!(
        (workspace.count("operations"), workspace.messages().len()),
        (500, 500)
    );
}

#[tokio::test]
async fn a_failing_write_does_not_fail_its_commit_group() {
    let workspace = Workspace::new();
    let sqlite = workspace.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before: Vec<_> = (0..10)
        .map(|_| insert(&workspace.database, sample()))
        .collect();
    let database = workspace.database.clone();
    let missing = tokio::spawn(async move { database.update(&next(&sample())).await });
    let after: Vec<_> = (0..10)
        .map(|_| insert(&workspace.database, sample()))
        .collect();
    all_sent().await;
    sqlite.execute_batch("COMMIT").unwrap();
    for insert in before.into_iter().chain(after) {
        assert_eq!(insert.await.unwrap().unwrap(), Write::Applied);
    }
    assert!(matches!(
        missing.await.unwrap(),
        Err(StoreError::Missing(_))
    ));
    assert_eq!(workspace.count("operations"), 20);
}

#[tokio::test]
async fn a_file_locked_by_another_process_is_unavailable_until_it_is_free() {
    let workspace = Workspace::with(&Options {
        busy_timeout: Duration::from_millis(20),
        ..Options::default()
    });
    let sqlite = workspace.sqlite();
    sqlite.execute_batch("BEGIN IMMEDIATE").unwrap();
    let record = sample();
    let refused = workspace.database.insert(&record).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(
        workspace.database.load(&record.id).await.unwrap(),
        None,
        "reads go on"
    );
    sqlite.execute_batch("COMMIT").unwrap();
    assert_eq!(
        workspace.database.insert(&record).await.unwrap(),
        Write::Applied
    );
}

#[tokio::test]
async fn a_full_file_refuses_whole_writes_and_takes_new_ones_when_there_is_room() {
    let workspace = Workspace::with(&Options {
        max_pages: Some(120),
        ..Options::default()
    });
    let database = &workspace.database;
    let mut stored = Vec::new();
    let mut refused = None;
    while refused.is_none() && stored.len() < 1000 {
        let record = sample();
        match database.insert(&record).await {
            Ok(_) => stored.push(record),
            Err(error) => refused = Some(error),
        }
    }
    assert!(
        matches!(refused, Some(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(stored.len() > 20, "{}", stored.len());
    let records = u32::try_from(stored.len()).unwrap();
    assert_eq!(
        (workspace.count("operations"), workspace.messages().len()),
        (records, stored.len())
    );

    let concurrent: Vec<_> = (0..50).map(|_| insert(database, large())).collect();
    for insert in concurrent {
        assert!(matches!(
            insert.await.unwrap(),
            Err(StoreError::Unavailable(_))
        ));
    }
    assert_eq!(
        (workspace.count("operations"), workspace.messages().len()),
        (records, stored.len())
    );

    // A record that is closed comes into more indexes and may need another page, so some others go first.
    let gone = stored.split_off(stored.len() - stored.len() / 4);
    for record in &gone {
        let sql = "DELETE FROM operations WHERE id = ?";
        workspace
            .sqlite()
            .execute(sql, [record.id.as_str()])
            .unwrap();
    }
    for record in &stored {
        database
            .update(&closed(record, Outcome::Failed, at(1)))
            .await
            .unwrap();
    }
    assert_eq!(
        database.forget(at(2), usize::MAX).await.unwrap(),
        stored.len()
    );
    assert_eq!(database.insert(&large()).await.unwrap(), Write::Applied);
}

/// Fits into no page that is left.
fn large() -> Record {
    Record {
        fingerprint: "x".repeat(20_000),
        ..sample()
    }
}
