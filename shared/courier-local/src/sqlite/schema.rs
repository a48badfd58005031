//! The tables, and the migrations from every older version of the file.

use rusqlite::{Connection, TransactionBehavior};

use crate::sqlite::former_queue;

/// `COUR`: distinguishes our files from other programs' SQLite files.
pub(crate) const APPLICATION_ID: i32 = 0x434F_5552;

/// Entry n migrates from version n to n + 1.
const MIGRATIONS: [&str; 1] = [V1];

/// The newest schema version that this program supports.
pub(crate) const VERSION: usize = MIGRATIONS.len();

/// The status of a record's callback, as `Record::callback_status` tells it, computed from the stored record.
macro_rules! callback_status {
    () => {
        "CASE WHEN NOT json_valid(record) THEN 'unreadable'
            WHEN record ->> '$.callback' IS NULL THEN 'none'
            WHEN record ->> '$.state.how' IN ('delivered', 'undeliverable') THEN record ->> '$.state.how'
            WHEN record ->> '$.state.name' = 'ended' AND record ->> '$.delivery.scheduledAttempts' > 0
            THEN 'retrying' ELSE 'pending' END"
    };
}
pub(crate) use callback_status;

/// The indexes of lists, made in a file of any version.
///
/// They do not raise the version: SQLite keeps them up to date whoever writes, so the program of the version before still
/// works on the file.
const LIST_INDEXES: [(&str, &str); 3] = [
    (
        "operations_newest",
        "CREATE INDEX operations_newest ON operations (client, created_at, id)",
    ),
    (
        "operations_by_group",
        concat!(
            "CREATE INDEX operations_by_group ON operations (client, operation, status, ",
            callback_status!(),
            ", created_at, id)"
        ),
    ),
    (
        "operations_of_reference",
        concat!(
            "CREATE INDEX operations_of_reference ON operations (client, reference, operation, status, ",
            callback_status!(),
            ", created_at, id) WHERE reference IS NOT NULL"
        ),
    ),
];
/// Those that the three indexes of lists replace.
const DROP_OLD_INDEXES: &str = "
DROP INDEX IF EXISTS operations_by_client;
DROP INDEX IF EXISTS operations_by_reference;
";

const V1: &str = "
CREATE TABLE operations (
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    operation TEXT NOT NULL,
    reference TEXT,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    ended_at INTEGER,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX operations_by_client ON operations (client, created_at, id, status, operation);
CREATE INDEX operations_by_reference ON operations (client, reference, created_at, id) WHERE reference IS NOT NULL;
CREATE INDEX operations_open ON operations (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX operations_closed ON operations (ended_at) WHERE due_at IS NULL;

CREATE TABLE queue (
    operation_id TEXT NOT NULL PRIMARY KEY,
    hop INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    receives INTEGER NOT NULL,
    receipt INTEGER,
    message TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX queue_by_due ON queue (due_at);

CREATE TABLE documents (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;
";

#[derive(Debug)]
pub(crate) enum MigrationError {
    Sqlite(rusqlite::Error),
    /// The file has this version, which is newer than `VERSION`.
    Newer(usize),
    /// The file is an SQLite file of another program.
    Foreign,
}

impl From<rusqlite::Error> for MigrationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Migrates the file to `VERSION` in one transaction; two processes may do so at once.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pragma =
        |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && pragma("application_id")? != APPLICATION_ID {
        return Err(MigrationError::Foreign);
    }
    let found = usize::try_from(pragma("user_version")?).map_err(|_| MigrationError::Foreign)?;
    if found > VERSION {
        return Err(MigrationError::Newer(found));
    }
    for migration in &MIGRATIONS[found..] {
        transaction.execute_batch(migration)?;
    }
    former_queue::take_over(&transaction)?;
    for (name, sql) in LIST_INDEXES {
        let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)";
        if !transaction.query_row(exists, [name], |row| row.get::<_, bool>(0))? {
            if found > 0 {
                tracing::info!(
                    index = name,
                    "building an index for lists in the data file; a million records take about a minute"
                );
            }
            transaction.execute_batch(sql)?;
        }
    }
    transaction.execute_batch(DROP_OLD_INDEXES)?;
    if found < VERSION {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION as i64)?;
    }
    Ok(transaction.commit()?)
}
