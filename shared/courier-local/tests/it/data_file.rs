//! Opening: new files, other people's files, files that cannot be used.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use courier_core::operation::OperationId;
use courier_core::ports::Store;
use courier_local::{Database, OpenError};
use courier_testkit::sample::sample_record;
use rusqlite::Connection;

use crate::workspace::Workspace;

fn refusal(path: &Path) -> OpenError {
    let error = Database::open(path).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    error
}

fn version(path: &Path) -> u32 {
    Connection::open(path)
        .and_then(|sqlite| sqlite.pragma_query_value(None, "user_version", |row| row.get(0)))
        .unwrap()
}

#[test]
fn an_empty_file_is_brought_to_the_newest_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier.db");
    std::fs::write(&path, []).unwrap();
    drop(Database::open(&path).unwrap());
    let new = directory.path().join("new.db");
    drop(Database::open(&new).unwrap());
    assert_eq!(version(&path), version(&new));
    assert!(version(&path) > 0);
}

#[tokio::test]
async fn a_file_is_kept_when_it_is_opened_again() {
    let workspace = Workspace::new();
    let record = sample_record(&OperationId::random());
    workspace.database.insert(&record).await.unwrap();
    workspace.database.close().await;
    assert!(workspace.database.load(&record.id).await.is_err(), "closed");
    assert!(
        !workspace.path().with_extension("db-wal").exists(),
        "closed in order"
    );
    let workspace = workspace.reopened();
    assert_eq!(
        workspace.database.load(&record.id).await.unwrap(),
        Some(record)
    );
}

#[test]
fn readers_and_the_writer_do_not_wait_for_each_other() {
    let workspace = Workspace::new();
    let mode: String = workspace
        .sqlite()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn many_processes_may_create_the_file_at_once() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("courier.db");
        thread::scope(|scope| {
            let openers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Database::open(&path)))
                .collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn opening_waits_for_a_reader_of_a_file_that_is_not_in_wal_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier.db");
    let reader = Connection::open(&path).unwrap();
    drop(Database::open(&path).unwrap());
    while reader
        .pragma_update(None, "journal_mode", "DELETE")
        .is_err()
    {}
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM operations")
        .unwrap();

    let (send, opened) = mpsc::channel();
    let opener = thread::spawn(move || send.send(Database::open(&path).map(drop)).unwrap());
    let early = opened.recv_timeout(Duration::from_millis(100));
    assert!(early.is_err(), "{early:?}");
    reader.execute_batch("COMMIT").unwrap();
    opened.recv().unwrap().unwrap();
    opener.join().unwrap();
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let workspace = Workspace::new();
    workspace
        .sqlite()
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    let error = refusal(&workspace.path());
    assert!(
        matches!(error, OpenError::Newer { found: 1000, .. }),
        "{error:?}"
    );
}

#[test]
fn a_foreign_file_is_refused_and_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to have a header of one hundred bytes, ".repeat(3),
    )
    .unwrap();
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign)
        .and_then(|sqlite| sqlite.execute_batch("CREATE TABLE browser_history (url TEXT)"))
        .unwrap();
    for path in [text, foreign] {
        let before = std::fs::read(&path).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(&directory.path().join("missing").join("courier.db"));
    assert!(matches!(error, OpenError::MissingDirectory(_)), "{error:?}");
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::Unusable(..)), "{error:?}");
}
