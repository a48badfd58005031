//! Copies of the data file: one moment of a file that others may be writing, in one file, checked and labelled.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use courier_core::engine::restoring::{Copied, DOCUMENT};
use courier_core::operation::{OperationId, Record, State};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::sqlite::data_file::DataFile;
use crate::sqlite::database::OpenError;

/// Time for which a copy waits for a file that another process is just recovering.
const PATIENCE: Duration = Duration::from_secs(30);
const LABEL: &str = "INSERT INTO documents (key, revision, body) VALUES (?1, 1, ?2)
    ON CONFLICT (key) DO UPDATE SET revision = revision + 1, body = ?2";

/// What a copy holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Contents {
    pub records: u64,
    /// Ids of the records that are not closed.
    pub open: Vec<OperationId>,
    /// Number of records that cannot be read.
    pub unreadable: u64,
    pub bytes: u64,
    /// What the copy says about itself; `None` for a file that `back_up` did not make.
    pub label: Option<Copied>,
}

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("there is no data file {}", .0.display())]
    Missing(PathBuf),
    #[error("{} exists already; nothing is overwritten", .0.display())]
    Exists(PathBuf),
    #[error("{} is damaged: {found}", path.display())]
    Damaged { path: PathBuf, found: String },
    #[error("{} cannot be copied to {}", from.display(), to.display())]
    Copy {
        from: PathBuf,
        to: PathBuf,
        #[source]
        cause: rusqlite::Error,
    },
    #[error("{} cannot be written", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// Copies the data file to the new file `target`, and says in it that it is a copy of the moment `now`.
///
/// Another process may be serving the data: the copy is one moment of it. `target` appears when it is whole and checked.
pub fn back_up(source: &Path, target: &Path, now: Timestamp) -> Result<Contents, CopyError> {
    if target.symlink_metadata().is_ok() {
        return Err(CopyError::Exists(target.to_owned()));
    }
    let partial = Partial::new(beside(target, ".partial"));
    copy(source, &partial.0)?;
    let copied = Copied {
        copied_at: Some(now),
        restored_at: None,
        starts_held_until: None,
    };
    let body = serde_json::to_string(&copied).unwrap_or_default();
    let label = |path: &Path| {
        let connection = connect(path)?;
        connection.execute(LABEL, params![DOCUMENT, body])
    };
    label(&partial.0).map_err(|cause| copy_error(source, &partial.0, cause))?;
    let contents = inspect(&partial.0)?;
    publish(&partial.0, target).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            CopyError::Exists(target.to_owned())
        } else {
            CopyError::File(target.to_owned(), error)
        }
    })?;
    Ok(contents)
}

/// Checks a data file from end to end, and says what it holds.
pub fn inspect(path: &Path) -> Result<Contents, CopyError> {
    if !path.exists() {
        return Err(CopyError::Missing(path.to_owned()));
    }
    let file = DataFile::open(path)?;
    file.check().map_err(|found| CopyError::Damaged {
        path: path.to_owned(),
        found,
    })?;
    let mut contents = Contents {
        bytes: path.metadata().map_or(0, |metadata| metadata.len()),
        ..Contents::default()
    };
    file.visit_records(|record| contents.count(record))?;
    file.visit_documents(|key, body| {
        if key == DOCUMENT {
            contents.label = serde_json::from_str(&body).ok();
        }
    })?;
    Ok(contents)
}

/// Copies one moment of the data file `source` into the new file `target`, which its owner alone may read.
pub fn copy(source: &Path, target: &Path) -> Result<(), CopyError> {
    if !source.exists() {
        return Err(CopyError::Missing(source.to_owned()));
    }
    drop(DataFile::open(source)?);
    let mut options = OpenOptions::new();
    let new = options.write(true).create_new(true).mode(0o600);
    let file = |error: io::Error| CopyError::File(target.to_owned(), error);
    new.open(target).map_err(file)?;
    // It reads one snapshot and leaves no free pages. SQLite's backup API would begin again at each write of another
    // process.
    let vacuum = || {
        let name = target.to_str();
        let name = name.ok_or_else(|| rusqlite::Error::InvalidPath(target.to_owned()))?;
        connect(source)?.execute("VACUUM INTO ?1", [name])
    };
    vacuum().map_err(|cause| copy_error(source, target, cause))?;
    File::open(target)
        .and_then(|copied| copied.sync_all())
        .map_err(file)
}

/// Gives a file that is complete its name, unless there is one of that name; it survives a crash from then on.
pub fn publish(partial: &Path, target: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    // Unlike a rename, a link replaces nothing; but not every file system has links.
    match std::fs::hard_link(partial, target) {
        Ok(()) => std::fs::remove_file(partial)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => std::fs::rename(partial, target)?,
    }
    let folder = target.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Removes a data file and what stands beside it.
pub fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // Most of them are not there.
        drop(std::fs::remove_file(beside(path, suffix)));
    }
}

/// Returns the files of a database that are there.
pub fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    let names = ["", "-wal", "-shm", "-journal"].map(|suffix| beside(path, suffix));
    names
        .into_iter()
        .filter(|name| name.symlink_metadata().is_ok())
}

impl Contents {
    fn count(&mut self, record: Result<Record, String>) {
        self.records += 1;
        match record {
            Ok(record) if !matches!(record.state, State::Closed { .. }) => {
                self.open.push(record.id);
            }
            Ok(_) => {}
            Err(_) => self.unreadable += 1,
        }
    }
}

/// A file that is removed again unless it was published.
struct Partial(PathBuf);

impl Partial {
    fn new(path: PathBuf) -> Self {
        remove(&path);
        Self(path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn copy_error(from: &Path, to: &Path, cause: rusqlite::Error) -> CopyError {
    CopyError::Copy {
        from: from.to_owned(),
        to: to.to_owned(),
        cause,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Connects to an existing file as a program does that may write, because only such a one can read a log that the
/// process before has left.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

impl DataFile {
    /// Reads every page and compares every index with its table; returns what is wrong.
    fn check(&self) -> Result<(), String> {
        let sql = "PRAGMA integrity_check(1)";
        let found = self
            .connection()
            .query_row(sql, [], |row| row.get::<_, String>(0));
        match found.optional() {
            Ok(Some(found)) if found == "ok" => Ok(()),
            Ok(found) => Err(found.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    }
}
