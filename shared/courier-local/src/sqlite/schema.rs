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

/// The same for a record that is perhaps not closed: its callback may be settled while its end is still to be announced.
///
/// [`callback_status`] is the text of an index, which holds closed records only.
macro_rules! any_callback_status {
    () => {
        concat!(
            "CASE WHEN NOT json_valid(record) THEN 'unreadable'
            WHEN record ->> '$.callback' IS NOT NULL AND record ->> '$.state.name' = 'ended'
                AND record ->> '$.announcement.callback' IN ('delivered', 'undeliverable')
            THEN record ->> '$.announcement.callback' ELSE ",
            $crate::sqlite::schema::callback_status!(),
            " END"
        )
    };
}
pub(crate) use any_callback_status;

/// The column `open`: 1 until the record is closed, then NULL. Unlike `due_at` it says so without changing in between, and
/// SQLite rewrites the entries of an index whenever a column of its condition is written.
///
/// It does not raise the version: the program of the version before leaves it out and can still use the file. That program
/// makes [`FORMER_INDEXES`] again, by which this one knows that the column has to be set right.
const ADD_OPEN: &str = "ALTER TABLE operations ADD COLUMN open INTEGER";
const SET_OPEN: &str = "UPDATE operations SET open = CASE WHEN due_at IS NOT NULL THEN 1 END
    WHERE (open IS NULL) <> (due_at IS NULL)";

/// Further columns that do not raise the version: name, the statement that adds it, and the one that fills it in a file
/// which has records already. While an operation is open, only acts of people change one of them.
const ADDED: [(&str, &str, &str); 3] = [
    (
        "deadline",
        "ALTER TABLE operations ADD COLUMN deadline INTEGER",
        "UPDATE operations SET deadline = CASE WHEN json_valid(record)
            THEN CAST(strftime('%s', record ->> '$.deadline') AS INTEGER) * 1000000000 END
            WHERE deadline IS NULL AND due_at IS NOT NULL",
    ),
    (
        "person",
        "ALTER TABLE operations ADD COLUMN person TEXT",
        "UPDATE operations SET person = CASE WHEN json_valid(record) THEN record ->> '$.person' END
            WHERE person IS NULL",
    ),
    // A due date is the last millisecond of a day.
    (
        "legal_due",
        "ALTER TABLE operations ADD COLUMN legal_due INTEGER",
        "UPDATE operations SET legal_due = CASE WHEN json_valid(record)
            THEN CAST(strftime('%s', record ->> '$.legal.dueAt') AS INTEGER) * 1000000000 + 999000000 END
            WHERE due_at IS NOT NULL",
    ),
];

/// Indexes that are made in a file of any version. No update of an open record touches one of them.
const INDEXES: [(&str, &str); 7] = [
    (
        "operations_newest",
        "CREATE INDEX operations_newest ON operations (client, created_at, id)",
    ),
    (
        "operations_open_newest",
        "CREATE INDEX operations_open_newest ON operations (client, created_at, id) WHERE open IS NOT NULL",
    ),
    (
        "operations_closed_by_group",
        concat!(
            "CREATE INDEX operations_closed_by_group ON operations (client, operation, status, ",
            callback_status!(),
            ", created_at, id) WHERE due_at IS NULL"
        ),
    ),
    (
        "operations_newest_of_reference",
        "CREATE INDEX operations_newest_of_reference ON operations (client, reference, created_at, id)
            WHERE reference IS NOT NULL",
    ),
    (
        "operations_open_by_deadline",
        "CREATE INDEX operations_open_by_deadline ON operations (client, deadline, id) WHERE open IS NOT NULL",
    ),
    (
        "operations_open_by_legal_due",
        "CREATE INDEX operations_open_by_legal_due ON operations (client, legal_due, id)
            WHERE open IS NOT NULL AND legal_due IS NOT NULL",
    ),
    (
        "operations_newest_of_person",
        "CREATE INDEX operations_newest_of_person ON operations (client, person, created_at, id)
            WHERE person IS NOT NULL",
    ),
];
/// Those that the program of the version before makes in every file that lacks them.
const FORMER_INDEXES: [&str; 2] = ["operations_by_group", "operations_of_reference"];
const DROP_FORMER_INDEXES: &str = "
DROP INDEX IF EXISTS operations_by_client;
DROP INDEX IF EXISTS operations_by_reference;
DROP INDEX IF EXISTS operations_by_group;
DROP INDEX IF EXISTS operations_of_reference;
DROP INDEX IF EXISTS operations_open;
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
    index(&transaction, found > 0)?;
    if found < VERSION {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION as i64)?;
    }
    Ok(transaction.commit()?)
}

/// Brings the added columns and the indexes up to date; `is_old` for a file that was there before.
fn index(connection: &Connection, is_old: bool) -> rusqlite::Result<()> {
    let exists = |name: &str| {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)";
        connection.query_row(sql, [name], |row| row.get::<_, bool>(0))
    };
    let has_column = |name: &str| {
        let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('operations') WHERE name = ?)";
        connection.query_row(sql, [name], |row| row.get::<_, bool>(0))
    };
    let was_used_before = exists(FORMER_INDEXES[0])? || exists(FORMER_INDEXES[1])?;
    let is_new_column = !has_column("open")?;
    if is_new_column {
        connection.execute_batch(ADD_OPEN)?;
    }
    if is_new_column || was_used_before {
        connection.execute(SET_OPEN, [])?;
    }
    for (name, add, fill) in ADDED {
        let is_new_column = !has_column(name)?;
        if is_new_column {
            connection.execute_batch(add)?;
        }
        if is_new_column || was_used_before {
            connection.execute(fill, [])?;
        }
    }
    connection.execute_batch(DROP_FORMER_INDEXES)?;
    for (name, sql) in INDEXES {
        if !exists(name)? {
            if is_old {
                tracing::info!(
                    index = name,
                    "building an index of the data file; a million records take about a minute"
                );
            }
            connection.execute_batch(sql)?;
        }
    }
    Ok(())
}
