//! Real processes: killed in the middle of writing, out of space, without the right to write.
//!
//! The children are tests of this binary that do nothing unless their parent names a file on their input.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use courier_core::operation::OperationId;
use courier_core::ports::{Store, Write};
use courier_local::Capacity;
use courier_local::Database;
use courier_testkit::sample::{at, sample_record};
use rusqlite::Connection;
use tokio::task::JoinSet;

const NOBODY: u32 = 65_534;

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier.db");
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        let (mut child, lines) = start(command("child_inserts_for_ever"), &path);
        let words = lines
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| id_in(&line));
        acknowledged.extend(words.take(400 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let database = Database::open(&path).unwrap();
    for id in &acknowledged {
        assert!(
            database.load(id).await.unwrap().is_some(),
            "{id} was acknowledged"
        );
    }
    assert!(acknowledged.len() > 400);
    assert_records_have_messages(&path, &database);
}

#[tokio::test]
async fn a_full_disk_leaves_no_partial_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier.db");
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 1000; exec "$0" "$@""#]);
    limited.arg(std::env::current_exe().unwrap());
    limited.args(arguments("child_inserts_until_it_cannot"));
    let (mut child, lines) = start(limited, &path);
    let lines: Vec<String> = lines.lines().map_while(Result::ok).collect();
    child.wait().unwrap();

    let acknowledged: Vec<OperationId> = lines.iter().filter_map(|line| id_in(line)).collect();
    let refusal = lines
        .iter()
        .find(|line| line.contains("refused"))
        .expect("it runs out of space");
    assert!(refusal.contains("Unavailable"), "{refusal}");
    assert!(
        lines.iter().any(|line| line.contains("still readable")),
        "{lines:?}"
    );
    assert!(acknowledged.len() > 10);
    let database = Database::open(&path).unwrap();
    for id in &acknowledged {
        assert!(
            database.load(id).await.unwrap().is_some(),
            "{id} was acknowledged"
        );
    }
    assert_records_have_messages(&path, &database);
    let record = sample_record(&OperationId::random());
    assert_eq!(
        database.insert(&record).await.unwrap(),
        Write::Applied,
        "there is space again"
    );
}

#[tokio::test]
async fn a_file_without_the_right_to_write_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier.db");
    Database::open(&path).unwrap().close().await;
    mode(&path, 0o444);
    mode(directory.path(), 0o555);
    let mut child = command("child_opens_once");
    if std::fs::metadata(directory.path()).unwrap().uid() == 0 {
        child.uid(NOBODY);
    }
    let (mut child, lines) = start(child, &path);
    let lines: Vec<String> = lines.lines().map_while(Result::ok).collect();
    child.wait().unwrap();
    mode(directory.path(), 0o755);
    let refusal = lines
        .iter()
        .find(|line| line.contains("refused"))
        .expect("it cannot be opened");
    assert!(
        refusal.contains("cannot be written") && refusal.contains(path.to_str().unwrap()),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by its parent"]
async fn child_inserts_for_ever() {
    let Some(path) = path_of_parent() else { return };
    let database = Database::open(&path).unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let database = database.clone();
        writers.spawn(async move {
            loop {
                let record = sample_record(&OperationId::random());
                database.insert(&record).await.unwrap();
                println!("stored {}", record.id);
            }
        });
    }
    writers.join_next().await;
}

#[tokio::test]
#[ignore = "run by its parent"]
async fn child_inserts_until_it_cannot() {
    let Some(path) = path_of_parent() else { return };
    let database = Arc::new(Database::open(&path).unwrap());
    let mut last = None;
    for _ in 0..10_000 {
        let record = sample_record(&OperationId::random());
        match database.insert(&record).await {
            Ok(_) => println!("stored {}", record.id),
            Err(error) => {
                println!("refused {error:?}");
                break;
            }
        }
        last = Some(record.id);
    }
    let last = database.load(&last.unwrap()).await.unwrap();
    println!("still readable {}", last.is_some());
}

#[test]
#[ignore = "run by its parent"]
fn child_opens_once() {
    let Some(path) = path_of_parent() else { return };
    match Database::open(&path) {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused {error}"),
    }
}

fn arguments(test: &str) -> [String; 4] {
    [
        format!("crash::{test}"),
        "--exact".into(),
        "--ignored".into(),
        "--nocapture".into(),
    ]
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments(test));
    command
}

fn start(mut command: Command, path: &Path) -> (Child, BufReader<ChildStdout>) {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", path.display()).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

fn path_of_parent() -> Option<PathBuf> {
    let line = std::io::stdin().lines().next()?.ok()?;
    line.starts_with('/').then(|| line.into())
}

fn id_in(line: &str) -> Option<OperationId> {
    line.split_once("stored ")
        .and_then(|(_, id)| OperationId::parse(id))
}

fn mode(path: &Path, bits: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(bits)).unwrap();
}

/// Asserts that each record in the file has a message, and that there is no other.
fn assert_records_have_messages(path: &Path, database: &Database) {
    let sqlite = Connection::open(path).unwrap();
    let mut statement = sqlite.prepare("SELECT id FROM operations").unwrap();
    let ids = statement.query_map([], |row| row.get::<_, String>(0));
    let ids: HashSet<String> = ids.unwrap().map(Result::unwrap).collect();
    let all = Capacity::in_turn(usize::MAX);
    let received = database.receive(at(60), &all, at(180));
    let messages = received.iter().map(|one| one.message.operation_id());
    assert_eq!(
        messages
            .map(|id| id.as_str().to_owned())
            .collect::<HashSet<_>>(),
        ids
    );
}
