//! The data file as somebody reads it who changes nothing in it, nor beside it.

use std::path::{Path, PathBuf};

use courier_core::operation::Record;
use rusqlite::{Connection, OpenFlags};

use crate::sqlite::database::{OpenError, classify};
use crate::sqlite::schema::{self, APPLICATION_ID};

/// The data file, opened for reading. A running `courier serve` may use it at the same time.
pub struct DataFile {
    path: PathBuf,
    connection: Connection,
}

impl DataFile {
    /// Opens the file, which must exist.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = connect(path).map_err(|error| classify(path, error))?;
        let number =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let id = number("application_id").map_err(|error| classify(path, error))?;
        let version = number("user_version").map_err(|error| classify(path, error))?;
        if id != APPLICATION_ID {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        match usize::try_from(version) {
            Ok(found) if found > schema::VERSION => Err(OpenError::Newer {
                path: path.to_owned(),
                found,
                known: schema::VERSION,
            }),
            _ => Ok(Self {
                path: path.to_owned(),
                connection,
            }),
        }
    }

    /// Passes every record to `visit`, or its id if it cannot be read.
    pub fn visit_records(
        &self,
        mut visit: impl FnMut(Result<Record, String>),
    ) -> Result<(), OpenError> {
        let sql = "SELECT id, record FROM operations";
        self.visit(sql, |id, text| {
            visit(serde_json::from_str(&text).map_err(|_| id));
        })
    }

    /// Passes the key and body of every small document to `visit`.
    pub fn visit_documents(&self, visit: impl FnMut(String, String)) -> Result<(), OpenError> {
        self.visit("SELECT key, body FROM documents", visit)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn visit(&self, sql: &str, mut visit: impl FnMut(String, String)) -> Result<(), OpenError> {
        let mut read = || {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get(0)?, row.get(1)?);
            }
            Ok(())
        };
        read().map_err(|error| classify(&self.path, error))
    }
}

/// Connects without making the files of a write-ahead log, which could belong to the wrong user.
///
/// Without a log nobody has written since the last orderly end, so the file itself is all there is.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match path.to_str() {
        Some(text) if !has_log => {
            let text = text
                .replace('%', "%25")
                .replace('?', "%3f")
                .replace('#', "%23");
            let uri = format!("file:{text}?immutable=1");
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
        }
        Some(_) | None => Connection::open_with_flags(path, flags),
    }
}
