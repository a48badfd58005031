//! Opening: new files, other people's files, files that cannot be used.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use courier_core::operation::{OperationId, Outcome};
use courier_core::ports::{Filter, Store, StoreError, Write};
use courier_local::{Database, OpenError};
use courier_testkit::sample::{CLIENT, at, closed, next, running, sample_record};
use rusqlite::{Connection, params};

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

/// Fills the file, forgets everything and sweeps on; returns the lengths of the file when it was full and afterwards.
async fn filled_and_forgotten(workspace: &Workspace) -> (u32, u32) {
    let mut ids = Vec::new();
    for _ in 0..400 {
        let mut record = sample_record(&OperationId::random());
        record.fingerprint = "x".repeat(8_000);
        workspace.database.insert(&record).await.unwrap();
        let end = closed(&record, Outcome::Failed, at(1));
        workspace.database.update(&end).await.unwrap();
        ids.push(record.id);
    }
    let pages = || {
        let sqlite = workspace.sqlite();
        let count = sqlite.pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0));
        count.unwrap()
    };
    let full = pages();
    for _ in 0..20 {
        workspace.database.forget(at(2), 100).await.unwrap();
    }
    assert_eq!(workspace.database.load_many(&ids).await.unwrap(), []);
    (full, pages())
}

#[tokio::test]
async fn a_file_gets_shorter_when_its_records_are_forgotten() {
    let (full, empty) = filled_and_forgotten(&Workspace::new()).await;
    assert!(full > 800, "{full} pages");
    assert!(empty < full / 10, "{empty} of {full} pages");
}

#[tokio::test]
async fn a_file_of_an_older_version_gets_shorter_once_it_was_converted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch("CREATE TABLE t (x); DROP TABLE t")
        .unwrap();
    drop(Database::open(&path).unwrap());
    old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
        .unwrap();
    drop(old);
    let (full, empty) = filled_and_forgotten(&Workspace::at(directory)).await;
    assert!(empty < full / 10, "{empty} of {full} pages");
}

#[tokio::test]
async fn a_record_whose_text_is_damaged_is_left_out_of_lists_and_can_be_replaced() {
    let workspace = Workspace::new();
    let (damaged, sound) = (
        sample_record(&OperationId::random()),
        sample_record(&OperationId::random()),
    );
    for record in [&damaged, &sound] {
        workspace.database.insert(record).await.unwrap();
    }
    for text in ["{\"id\":", "", "[]", "null", "\"text\""] {
        let sql = "UPDATE operations SET record = ? WHERE id = ?";
        let sqlite = workspace.sqlite();
        sqlite.execute(sql, [text, damaged.id.as_str()]).unwrap();
        for status in [None, Some("accepted".to_owned())] {
            let filter = Filter {
                status,
                limit: 10,
                ..Filter::default()
            };
            let page = workspace.database.list(CLIENT, &filter).await.unwrap();
            assert_eq!((page.records, page.next), (vec![sound.clone()], None));
        }
        let refused = workspace.database.load(&damaged.id).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(..))), "{text}");
    }
    // A file with such a record can still be opened, also by the version that first builds the indexes of lists.
    let sqlite = workspace.sqlite();
    sqlite
        .execute_batch("DROP INDEX operations_closed_by_group")
        .unwrap();
    let workspace = workspace.reopened();
    let update = next(&damaged);
    assert_eq!(
        workspace.database.update(&update).await.unwrap(),
        Write::Applied
    );
    assert_eq!(
        workspace.database.load(&damaged.id).await.unwrap(),
        Some(update)
    );
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

/// The program of the version before kept messages in the file. It knew from them alone when the next poll was due.
#[tokio::test]
async fn messages_that_an_older_program_left_are_taken_over_with_their_times() {
    let workspace = Workspace::new();
    let record = running(&sample_record(&OperationId::random()), at(30));
    workspace.database.insert(&record).await.unwrap();
    let sqlite = workspace.sqlite();
    let sql = "INSERT INTO queue (operation_id, hop, due_at, receives, message) VALUES (?, 1, ?, 7, '{}')";
    let due = i64::try_from(at(5000).as_nanosecond()).unwrap();
    sqlite
        .execute(sql, params![record.id.as_str(), due])
        .unwrap();
    let workspace = workspace.reopened();
    assert_eq!(workspace.database.next_due(), Some(at(5000)));
    assert_eq!(workspace.count("queue"), 0);
    // Should this process be killed before its first poll, the time is in the record.
    assert_eq!(workspace.reopened().database.next_due(), Some(at(5000)));
}
